//! Frames that no honest guest sends: each is dropped, counted and recorded by its reason, and answered with
//! nothing.

use crate::lab::frames::{arp, ethernet, icmp6, ipv4, ipv6, next, segment, send, tcp, udp};
use crate::lab::{self, SERVER, SERVER6};
use a3s_box_core::{NetAddresses, NetSubject};
use std::io::Write;
use std::time::Duration;

const GUEST: &str = "10.163.80.2";
const GUEST6: &str = "fda3:50::2";
const SYN: u8 = 2;

/// What is sent, and the reason it is dropped for.
pub(crate) fn attempts() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let syn = tcp(1000, 80, 1, 0, SYN, 1000, b"");
    let mac = NetAddresses::default().mac;
    let other = [2, 0xa3, 0x50, 0, 0, 9];
    let to = |destination: &str, payload: &[u8]| ipv4(GUEST, destination, 6, 0, &[], payload);
    let changed = |at: usize, value: u8| {
        let mut frame = to(SERVER, &syn);
        frame[at] = value;
        frame
    };
    let advert = |target: &str| {
        let mut message = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
        message.extend_from_slice(&target.parse::<std::net::Ipv6Addr>().unwrap().octets());
        message.extend_from_slice(&[2, 1]);
        message.extend_from_slice(&mac);
        icmp6(GUEST6, "ff02::1", &message)
    };
    let solicit = {
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&"fda3:50::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        message.extend_from_slice(&[1, 1]);
        message.extend_from_slice(&other);
        icmp6(GUEST6, "ff02::1:ff00:1", &message)
    };
    let routed = [&[6, 2, 0, 1, 0, 0, 0, 0][..], &[0; 16], &syn].concat();
    let v6_fragment = [&[6, 0, 0, 1, 0, 0, 0, 9][..], &syn].concat();
    vec![
        ("a neighbour's source", ipv4("10.163.80.3", SERVER, 6, 0, &[], &syn), "spoofed-source"),
        ("the gateway's source", ipv4("10.163.80.1", SERVER, 6, 0, &[], &syn), "spoofed-source"),
        ("the host's source", ipv4("127.0.0.1", SERVER, 6, 0, &[], &syn), "spoofed-source"),
        ("no source", ipv4("0.0.0.0", SERVER, 6, 0, &[], &syn), "spoofed-source"),
        ("the destination as source", ipv4(SERVER, SERVER, 6, 0, &[], &syn), "spoofed-source"),
        ("another source of IPv6", ipv6("fda3:50::3", SERVER6, 6, &syn), "spoofed-source"),
        ("a link-local source", ipv6("fe80::1", SERVER6, 6, &syn), "spoofed-source"),
        ("a first fragment", ipv4(GUEST, SERVER, 6, 0x2000, &[], &syn), "fragment"),
        ("a later fragment", ipv4(GUEST, SERVER, 6, 0x0001, &[], &syn), "fragment"),
        ("a tiny fragment", ipv4(GUEST, SERVER, 6, 0x2000, &[], &syn[..8]), "fragment"),
        ("a UDP fragment", ipv4(GUEST, SERVER, 17, 0x2000, &[], &udp(1, 53, b"x")), "fragment"),
        ("a fragment of IPv6", ipv6(GUEST6, SERVER6, 44, &v6_fragment), "fragment"),
        (
            "a loose source route",
            ipv4(GUEST, SERVER, 6, 0, &[131, 7, 4, 10, 20, 30, 40, 0], &syn),
            "ip-options",
        ),
        (
            "a strict source route",
            ipv4(GUEST, SERVER, 6, 0, &[137, 7, 4, 10, 20, 30, 40, 0], &syn),
            "ip-options",
        ),
        ("a recorded route", ipv4(GUEST, SERVER, 6, 0, &[7, 7, 4, 0, 0, 0, 0, 0], &syn), "ip-options"),
        ("a routing header", ipv6(GUEST6, SERVER6, 43, &routed), "extension-header"),
        ("destination options", ipv6(GUEST6, SERVER6, 60, &routed), "extension-header"),
        ("no next header", ipv6(GUEST6, SERVER6, 59, &[]), "extension-header"),
        ("GRE", ipv4(GUEST, SERVER, 47, 0, &[], &[0; 24]), "protocol"),
        ("IP in IP", ipv4(GUEST, SERVER, 4, 0, &[], &to(SERVER, &syn)[14..]), "protocol"),
        ("SCTP", ipv4(GUEST, SERVER, 132, 0, &[], &[0; 24]), "protocol"),
        ("ESP", ipv4(GUEST, SERVER, 50, 0, &[], &[0; 24]), "protocol"),
        ("6in4", ipv4(GUEST, SERVER, 41, 0, &[], &[0x60; 40]), "protocol"),
        ("a VLAN", ethernet(0x8100, &[0, 1, 8, 0]), "protocol"),
        ("MPLS", ethernet(0x8847, &[0; 40]), "protocol"),
        ("LLDP", ethernet(0x88cc, &[0; 40]), "protocol"),
        ("another guest's link address", changed(11, 9), "foreign-link-address"),
        ("to another guest's link address", changed(5, 9), "foreign-link-address"),
        ("ARP as the gateway", arp(2, mac, "10.163.80.1", GUEST), "neighbour-spoofing"),
        ("ARP as a neighbour", arp(2, mac, "10.163.80.3", GUEST), "neighbour-spoofing"),
        ("ARP with another link address", arp(1, other, GUEST, "10.163.80.1"), "neighbour-spoofing"),
        ("a gratuitous ARP", arp(1, mac, "10.163.80.3", "10.163.80.3"), "neighbour-spoofing"),
        ("an advertisement as the gateway", advert("fda3:50::1"), "neighbour-spoofing"),
        ("an advertisement as a neighbour", advert("fda3:50::3"), "neighbour-spoofing"),
        ("a solicitation for another", solicit, "neighbour-spoofing"),
        ("a broken checksum", changed(24, 0), "checksum"),
        ("a length beyond the frame", ethernet(0x0800, &to(SERVER, &syn)[14..40]), "malformed"),
        ("a header length of nothing", changed(14, 0x41), "malformed"),
        ("version 5", changed(14, 0x55), "malformed"),
        (
            "a header of four bytes",
            to(SERVER, &[&syn[..12], &[0x10, 2, 0, 0, 0, 0, 0, 0]].concat()),
            "malformed",
        ),
        (
            "options beyond the segment",
            to(SERVER, &[&syn[..12], &[0xf0, 2, 0, 0, 0, 0, 0, 0]].concat()),
            "malformed",
        ),
        ("from port 0", to(SERVER, &tcp(0, 80, 1, 0, SYN, 1000, b"")), "malformed"),
        ("to port 0", to(SERVER, &tcp(1000, 0, 1, 0, SYN, 1000, b"")), "malformed"),
        (
            "UDP with a length too long",
            ipv4(GUEST, SERVER, 17, 0, &[], &[0, 9, 0, 9, 0, 99, 0, 0]),
            "malformed",
        ),
        ("an empty frame", vec![0; 13], "malformed"),
    ]
}

lab_test!(what_no_honest_guest_sends_is_dropped_and_recorded, |lab| {
    let (_, mut stream) = lab.wire(&lab::open());
    while next(&mut stream, Duration::from_millis(200)).is_some() {}
    for (what, frame, reason) in attempts() {
        let before = lab.counters().dropped_frames;
        send(&mut stream, &frame);
        lab.eventually(what, || lab.counters().dropped_frames == before + 1);
        let rule = format!("built-in: {reason}");
        let count = || {
            let records = lab.records();
            records
                .iter()
                .filter(|r| r.subject == NetSubject::Frame && r.rule == rule)
                .map(|r| r.more)
                .sum::<u64>()
        };
        let wanted =
            attempts().iter().take_while(|(other, ..)| *other != what).filter(|(.., r)| *r == reason).count();
        lab.eventually(what, || count() >= u64::try_from(wanted + 1).unwrap());
        assert!(next(&mut stream, Duration::from_millis(1)).is_none(), "{what} was answered");
    }
    // Multicast is a guest's idle chatter: dropped, counted, not recorded.
    let before = lab.counters().dropped_frames;
    send(&mut stream, &ipv4("10.163.80.2", "224.0.0.1", 2, 0, &[148, 4, 0, 0], &[0x16, 0, 0, 0]));
    send(&mut stream, &ipv4("10.163.80.2", "239.255.255.250", 17, 0, &[], &udp(1900, 1900, b"M-SEARCH")));
    send(&mut stream, &ipv4("0.0.0.0", "255.255.255.255", 17, 0, &[], &udp(68, 67, &[0; 300])));
    lab.eventually("multicast", || lab.counters().dropped_frames == before + 3);
    // Wrapped addresses reach the policy as what they are.
    for to in ["::ffff:198.51.100.1", "::198.51.100.1"] {
        send(&mut stream, &ipv6(GUEST6, to, 6, &tcp(1000, 80, 1, 0, SYN, 1000, b"")));
        lab.recorded(to, |r| r.rule == "built-in: wrapped IPv4" && r.address == Some(to.parse().unwrap()));
    }
    // Odd flags open nothing.
    for flags in [0, 0x3f, SYN | 1, SYN | 4, 1, 0x29] {
        send(&mut stream, &ipv4(GUEST, SERVER, 6, 0, &[], &tcp(2000, 80, 1, 0, flags, 1000, b"")));
        if let Some(answer) = next(&mut stream, Duration::from_millis(20)).and_then(|f| segment(&f)) {
            assert_eq!(answer.flags & SYN, 0, "flags {flags:#x} were answered with {answer:?}");
            assert!(answer.from.1 == 80 && answer.window == 0);
        }
    }
    assert_eq!(lab.counters().open, 0);
});

lab_test!(a_stream_that_is_no_frames_ends_the_network_and_says_so, |lab| {
    let (link, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let network =
        a3s_box_net::Network::start(&lab::open(), &Default::default(), "box", &lab.dir().join("log"), other)
            .unwrap();
    (&link).write_all(&[0xff; 64]).unwrap();
    // The stack's end is closed once it has given up.
    lab.eventually("the end", || (&link).write_all(&[0; 4096]).is_err());
    let error = network.stop().unwrap_err();
    assert_eq!(error.to_string(), "the box's network failed");
});
