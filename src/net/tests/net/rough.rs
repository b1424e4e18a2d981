//! A rough way between the host and the server: losses, delays and reordering are the host's TCP to mend, and
//! must neither stall nor spoil what the guest sees.

use crate::lab::{self, Cable, Roughness, connect};
use crate::tcp::pattern;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::Duration;

fn through(lab: &mut lab::Lab, roughness: Roughness, length: usize) {
    let cable = Cable::new(roughness);
    lab.boot(&lab::open());
    let listener = cable.far(|| TcpListener::bind(format!("{}:0", Cable::FAR)).unwrap());
    let server: SocketAddr = listener.local_addr().unwrap();
    let bytes = pattern(length);
    let sent = bytes.clone();
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
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (lab, bytes) = (&*lab, &bytes);
            scope.spawn(move || {
                lab.inside(0, || {
                    let mut stream = connect(server).unwrap();
                    stream.write_all(bytes).unwrap();
                    stream.shutdown(Shutdown::Write).unwrap();
                    let mut got = Vec::new();
                    stream.read_to_end(&mut got).unwrap();
                    assert!(got == *bytes, "what was downloaded is not what was sent");
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
