//! Boxes that reach one another over a named network.

use crate::lab::{self, GATEWAY, connect};
use crate::tcp::pattern;
use crate::udp::ask;
use a3s_box_core::{NeighbourSpec, NetDefault, NetSpec, NetworkMembership};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, UdpSocket};
use std::path::Path;

/// A box called `name` at `addresses` of the network in `folder`, which may reach nothing else.
fn member(folder: &Path, name: &str, addresses: [&str; 2]) -> NetSpec {
    let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    let neighbour = NeighbourSpec { addresses: addresses.clone() };
    std::fs::write(folder.join(format!("{name}.json")), serde_json::to_vec(&neighbour).unwrap()).unwrap();
    let mut spec = lab::spec(&[], NetDefault::None);
    let (network, folder, name) = ("backend".into(), folder.to_owned(), name.into());
    spec.networks.push(NetworkMembership { network, folder, name, addresses });
    spec
}

lab_test!(boxes_find_each_other_by_name_and_nobody_else, |lab| {
    let folder = lab.dir().join("backend");
    std::fs::create_dir(&folder).unwrap();
    let web = lab.boot(&member(&folder, "web", ["10.89.0.2", "fd89::2"]));
    let db = lab.boot(&member(&folder, "db", ["10.89.0.3", "fd89::3"]));
    let alone = lab.boot(&lab::spec(&[], NetDefault::None));
    let listener = lab.inside(db, || TcpListener::bind("[::]:5432").unwrap());
    let bytes = pattern(4 << 20);
    for to in ["10.89.0.3:5432", "[fd89::3]:5432"] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, peer) = listener.accept().unwrap();
                let seen = peer.ip().to_canonical().to_string();
                assert!(["10.89.0.2", "fd89::2"].contains(&seen.as_str()), "{seen}");
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                stream.write_all(&got).unwrap();
            });
            let got = lab.inside(web, || {
                let mut stream = connect(to.parse().unwrap()).unwrap();
                let mut writer = stream.try_clone().unwrap();
                writer.write_all(&bytes).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                got
            });
            assert!(got == bytes);
        });
    }
    // By name, and by name and network.
    for name in ["db", "db.backend", "DB"] {
        let output = lab.guest(web, "dig").args(["+short", name]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "10.89.0.3", "{name}");
    }
    // A port where nobody listens, and an address that nobody has.
    let refused = lab.inside(web, || connect("10.89.0.3:1".parse().unwrap()).unwrap_err().kind());
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    let refused = lab.inside(web, || connect("10.89.0.9:5432".parse().unwrap()).unwrap_err().kind());
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    // Who is not on the network reaches nobody on it.
    let refused = lab.inside(alone, || connect("10.89.0.3:5432".parse().unwrap()).unwrap_err().kind());
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    let output = lab.guest(alone, "dig").arg("db").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("REFUSED"));
    lab.recorded("the connection", |r| r.rule == "network backend" && r.sent == 4 << 20);
});

lab_test!(datagrams_go_between_boxes, |lab| {
    let folder = lab.dir().join("backend");
    std::fs::create_dir(&folder).unwrap();
    let web = lab.boot(&member(&folder, "web", ["10.89.0.2", "fd89::2"]));
    let db = lab.boot(&member(&folder, "db", ["10.89.0.3", "fd89::3"]));
    let socket = lab.inside(db, || UdpSocket::bind("0.0.0.0:7000").unwrap());
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((count, peer)) = socket.recv_from(&mut buffer) {
            assert_eq!(peer.ip().to_string(), "10.89.0.2");
            socket.send_to(&buffer[..count], peer).unwrap();
        }
    });
    for size in [1, 1400, 50_000] {
        let data = pattern(size);
        assert!(lab.inside(web, || ask("10.89.0.3:7000".parse().unwrap(), &data).unwrap()) == data);
    }
});

lab_test!(a_neighbour_that_is_gone_is_refused, |lab| {
    let folder = lab.dir().join("backend");
    std::fs::create_dir(&folder).unwrap();
    let web = lab.boot(&member(&folder, "web", ["10.89.0.2", "fd89::2"]));
    let db = lab.boot(&member(&folder, "db", ["10.89.0.3", "fd89::3"]));
    lab.stop(db);
    assert!(!folder.join("db.sock").exists());
    let refused = lab.inside(web, || connect("10.89.0.3:5432".parse().unwrap()).unwrap_err().kind());
    assert_eq!(refused, ErrorKind::ConnectionRefused);
    // Somebody who calls without being on the network is not listened to.
    let mut stranger = std::os::unix::net::UnixStream::connect(folder.join("web.sock")).unwrap();
    stranger.set_read_timeout(Some(lab::PATIENCE)).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n").unwrap();
    assert_ne!(stranger.read(&mut [0; 16]).ok(), Some(16));
    assert!(lab.says(&format!("ping -c1 -W5 {GATEWAY}")).contains("1 received"));
});
