//! UDP and echo requests.

use crate::lab::{self, GATEWAY, GATEWAY6, METADATA, OTHER, PATIENCE, PRIVATE, SERVER, SERVER6};
use a3s_box_core::{NetDefault, NetSubject};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

/// Answers every datagram with itself, doubled where it is short.
pub(crate) fn echo(address: &str) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let bound = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((count, peer)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..count], peer).unwrap();
        }
    });
    bound
}

pub(crate) fn ask(to: SocketAddr, data: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(data)?;
    let mut buffer = vec![0; 65_536];
    let count = socket.recv(&mut buffer)?;
    buffer.truncate(count);
    Ok(buffer)
}

lab_test!(the_host_takes_datagrams_where_its_name_is_allowed, |lab| {
    let (open, shut) = (echo("127.0.0.1:0").port(), echo("127.0.0.1:0").port());
    lab.boot(&lab::spec(&[&format!("allow host host.a3s.internal:{open}/udp")], NetDefault::None));
    assert!(lab.says("getent ahostsv4 host.a3s.internal").contains(GATEWAY));
    let ask = |port: u16| lab.inside(0, || ask(format!("{GATEWAY}:{port}").parse().unwrap(), b"hello"));
    assert_eq!(ask(open).unwrap(), b"hello");
    assert_eq!(ask(shut).unwrap_err().kind(), ErrorKind::HostUnreachable);
    let record = lab.recorded("the refusal", |r| r.port == Some(shut));
    assert_eq!((record.rule.as_str(), record.address), ("built-in: host", GATEWAY.parse().ok()));
});

lab_test!(datagrams_of_every_size_come_back, |lab| {
    lab.boot(&lab::open());
    for server in [echo(&format!("{SERVER}:0")), echo(&format!("[{SERVER6}]:0"))] {
        lab.inside(0, || {
            for size in [0, 1, 2, 511, 1472, 1473, 9000, 60_000, 65_470] {
                let data = super::tcp::pattern(size);
                assert!(ask(server, &data).unwrap() == data, "{size} bytes to {server}");
            }
        });
    }
    lab.stop(0);
    assert!(lab.records().iter().filter(|r| r.subject == NetSubject::Udp && r.sent > 0).count() >= 16);
});

lab_test!(many_flows_do_not_mix, |lab| {
    lab.boot(&lab::open());
    let servers = [echo(&format!("{SERVER}:0")), echo(&format!("{OTHER}:0"))];
    lab.inside(0, || {
        let sockets: Vec<UdpSocket> = (0..200).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect();
        for (index, socket) in sockets.iter().enumerate() {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.send_to(format!("{index}").as_bytes(), servers[index % 2]).unwrap();
        }
        for (index, socket) in sockets.iter().enumerate() {
            let mut buffer = [0; 16];
            let (count, from) = socket.recv_from(&mut buffer).unwrap();
            assert_eq!((from, &buffer[..count]), (servers[index % 2], format!("{index}").as_bytes()));
        }
    });
});

lab_test!(a_closed_port_and_a_forbidden_address_say_so, |lab| {
    lab.boot(&lab::open());
    lab.inside(0, || {
        for (to, kind) in [
            (format!("{SERVER}:9"), ErrorKind::ConnectionRefused),
            (format!("[{SERVER6}]:9"), ErrorKind::ConnectionRefused),
            (format!("{PRIVATE}:9"), ErrorKind::HostUnreachable),
            (format!("{METADATA}:80"), ErrorKind::HostUnreachable),
            (format!("{SERVER}:53"), ErrorKind::HostUnreachable),
        ] {
            let error = ask(to.parse().unwrap(), b"x").unwrap_err();
            assert_eq!(error.kind(), kind, "{to}: {error}");
        }
        // IPv6 tells programs of a prohibition as one.
        let error = ask("[fd00::1]:9".parse().unwrap(), b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
});

lab_test!(pings_go_out_and_come_back, |lab| {
    lab.boot(&lab::open());
    for address in [GATEWAY, GATEWAY6, SERVER, SERVER6] {
        let text = lab.says(&format!("ping -c 3 -i 0.05 -s 1400 -W 5 {address}"));
        assert!(text.contains("3 received"), "{text}");
    }
    let (success, text) = lab.shell(&format!("ping -c 1 -W 5 {PRIVATE}"));
    assert!(!success && text.contains("Packet filtered"), "{text}");
    let (success, text) = lab.shell("ping -c 1 -W 5 203.0.114.9");
    assert!(!success && text.contains("Unreachable"), "{text}");
    lab.recorded("the refusal", |r| r.subject == NetSubject::Icmp && r.rule == "built-in: private range");
});
