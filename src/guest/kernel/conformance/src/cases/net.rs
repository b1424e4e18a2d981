//! Sockets.

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const AMOUNT: usize = 8 << 20;

/// Sends and receives through a pair of streams, and compares.
fn transfer(mut from: impl Write + Send, mut to: impl Read) {
    let bytes = |i: usize| (i / 7).to_le_bytes()[0];
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let all: Vec<u8> = (0..AMOUNT).map(bytes).collect();
            from.write_all(&all).expect("write");
        });
        let mut got = vec![0; AMOUNT];
        to.read_exact(&mut got).expect("read");
        assert!(got.iter().enumerate().all(|(i, byte)| *byte == bytes(i)));
    });
}

/// An `ifreq` request about the interface `name`, with 24 bytes of its own.
fn interface(name: &str, request: usize, value: &[u8]) {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).expect("socket");
    let mut words = [0_u8; 40];
    words[..name.len()].copy_from_slice(name.as_bytes());
    words[16..16 + value.len()].copy_from_slice(value);
    let descriptor = usize::try_from(socket.as_raw_fd()).expect("a descriptor");
    let done = crate::sys::call(libc::SYS_ioctl, [descriptor, request, words.as_mut_ptr().addr(), 0, 0, 0]);
    done.unwrap_or_else(|error| panic!("ioctl {request:#x} of {name}: {error}"));
}

/// Turns an interface on.
fn up(name: &str) {
    let up_and_running = 0x41_u16;
    interface(name, 0x8914, &up_and_running.to_le_bytes());
}

/// Packets through the virtual network card, to a gateway that answers echo requests.
pub fn device() {
    let addresses = crate::option("conformance.net").expect("conformance.net=OWN:GATEWAY");
    let (own, gateway) = addresses.split_once(':').expect("two addresses");
    let own: Ipv4Addr = own.parse().expect("an address");
    let gateway: Ipv4Addr = gateway.parse().expect("an address");
    let address = |bytes: [u8; 4]| [&[2, 0, 0, 0][..], &bytes].concat();
    interface("eth0", 0x8916, &address(own.octets()));
    interface("eth0", 0x891c, &address([255, 255, 255, 0]));
    up("eth0");
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).expect("socket");
    let patience = Some(Duration::from_secs(10));
    set_socket_timeout(&socket, Timeout::Recv, patience).expect("SO_RCVTIMEO");
    for number in 0..300_u16 {
        let mut echo = vec![8, 0, 0, 0, 0x12, 0x34];
        echo.extend(number.to_be_bytes());
        echo.extend((0..1_400_u32).map(|i| (i * u32::from(number)).to_le_bytes()[0]));
        let sum: u32 = echo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        let check = !u16::try_from(folded).expect("16 bits");
        echo[2..4].copy_from_slice(&check.to_be_bytes());
        sendto(&socket, &echo, SendFlags::empty(), &SocketAddrV4::new(gateway, 0)).expect("send");
        let mut got = [0; 2_000];
        let (len, _) = recv(&socket, &mut got, RecvFlags::empty()).expect("an answer");
        // Behind the 20 bytes of the IP header: the type of an answer, then what was sent.
        assert_eq!((got[20], &got[24..len]), (0, &echo[4..]), "packet {number}");
    }
}

/// A stream through the virtual socket device to the host, which says back what it hears.
pub fn vsock() {
    const HOST: u32 = 2;
    const ECHO_PORT: u32 = 7;
    let socket = socket(AddressFamily::VSOCK, SocketType::STREAM, None).expect("socket");
    // vsock(7): `struct sockaddr_vm`.
    let mut address = [0_u8; 16];
    address[..2].copy_from_slice(&AddressFamily::VSOCK.as_raw().to_le_bytes());
    address[4..8].copy_from_slice(&ECHO_PORT.to_le_bytes());
    address[8..12].copy_from_slice(&HOST.to_le_bytes());
    let descriptor = usize::try_from(socket.as_raw_fd()).expect("a descriptor");
    crate::sys::call(libc::SYS_connect, [descriptor, address.as_ptr().addr(), address.len(), 0, 0, 0])
        .expect("connect");
    let to = File::from(socket);
    transfer(to.try_clone().expect("dup"), to);
}

pub fn loopback() {
    up("lo");
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).expect("bind");
        let from = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        transfer(from, listener.accept().expect("accept").0);
    }
    let (one, other) =
        (UdpSocket::bind("127.0.0.1:0").expect("bind"), UdpSocket::bind("127.0.0.1:0").expect("bind"));
    for number in 0..1_000_u32 {
        one.send_to(&number.to_le_bytes(), other.local_addr().expect("address")).expect("send");
        let mut got = [0; 4];
        other.recv(&mut got).expect("receive");
        assert_eq!(u32::from_le_bytes(got), number);
    }
}

pub fn unix() {
    let (one, other) = UnixStream::pair().expect("socketpair");
    transfer(one, other);
}

/// The kinds of sockets that a box and its programs use.
pub fn families() {
    const NETFILTER: i32 = 12;
    for (name, family, kind, protocol) in [
        ("packet", libc::AF_PACKET, libc::SOCK_RAW, 0),
        ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        ("routing", libc::AF_NETLINK, libc::SOCK_RAW, 0),
        ("netfilter", libc::AF_NETLINK, libc::SOCK_RAW, NETFILTER),
        ("raw", libc::AF_INET, libc::SOCK_RAW, 1),
    ] {
        let [family, kind, protocol] =
            [family, kind, protocol].map(|n| usize::try_from(n).expect("a number"));
        crate::sys::call(libc::SYS_socket, [family, kind, protocol, 0, 0, 0])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
