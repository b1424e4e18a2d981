//! The rewriting of requests and responses under any bytes. What comes of them does not depend on the pieces that they
//! come in, a value goes in where its placeholder was and nowhere else, and a request with a value in it is one still.

use super::request::{Asked, Requests};
use super::response::Responses;
use super::swap::Swap;
use a3s_box_core::{Secret, SecretSource};
use std::collections::VecDeque;

const HOST: &str = "h.example";
const PLACEHOLDER: &str = "a3s-secret-0";
const VALUE: &str = "v \u{e9}&%41=value";

fn swap() -> Swap {
    let source = SecretSource::Env(String::new());
    let secret = Secret { name: "T".into(), source, hosts: Vec::new(), placeholder: PLACEHOLDER.into() };
    Swap::new(&secret, VALUE)
}

type Passed = Result<(), &'static str>;

/// What comes of `bytes` in pieces of `piece`, and which requests there were.
fn requests(bytes: &[u8], piece: usize, swaps: &[&Swap]) -> (Passed, Vec<u8>, VecDeque<Asked>, usize) {
    let (mut requests, mut asked, mut out) = (Requests::new(HOST.into()), VecDeque::new(), Vec::new());
    let (mut used, mut passed) = (0, Ok(()));
    for part in bytes.chunks(piece.max(1)) {
        requests.buffer.extend_from_slice(part);
        passed = requests.pass(swaps, &mut |_| used += 1, &mut asked, &mut out);
        if passed.is_err() {
            break;
        }
    }
    (passed, out, asked, used)
}

/// The requests of a connection.
pub(crate) fn request(bytes: &[u8]) {
    let swap = swap();
    let whole = requests(bytes, usize::MAX, &[&swap]);
    assert_eq!(whole, requests(bytes, 1 + bytes.len() / 3, &[&swap]), "pieces matter");
    let (passed, out, asked, used) = whole;
    assert!(
        used == 0 || find(bytes, PLACEHOLDER.as_bytes()) || find(&bytes.to_ascii_lowercase(), b"basic"),
        "a value out of nothing"
    );
    if passed.is_ok() {
        let again = requests(&out, usize::MAX, &[]);
        assert_eq!((again.0, again.2), (Ok(()), asked), "a value makes other requests");
    }
}

/// The responses of a connection, on which a request of each kind was sent.
pub(crate) fn response(bytes: &[u8]) {
    let swap = swap();
    let pass = |piece: usize| {
        let mut requests = Requests::new(HOST.into());
        let kinds = [(false, false), (true, false), (false, true)];
        let mut asked: VecDeque<Asked> =
            kinds.into_iter().map(|(bodiless, switches)| Asked { bodiless, switches }).collect();
        let (mut responses, mut out, mut passed) = (Responses::new(), Vec::new(), Ok(()));
        for part in bytes.chunks(piece.max(1)) {
            responses.buffer.extend_from_slice(part);
            passed = responses.pass(&[&swap], &mut asked, &mut requests, &mut out);
            if passed.is_err() {
                break;
            }
        }
        (passed, out, asked)
    };
    let whole = pass(usize::MAX);
    let parts = pass(1 + bytes.len() / 3);
    assert_eq!((&whole.1, &whole.2), (&parts.1, &parts.2), "pieces matter");
    // Bytes that no head can begin with are known as such a little earlier or later.
    assert!(whole.0.is_ok() == parts.0.is_ok(), "pieces matter to what is refused");
}

fn find(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}
