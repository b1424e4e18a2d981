//! Published ports.

use crate::lab::{self, GATEWAY, OTHER, SERVER, connect};
use crate::tcp::pattern;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};

lab_test!(a_published_port_leads_into_the_box, |lab| {
    let mut spec = lab::open();
    spec.publish =
        ["0:8080", &format!("{SERVER}:0:8080"), "[::1]:0:8081"].map(|p| p.parse().unwrap()).to_vec();
    lab.boot(&spec);
    let ports = lab.network(0).ports().to_vec();
    assert!(ports.iter().all(|p| p.host.port() != 0));
    let (v4, v6) = lab
        .inside(0, || (TcpListener::bind("0.0.0.0:8080").unwrap(), TcpListener::bind("[::]:8081").unwrap()));
    let bytes = pattern(8 << 20);
    // Who calls from loopback is seen as the gateway, others as who they are.
    for (port, listener, from) in
        [(&ports[0], &v4, GATEWAY), (&ports[1], &v4, SERVER), (&ports[2], &v6, "fda3:50::1")]
    {
        let mut outside = connect(port.host).unwrap();
        let (mut inside, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), from);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut got = Vec::new();
                inside.read_to_end(&mut got).unwrap();
                inside.write_all(&got).unwrap();
                inside.shutdown(Shutdown::Write).unwrap();
            });
            let mut writer = outside.try_clone().unwrap();
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
            let mut got = Vec::new();
            outside.read_to_end(&mut got).unwrap();
            assert!(got == bytes);
        });
    }
    lab.recorded("the connection", |r| r.rule == "published port 8080" && r.received == 8 << 20);
});

lab_test!(a_port_where_nobody_listens_resets, |lab| {
    let mut spec = lab::open();
    spec.publish = vec!["0:8080".parse().unwrap()];
    lab.boot(&spec);
    // The reset may well come before connect(2) has returned.
    let read = connect(lab.network(0).ports()[0].host).and_then(|mut stream| stream.read(&mut [0]));
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
});

lab_test!(a_port_that_is_taken_is_said_before_anything_starts, |lab| {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spec = lab::open();
    let port = taken.local_addr().unwrap().port();
    spec.publish = vec![format!("{port}:80").parse().unwrap()];
    let (link, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let error = a3s_box_net::Network::start(&spec, &Default::default(), "box", &lab.dir().join("log"), link)
        .unwrap_err();
    assert_eq!(error.to_string(), format!("cannot publish 127.0.0.1:{port}:80/tcp"));
    assert!(error.hint().is_some());
});

lab_test!(published_datagrams_are_answered, |lab| {
    let mut spec = lab::open();
    spec.publish = vec![format!("{SERVER}:0:5353/udp").parse().unwrap()];
    lab.boot(&spec);
    let host = lab.network(0).ports()[0].host;
    let guest = lab.inside(0, || UdpSocket::bind("0.0.0.0:5353").unwrap());
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((count, peer)) = guest.recv_from(&mut buffer) {
            buffer[..count].reverse();
            guest.send_to(&buffer[..count], peer).unwrap();
        }
    });
    for from in [SERVER, OTHER] {
        let socket = UdpSocket::bind(format!("{from}:0")).unwrap();
        socket.set_read_timeout(Some(lab::PATIENCE)).unwrap();
        socket.connect(host).unwrap();
        socket.send(b"hello").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(socket.recv(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"olleh");
    }
});
