//! TCP between a Linux guest and the host's sockets.

use crate::lab::{self, Lab, PATIENCE, SERVER, SERVER6, connect, frames, serve};
use sha2::{Digest, Sha256};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Bytes that repeat after a prime number of them, so that one that is lost or doubled shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..65_537u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
        .cycle()
        .take(length)
        .collect()
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// The digest of all that comes, and how much it is.
fn drink(stream: &mut TcpStream) -> std::io::Result<(Vec<u8>, usize)> {
    let (mut hash, mut total, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 18]);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok((hash.finalize().to_vec(), total)),
            count => {
                hash.update(&buffer[..count]);
                total += count;
            }
        }
    }
}

lab_test!(large_transfers_arrive_whole_both_ways, |lab| {
    lab.boot(&lab::open());
    let bytes = pattern(192 << 20);
    let expected = digest(&bytes);
    for address in [SERVER, SERVER6] {
        let address = if address.contains(':') { format!("[{address}]:0") } else { format!("{address}:0") };
        let sent = bytes.clone();
        let server = serve(&address, move |mut stream| {
            let (hash, _) = drink(&mut stream).unwrap();
            stream.write_all(&hash).unwrap();
            stream.write_all(&sent).unwrap();
        });
        let (seen, (back, total)) = lab.inside(0, || {
            let mut stream = connect(server).unwrap();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut hash = vec![0; 32];
            stream.read_exact(&mut hash).unwrap();
            (hash, drink(&mut stream).unwrap())
        });
        assert_eq!(total, bytes.len());
        assert!(seen == expected && back == expected, "over {address}");
    }
    let record = lab.recorded("the connection", |r| r.sent == bytes.len() as u64);
    assert_eq!((record.received, record.rule.as_str()), (32 + bytes.len() as u64, "default: internet"));
});

lab_test!(each_direction_ends_for_itself, |lab| {
    lab.boot(&lab::open());
    // Whoever is told the end first still answers.
    let echo = serve(&format!("{SERVER}:0"), |mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    let first = serve(&format!("{SERVER}:0"), |mut stream| {
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "and good bye");
    });
    lab.inside(0, || {
        let mut stream = connect(echo).unwrap();
        stream.write_all(b"shout").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "SHOUT");
        let mut stream = connect(first).unwrap();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "SHOUThello");
        stream.write_all(b"and good bye").unwrap();
    });
    lab.eventually("all flows end", || lab.counters().open == 0);
});

lab_test!(resets_reach_the_other_side, |lab| {
    lab.boot(&lab::open());
    let resets = serve(&format!("{SERVER}:0"), |mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let (sender, receiver) = mpsc::channel();
    let told = serve(&format!("{SERVER}:0"), move |mut stream| {
        sender.send(stream.read_to_end(&mut Vec::new()).unwrap_err().kind()).unwrap();
    });
    lab.inside(0, || {
        let mut stream = connect(resets).unwrap();
        stream.write_all(b"x").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let mut stream = connect(told).unwrap();
        stream.write_all(b"x").unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), ErrorKind::ConnectionReset);
    lab.eventually("all flows end", || lab.counters().open == 0);
});

lab_test!(what_cannot_be_reached_says_why_at_once, |lab| {
    lab.boot(&lab::open());
    let kind = |to: &str| {
        let to: SocketAddr = to.parse().unwrap();
        let start = Instant::now();
        let error = lab.inside(0, || connect(to).unwrap_err());
        assert!(start.elapsed() < Duration::from_secs(3), "{to} took {:?}", start.elapsed());
        error.kind()
    };
    assert_eq!(kind(&format!("{SERVER}:9")), ErrorKind::ConnectionRefused);
    assert_eq!(kind(&format!("[{SERVER6}]:9")), ErrorKind::ConnectionRefused);
    assert_eq!(kind("203.0.114.9:80"), ErrorKind::NetworkUnreachable);
    assert_eq!(kind("[2001:db8:9::1]:80"), ErrorKind::NetworkUnreachable);
});

lab_test!(who_reads_slowly_stops_who_writes, |lab| {
    lab.boot(&lab::open());
    let bytes = pattern(48 << 20);
    let expected = digest(&bytes);
    let (go, wait) = mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let server = {
        let bytes = bytes.clone();
        serve(&format!("{SERVER}:0"), move |mut stream| {
            wait.lock().unwrap().recv().unwrap();
            let (hash, _) = drink(&mut stream).unwrap();
            stream.write_all(&hash).unwrap();
            stream.write_all(&bytes).unwrap();
        })
    };
    lab.inside(0, || {
        let mut stream = connect(server).unwrap();
        // The server does not read: the guest is stopped long before it has written all.
        stream.set_nonblocking(true).unwrap();
        let (mut written, mut quiet) = (0, Instant::now());
        while quiet.elapsed() < Duration::from_millis(500) {
            match stream.write(&bytes[written..]) {
                Ok(count) => (written, quiet) = (written + count, Instant::now()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            assert!(written < bytes.len(), "nothing stopped the guest");
        }
        stream.set_nonblocking(false).unwrap();
        go.send(()).unwrap();
        stream.write_all(&bytes[written..]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut hash = vec![0; 32];
        stream.read_exact(&mut hash).unwrap();
        assert_eq!(hash, expected);
        // Now the guest does not read, until nothing moves any more.
        let received = || lab.counters().received;
        let mut last = received();
        loop {
            std::thread::sleep(Duration::from_millis(300));
            if received() == last {
                break;
            }
            last = received();
        }
        assert_eq!(drink(&mut stream).unwrap(), (expected.clone(), bytes.len()));
    });
});

lab_test!(tiny_windows_only_make_it_slow, |lab| {
    lab.boot(&lab::open());
    let bytes = pattern(96 << 10);
    let expected = digest(&bytes);
    let server = {
        let bytes = bytes.clone();
        serve(&format!("{SERVER}:0"), move |mut stream| {
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 8192).unwrap();
            let (hash, _) = drink(&mut stream).unwrap();
            stream.write_all(&hash).unwrap();
            stream.write_all(&bytes).unwrap();
        })
    };
    lab.inside(0, || {
        let mut stream = connect(server).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 8192).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut hash = vec![0; 32];
        stream.read_exact(&mut hash).unwrap();
        assert_eq!(hash, expected);
        assert_eq!(drink(&mut stream).unwrap(), (expected.clone(), bytes.len()));
    });
});

lab_test!(a_thousand_connections_at_once, |lab| {
    lab.boot(&lab::open());
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..count]).unwrap();
        }
    });
    lab.inside(0, || {
        let mut streams: Vec<TcpStream> = (0..1000).map(|_| connect(server).unwrap()).collect();
        for round in 0..3u32 {
            for (index, stream) in streams.iter_mut().enumerate() {
                stream.write_all(format!("{round:04}{index:04}").as_bytes()).unwrap();
            }
            for (index, stream) in streams.iter_mut().enumerate() {
                let mut answer = [0; 8];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer, format!("{round:04}{index:04}").as_bytes());
            }
        }
        assert!(lab.counters().open >= 1000);
    });
    lab.eventually("all flows end", || lab.counters().open == 0);
});

const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const FIN: u8 = 1;
const GUEST: &str = "10.163.80.2";

/// A guest that is played by hand over one connection.
struct Player {
    stream: std::os::unix::net::UnixStream,
    to: u16,
    seq: u32,
    ack: u32,
}

impl Player {
    /// Boots and connects to `server` from port 5000.
    fn connect(lab: &mut Lab, server: SocketAddr, window: u16) -> Self {
        let (_, stream) = lab.wire(&lab::open());
        let mut player = Self { stream, to: server.port(), seq: 0xffff_ff00, ack: 0 };
        player.say(player.seq, SYN, window, b"");
        let answer = player.hear();
        assert_eq!((answer.flags, answer.ack), (SYN | ACK, player.seq.wrapping_add(1)));
        player.seq = answer.ack;
        player.ack = answer.seq.wrapping_add(1);
        player.say(player.seq, ACK, window, b"");
        player
    }

    fn say(&mut self, seq: u32, flags: u8, window: u16, data: &[u8]) {
        let segment = frames::tcp(5000, self.to, seq, self.ack, flags, window, data);
        frames::send(&mut self.stream, &frames::ipv4(GUEST, SERVER, 6, 0, &[], &segment));
    }

    /// The next segment that is no bare acknowledgement.
    fn hear(&mut self) -> frames::Came {
        self.hear_within(PATIENCE).unwrap()
    }

    fn hear_within(&mut self, patience: Duration) -> Option<frames::Came> {
        loop {
            if let Some(came) = frames::segment(&frames::next(&mut self.stream, patience)?) {
                return Some(came);
            }
        }
    }
}

lab_test!(segments_that_come_twice_too_early_or_overlap_are_put_right, |lab| {
    let (sender, receiver) = mpsc::channel();
    let server = serve(&format!("{SERVER}:0"), move |mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        sender.send(text).unwrap();
    });
    let mut player = Player::connect(lab, server, 65_535);
    let start = player.seq;
    player.say(start.wrapping_add(3), ACK, 65_535, b"def");
    player.say(start, ACK, 65_535, b"abc");
    player.say(start, ACK, 65_535, b"abcde");
    player.say(start.wrapping_add(1), ACK, 65_535, b"bc");
    player.say(start.wrapping_add(4), ACK | FIN, 65_535, b"efg");
    player.say(start.wrapping_add(5), ACK | FIN, 65_535, b"fg");
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), "abcdefg");
});

lab_test!(what_the_guest_lost_is_sent_again, |lab| {
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        stream.write_all(&pattern(4000)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut player = Player::connect(lab, server, 1000);
    let first = player.hear();
    assert_eq!(first.data.len(), 536);
    let start = first.seq;
    // Three repeated acknowledgements bring it again at once.
    player.ack = start;
    for _ in 0..4 {
        let seq = player.seq;
        player.say(seq, ACK, 1000, b"");
    }
    // It gets nothing more than the window, and what is not acknowledged comes again: for the repetition, and
    // then for the time that passes.
    for _ in 0..2 {
        let again = loop {
            let came = player.hear();
            if came.seq == start {
                break came;
            }
            assert!(came.seq.wrapping_sub(start) + u32::try_from(came.data.len()).unwrap() <= 1000);
        };
        assert_eq!(again.data, first.data);
    }
    // Everything arrives once it is acknowledged.
    let (mut all, mut next) = (Vec::new(), start);
    while all.len() < 4000 {
        let came = player.hear();
        if came.seq == next {
            next = next.wrapping_add(u32::try_from(came.data.len()).unwrap());
            all.extend_from_slice(&came.data);
        }
        player.ack = next;
        let seq = player.seq;
        player.say(seq, ACK, 1000, b"");
    }
    assert_eq!(all, pattern(4000));
});

lab_test!(what_a_guest_had_no_memory_for_comes_again_when_it_has, |lab| {
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        stream.write_all(&pattern(500)).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut player = Player::connect(lab, server, 1000);
    let first = player.hear();
    player.ack = first.seq;
    let seq = player.seq;
    // It drops what came and shuts its window; as soon as it opens it again, it is not made to wait for a timeout.
    player.say(seq, ACK, 0, b"");
    player.say(seq, ACK, 1000, b"");
    let again = player.hear_within(Duration::from_millis(300)).unwrap();
    assert_eq!((again.seq, again.data), (first.seq, pattern(500)));
});

lab_test!(a_closed_window_is_probed, |lab| {
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        stream.write_all(b"at last").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut player = Player::connect(lab, server, 0);
    let probe = player.hear();
    assert_eq!((probe.seq.wrapping_add(1), probe.data.len()), (player.ack, 0));
    let seq = player.seq;
    player.say(seq, ACK, 100, b"");
    assert_eq!(player.hear().data, b"at last");
});

lab_test!(strangers_and_the_dead_are_reset, |lab| {
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut player = Player::connect(lab, server, 1000);
    let start = player.seq;
    // A segment of no connection.
    let stray = frames::tcp(6000, server.port(), 77, 99, ACK, 1000, b"x");
    frames::send(&mut player.stream, &frames::ipv4(GUEST, SERVER, 6, 0, &[], &stray));
    let answer = player.hear();
    assert_eq!((answer.flags, answer.seq), (RST, 99));
    // A SYN in the middle of one is answered with where the connection is.
    player.say(start.wrapping_add(70_000), SYN, 1000, b"");
    let answer = player.hear();
    assert_eq!((answer.flags, answer.ack), (ACK, start));
    // A reset with an old number is ignored, one with the right number is not.
    player.say(start.wrapping_sub(10), RST, 0, b"");
    player.say(start, ACK, 1000, b"still here");
    assert_eq!(player.hear().ack, start.wrapping_add(10));
    player.say(start.wrapping_add(10), RST, 0, b"");
    lab.recorded("the end", |r| r.sent == 10);
});

lab_test!(a_guest_that_shut_its_window_is_told_of_ours_where_it_listens, |lab| {
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        let _ = stream.write_all(&[7; 4000]);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut guest = Player::connect(lab, server, 8000);
    let start = guest.ack;
    let mut came = 0;
    while came < 4000 {
        came += guest.hear().data.len();
    }
    // It takes the first segment, drops the rest for want of memory, and shuts its window.
    guest.ack = start.wrapping_add(536);
    guest.say(guest.seq, ACK, 0, b"");
    // Then it asks for ours (RFC 9293, 3.8.6.1), and takes only what lies in its own.
    guest.say(guest.seq.wrapping_sub(1), ACK, 0, b"");
    let answer = guest.hear();
    assert_eq!((answer.seq, answer.ack, answer.flags), (guest.ack, guest.seq, ACK));
    assert!(answer.window > 0);
    // Once it has room, what it dropped comes again.
    guest.say(guest.seq, ACK, 8000, b"");
    assert_eq!(guest.hear().seq, guest.ack);
});

lab_test!(what_is_sent_again_says_what_is_waited_for_now, |lab| {
    let server = serve(&format!("{SERVER}:0"), |mut stream| {
        let _ = stream.write_all(&[7; 500]);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let mut guest = Player::connect(lab, server, 8000);
    let lost = guest.hear();
    guest.say(guest.seq, ACK, 8000, &[1; 1000]);
    guest.seq = guest.seq.wrapping_add(1000);
    // It never acknowledges, so the same comes again; a kernel drops what acknowledges too little.
    let again = std::iter::repeat_with(|| guest.hear()).find(|came| !came.data.is_empty()).unwrap();
    assert_eq!((again.seq, again.data), (lost.seq, lost.data));
    assert_eq!(again.ack, guest.seq);
});
