//! A websocket (RFC 6455) from a box to a server, for as long as it is asked to last.

use crate::harness::{Home, PATIENCE};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// Seconds that it lasts, unless `A3S_TEST_WEBSOCKET_SECONDS` says otherwise: ten minutes are `600`.
const SECONDS: u64 = 20;
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The example of RFC 6455, 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Sends a frame, masked as those of clients are.
fn send(to: &mut impl Write, kind: u8, text: &[u8], mask: Option<[u8; 4]>) {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 126);
    let mut frame = vec![kind, length | if mask.is_some() { 0x80 } else { 0 }];
    frame.extend(mask.iter().flatten());
    frame.extend(text.iter().zip(mask.unwrap_or_default().iter().cycle()).map(|(byte, mask)| byte ^ mask));
    to.write_all(&frame).unwrap();
    to.flush().unwrap();
}

/// The next frame, unmasked.
fn receive(from: &mut impl Read) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    from.read_exact(&mut head).unwrap();
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        from.read_exact(&mut mask).unwrap();
    }
    let mut text = vec![0; usize::from(head[1] & 0x7f)];
    from.read_exact(&mut text).unwrap();
    text.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    (head[0], text)
}

fn head(from: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A server that pings its client every second for `lasts`, answers texts with themselves, and closes.
fn serve(lasts: Duration) -> (u16, std::thread::JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(*PATIENCE)).unwrap();
        assert!(head(&mut stream).contains(&format!("Sec-WebSocket-Key: {KEY}\r\n")));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        let (start, mut pings) = (Instant::now(), 0u64);
        while start.elapsed() < lasts {
            send(&mut stream, PING, &pings.to_le_bytes(), None);
            let mut ponged = false;
            while !ponged {
                let (kind, text) = receive(&mut stream);
                match kind {
                    PONG => {
                        assert_eq!(text, pings.to_le_bytes());
                        ponged = true;
                    }
                    TEXT => send(&mut stream, TEXT, &text, None),
                    other => panic!("frame {other:#x}"),
                }
            }
            pings += 1;
            // Mostly it is silent, as such connections are.
            std::thread::sleep(Duration::from_secs(1));
        }
        send(&mut stream, CLOSE, &1000u16.to_be_bytes(), None);
        while receive(&mut stream).0 != CLOSE {}
        pings
    });
    (port, server)
}

#[test]
fn a_websocket_lasts() {
    let seconds = std::env::var("A3S_TEST_WEBSOCKET_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let (port, server) = serve(Duration::from_secs(seconds));
    let home = Home::new();
    home.start("b", &[&format!("--allow-host=host.a3s.internal:{port}")], "sleep 100000");
    let mut client = home.a3s(&["exec", "-i", "b", "nc", "host.a3s.internal", &port.to_string()]).spawn();
    let (mut to, mut from) = (client.stdin(), client.stdout());
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: host.a3s.internal:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    to.write_all(request.as_bytes()).unwrap();
    to.flush().unwrap();
    assert!(head(&mut from).contains(ACCEPT));
    let mut said = 0u64;
    loop {
        let (kind, text) = receive(&mut from);
        match kind {
            PING => {
                // What looks like a request for somebody else is nobody's business here.
                send(
                    &mut to,
                    TEXT,
                    format!("GET / HTTP/1.1\r\nHost: {said}\r\n\r\n").as_bytes(),
                    Some([7, 77, 1, 250]),
                );
                send(&mut to, PONG, &text, Some([1, 2, 3, 4]));
            }
            TEXT => {
                assert_eq!(text, format!("GET / HTTP/1.1\r\nHost: {said}\r\n\r\n").as_bytes());
                said += 1;
            }
            CLOSE => {
                send(&mut to, CLOSE, &text, Some([9, 9, 9, 9]));
                break;
            }
            other => panic!("frame {other:#x}"),
        }
    }
    let pings = server.join().unwrap();
    assert!(pings > seconds / 2 && said >= pings - 1, "{pings} pings, {said} texts");
    println!("{pings} pings and {said} texts in {seconds} s");
}
