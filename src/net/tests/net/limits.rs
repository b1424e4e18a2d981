//! Rates, caps, and what a flood costs.

use crate::lab::{self, OTHER, SERVER, connect, frames, serve};
use crate::tcp::pattern;
use a3s_box_core::NetSubject;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

lab_test!(bytes_go_at_the_rate_both_ways, |lab| {
    let mut spec = lab::open();
    (spec.limits.rate, spec.limits.burst) = (4 << 20, 1 << 20);
    lab.boot(&spec);
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        stream.write_all(&got).unwrap();
    });
    lab.inside(0, || {
        let bytes = pattern(5 << 20);
        let mut stream = connect(server).unwrap();
        let start = Instant::now();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        let took = start.elapsed();
        assert!(got == bytes);
        // Four of the five megabytes take a second, each way.
        assert!(took > Duration::from_millis(1800), "{took:?}");
    });
});

lab_test!(connections_are_capped_and_said_so, |lab| {
    let mut spec = lab::open();
    spec.limits.connections = 20;
    lab.boot(&spec);
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (open, refused) = lab.inside(0, || {
        let tried: Vec<_> = (0..40).map(|_| connect(server)).collect();
        let open: Vec<TcpStream> = tried.into_iter().flatten().collect();
        (open.len(), 40 - open.len())
    });
    // The pings of the lab's own beginning may hold a place or two.
    assert!(open + refused == 40 && (18..=20).contains(&open), "{open}");
    lab.recorded("the cap", |r| r.rule == "limit: connections");
    lab.eventually("room again", || lab.inside(0, || connect(server).is_ok()));
});

lab_test!(a_flood_of_half_open_connections_is_bounded, |lab| {
    let mut spec = lab::open();
    (spec.limits.connections, spec.limits.connection_rate) = (300, 400);
    let (_, mut stream) = lab.wire(&spec);
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for n in 0..5000u16 {
        let syn = frames::tcp(1000 + n, server.port(), 1, 0, 2, 1000, b"");
        frames::send(&mut stream, &frames::ipv4("10.163.80.2", SERVER, 6, 0, &[], &syn));
        if n % 64 == 0 {
            while frames::next(&mut stream, Duration::from_millis(1)).is_some() {}
        }
    }
    lab.eventually("all are seen", || lab.counters().sent_frames >= 5000);
    assert!(lab.counters().open <= 300);
    assert!(lab.counters().refused >= 4000);
    // None of them was answered: they are forgotten without a word.
    lab.eventually("they are forgotten", || lab.counters().open == 0);
});

lab_test!(queries_have_a_rate, |lab| {
    let mut spec = lab::open();
    spec.limits.dns_rate = 5;
    lab.boot(&spec);
    let text = lab.says("dig +tries=1 +time=3 $(yes localhost | head -20)");
    assert!(text.matches("NOERROR").count() >= 5 && text.contains("REFUSED"), "{text}");
    lab.recorded("the rate", |r| r.subject == NetSubject::Dns && r.rule == "limit: DNS rate");
});

lab_test!(each_destination_has_a_rate_of_its_own, |lab| {
    let mut spec = lab::open();
    (spec.limits.destination_rate, spec.limits.destination_burst) = (4 << 20, 1 << 20);
    lab.boot(&spec);
    let servers = [SERVER, OTHER].map(|address| {
        serve(&format!("{address}:0"), |mut stream| {
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            stream.write_all(&got.len().to_le_bytes()).unwrap();
        })
    });
    let lab = &*lab;
    let took = std::thread::scope(|scope| {
        let start = Instant::now();
        // Two to one of them share its rate; the other one's is not touched by it.
        let to = |server| {
            scope.spawn(move || {
                lab.inside(0, || {
                    let mut stream = connect(server).unwrap();
                    stream.write_all(&pattern(3 << 20)).unwrap();
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    let mut length = [0; 8];
                    stream.read_exact(&mut length).unwrap();
                    assert_eq!(usize::from_le_bytes(length), 3 << 20);
                    start.elapsed()
                })
            })
        };
        let threads = [to(servers[0]), to(servers[0]), to(servers[1])];
        threads.map(|thread| thread.join().unwrap())
    });
    // Five of six megabytes at four a second, and two of three.
    let shared = took[0].max(took[1]);
    assert!(shared > Duration::from_millis(1150) && took[2] > Duration::from_millis(400), "{took:?}");
    assert!(took[2] < shared, "{took:?}");
});
