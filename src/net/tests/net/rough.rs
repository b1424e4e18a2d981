//! A rough way between the host and the server: losses, delays and reordering are the host's TCP to mend, and
//! must neither stall nor spoil what the guest sees.

use crate::lab::{self, Cable, Roughness, SERVER, SERVER6, connect};
use crate::tcp::pattern;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

fn through(lab: &mut lab::Lab, roughness: Roughness, length: usize) {
    let cable = Cable::new(roughness);
    lab.boot(&lab::open());
    both_ways(lab, cable.far(|| TcpListener::bind(format!("{}:0", Cable::FAR)).unwrap()), length);
}

/// Moves `length` bytes both ways on each of four connections to `listener`.
fn both_ways(lab: &lab::Lab, listener: TcpListener, length: usize) {
    let bytes = pattern(length);
    carry(lab, serve(listener, bytes.clone()), &bytes);
}

/// A server that expects `sent` on each connection and then answers with it; its address.
fn serve(listener: TcpListener, sent: Vec<u8>) -> SocketAddr {
    let server = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let sent = sent.clone();
            std::thread::spawn(move || {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                assert!(got == sent, "what was uploaded is not what was sent");
                stream.write_all(&sent).unwrap();
            });
        }
    });
    server
}

fn carry(lab: &lab::Lab, server: SocketAddr, bytes: &[u8]) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || {
                lab.inside(0, || {
                    let mut stream = connect(server).unwrap();
                    stream.write_all(bytes).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).unwrap();
                    assert!(got == bytes, "what was downloaded is not what was sent");
                });
            });
        }
    });
    lab.eventually("all flows end", || lab.counters().open == 0);
}

lab_test!(losses_are_mended, |lab| {
    through(lab, Roughness { lost: 15, late: 0, delay: Duration::from_millis(2) }, 1 << 20);
});

lab_test!(reordering_is_mended, |lab| {
    through(lab, Roughness { lost: 0, late: 100, delay: Duration::from_millis(4) }, 4 << 20);
});

lab_test!(a_long_way_is_filled, |lab| {
    through(lab, Roughness { lost: 1, late: 5, delay: Duration::from_millis(40) }, 4 << 20);
});

lab_test!(a_bad_line_is_endured, |lab| {
    // Hours by A3S_TEST_SOAK_SECONDS, seconds otherwise.
    let end = Instant::now() + lab::soak();
    let cable = Cable::new(Roughness { lost: 5, late: 50, delay: Duration::from_millis(5) });
    lab.boot(&lab::open());
    let bytes = pattern(256 << 10);
    let listener = cable.far(|| TcpListener::bind(format!("{}:0", Cable::FAR)).unwrap());
    let server = serve(listener, bytes.clone());
    let mut rounds = 0;
    while Instant::now() < end {
        carry(lab, server, &bytes);
        rounds += 1;
    }
    println!("{rounds} rounds");
    assert!(rounds > 0);
});

lab_test!(what_netem_does_is_mended, |lab| {
    // Where this host's kernel has no netem, our own cable does about the same.
    let impaired = "tc qdisc add dev lo root netem delay 10ms 4ms loss 1% reorder 10% duplicate 1%";
    let has = std::process::Command::new("sh").args(["-c", impaired]).output().unwrap().status.success();
    println!("impaired by {}", if has { "netem" } else { "our own cable" });
    if !has {
        assert!(std::env::var_os("A3S_TEST_NETEM").is_none(), "this kernel is to have netem");
        return through(lab, Roughness { lost: 10, late: 100, delay: Duration::from_millis(10) }, 1 << 20);
    }
    lab::sh("ip link set lo mtu 1500");
    lab.boot(&lab::open());
    both_ways(lab, TcpListener::bind(format!("{SERVER}:0")).unwrap(), 1 << 20);
    for address in [SERVER, SERVER6] {
        assert!(lab.says(&format!("ping -c 20 -i 0.05 -W 5 {address}")).contains("received"));
    }
});
