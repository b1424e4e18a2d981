//! One blob over the network: continued where a connection was cut, and in several ranges at a time if it is large.

use super::client::{Client, Range};
use super::stop::Stop;
use super::wire::Wire;
use super::{Descriptor, ImageError, Result};
use crate::store::Partial;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use ureq::Body;
use ureq::http::{Response, StatusCode};

const BUFFER: usize = 128 << 10;
/// A try that brings less than this counts as one that brought nothing, so that nobody can feed us by the byte.
const PROGRESS: u64 = 64 << 10;
/// The length of a range, in bytes. A layer's ranges are put together in memory.
const RANGE: u64 = 4 << 20;
/// Ranges of a layer that come at a time.
const RANGES: u64 = 4;
/// What is left of a layer that comes in ranges: less is not worth the connections.
const LARGE: u64 = 16 << 20;

/// Who follows a transfer.
pub(super) struct Watch<'a> {
    /// Called with the bytes that came over the network or were there before.
    pub received: &'a (dyn Fn(u64) + Sync),
    /// Called with the bytes that are in the file.
    pub written: &'a dyn Fn(u64),
    /// Set when the pull has failed otherwise.
    pub stop: &'a Stop,
}

/// Fetches what is missing of `partial` and gives it its place in the store.
pub(super) fn fetch(client: &Client, mut partial: Partial, watch: &Watch<'_>) -> Result<()> {
    (watch.received)(partial.written());
    let fetched = if partial.blob().size - partial.written() >= LARGE {
        in_ranges(client, &mut partial, watch)
    } else {
        in_one_go(client, &mut partial, None, watch)
    };
    match fetched {
        Ok(()) => partial.publish(),
        // A lie cannot be continued, and what filled the disk must not keep it full.
        Err(error) => {
            let useless = matches!(error, ImageError::Corrupt { .. }) || error.is_out_of_space();
            if useless || watch.stop.is_for_room() { partial.discard().and(Err(error)) } else { Err(error) }
        }
    }
}

/// A body that cannot be what was promised.
fn lie(blob: &Descriptor, reason: impl ToString) -> ImageError {
    ImageError::corrupt(format!("blob {}", blob.digest), reason)
}

fn cut(client: &Client, blob: &Descriptor, source: io::Error) -> ImageError {
    let action = format!("read blob {} from {}", blob.digest, client.host());
    ImageError::Unreachable { action, source: Box::new(source) }
}

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "the pull has failed")
}

/// Front to back over one connection after the other. `answer` is to a request for the first range.
fn in_one_go(
    client: &Client,
    partial: &mut Partial,
    mut answer: Option<Response<Body>>,
    watch: &Watch<'_>,
) -> Result<()> {
    let mut patience = client.patience();
    let (mut mark, mut ranged) = (partial.written(), true);
    while partial.written() < partial.blob().size {
        let start = partial.written();
        let range = (start > 0 && ranged).then_some(Range { start, end: None });
        let response = match answer.take() {
            Some(response) => response,
            None => match client.blob(partial.blob(), range) {
                // Not every registry gives ranges; then what is there comes again and is skipped.
                Err(ImageError::Refused { answer, .. }) if range.is_some() && answer.starts_with("416") => {
                    ranged = false;
                    continue;
                }
                other => other?,
            },
        };
        if let Err(source) = append(partial, response, watch)? {
            if partial.written() - mark >= PROGRESS {
                patience.renew();
                mark = partial.written();
            }
            if watch.stop.is_set() || !patience.wait(None) {
                return Err(cut(client, partial.blob(), source));
            }
        }
    }
    Ok(())
}

/// Appends a body to `partial`. The inner error is the connection's.
fn append(partial: &mut Partial, response: Response<Body>, watch: &Watch<'_>) -> Result<io::Result<()>> {
    let blob = partial.blob().clone();
    let mut skip = match offset(&blob, &response, partial.written())? {
        Some(offset) => partial.written() - offset,
        None => partial.written(),
    };
    let mut body = Wire::new(response.into_body().into_reader());
    let mut buffer = vec![0; BUFFER];
    loop {
        if watch.stop.is_set() {
            return Ok(Err(stopped()));
        }
        let count = match body.read(&mut buffer) {
            Ok(count) => count,
            // Whatever may have been wrong with the rest, all that was promised is here.
            Err(_) if partial.written() == blob.size => return Ok(Ok(())),
            Err(e) => return Ok(Err(e)),
        };
        let missing = blob.size - partial.written();
        match (count, missing) {
            (0, 0) => return Ok(Ok(())),
            (0, _) => return Ok(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => {}
        }
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
        skip -= skipped as u64;
        let new = &buffer[skipped..count];
        if new.len() as u64 > missing {
            return Err(lie(&blob, "it is longer than declared"));
        }
        partial.append(new)?;
        (watch.received)(partial.written());
        (watch.written)(partial.written());
    }
}

/// Where in the blob the body of `response` begins, if it is a part that begins at `start`; none for a whole one.
fn offset(blob: &Descriptor, response: &Response<Body>, start: u64) -> Result<Option<u64>> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let range = header("content-range").and_then(|text| {
            let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
            let (first, _) = span.split_once('-')?;
            let fits = total == "*" || total.parse() == Ok(blob.size);
            (fits && first.parse() == Ok(start)).then_some(start)
        });
        return range.map(Some).ok_or_else(|| {
            lie(
                blob,
                format!("the registry answers with the range {:?}", header("content-range").unwrap_or("")),
            )
        });
    }
    match header("content-length").and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > blob.size => Err(lie(blob, "it is longer than declared")),
        Some(length) if length < blob.size => {
            Err(lie(blob, format!("{} bytes are missing", blob.size - length)))
        }
        _ => Ok(None),
    }
}

/// Ranges that are under way, and those that wait for the ones before them.
struct Window {
    state: Mutex<Ranges>,
    changed: Condvar,
}

struct Ranges {
    /// Where the next range to be fetched begins.
    next: u64,
    /// Where the next range to be written begins.
    written: u64,
    done: BTreeMap<u64, Vec<u8>>,
    failure: Option<ImageError>,
    over: bool,
}

impl Window {
    fn state(&self) -> MutexGuard<'_, Ranges> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, Ranges>) -> MutexGuard<'a, Ranges> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next range for a fetcher, once it would not have to wait for long in memory.
    fn take(&self, size: u64) -> Option<Range> {
        let mut state = self.state();
        loop {
            if state.over || state.failure.is_some() || state.next >= size {
                return None;
            }
            if state.next < state.written + RANGES * RANGE {
                let start = state.next;
                state.next = (start + RANGE).min(size);
                return Some(Range { start, end: Some(state.next) });
            }
            state = self.wait(state);
        }
    }

    fn put(&self, start: u64, fetched: Result<Vec<u8>>) {
        let mut state = self.state();
        match fetched {
            Ok(bytes) => drop(state.done.insert(start, bytes)),
            Err(error) => drop(state.failure.get_or_insert(error)),
        }
        self.changed.notify_all();
    }

    /// The range that begins at `start`, when it has come.
    fn get(&self, start: u64) -> Result<Vec<u8>> {
        let mut state = self.state();
        state.written = start;
        self.changed.notify_all();
        loop {
            if let Some(error) = state.failure.take() {
                state.over = true;
                return Err(error);
            }
            if let Some(bytes) = state.done.remove(&start) {
                return Ok(bytes);
            }
            state = self.wait(state);
        }
    }

    fn close(&self) {
        self.state().over = true;
        self.changed.notify_all();
    }
}

fn in_ranges(client: &Client, partial: &mut Partial, watch: &Watch<'_>) -> Result<()> {
    let (blob, start) = (partial.blob().clone(), partial.written());
    let first = Range { start, end: Some(start + RANGE) };
    let answer = client.blob(&blob, Some(first))?;
    if answer.status() != StatusCode::PARTIAL_CONTENT {
        return in_one_go(client, partial, Some(answer), watch);
    }
    let window = Window {
        state: Mutex::new(Ranges {
            next: start + RANGE,
            written: start,
            done: BTreeMap::new(),
            failure: None,
            over: false,
        }),
        changed: Condvar::new(),
    };
    let received = AtomicU64::new(start);
    let came = |count: u64| (watch.received)(received.fetch_add(count, Ordering::Relaxed) + count);
    thread::scope(|scope| {
        let (window, blob, stop) = (&window, &blob, watch.stop);
        let came: &(dyn Fn(u64) + Sync) = &came;
        scope.spawn(move || window.put(first.start, part(client, blob, first, Some(answer), came, stop)));
        for _ in 0..RANGES {
            scope.spawn(move || {
                while let Some(range) = window.take(blob.size) {
                    window.put(range.start, part(client, blob, range, None, came, stop));
                }
            });
        }
        let written = (|| {
            while partial.written() < blob.size {
                let bytes = window.get(partial.written())?;
                partial.append(&bytes)?;
                (watch.written)(partial.written());
            }
            Ok(())
        })();
        window.close();
        written
    })
}

/// One range of a blob, tried again from where it was cut.
fn part(
    client: &Client,
    blob: &Descriptor,
    range: Range,
    mut answer: Option<Response<Body>>,
    came: &(dyn Fn(u64) + Sync),
    stop: &Stop,
) -> Result<Vec<u8>> {
    let end = range.end.unwrap_or(blob.size);
    let length = usize::try_from(end - range.start).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length);
    let mut patience = client.patience();
    let mut mark = 0;
    while bytes.len() < length {
        let start = range.start + bytes.len() as u64;
        let response = match answer.take() {
            Some(response) => response,
            None => client.blob(blob, Some(Range { start, end: Some(end) }))?,
        };
        if offset(blob, &response, start)?.is_none() {
            return Err(lie(blob, "the registry gives a range of it once and then does not"));
        }
        let mut body = Wire::new(response.into_body().into_reader()).take(length as u64 - bytes.len() as u64);
        let mut buffer = vec![0; BUFFER];
        let failure = loop {
            if stop.is_set() {
                return Err(cut(client, blob, stopped()));
            }
            match body.read(&mut buffer) {
                Ok(0) => break io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    bytes.extend_from_slice(&buffer[..count]);
                    came(count as u64);
                }
                Err(e) => break e,
            }
        };
        if bytes.len() < length {
            if bytes.len() as u64 - mark >= PROGRESS {
                patience.renew();
                mark = bytes.len() as u64;
            }
            if !patience.wait(None) {
                return Err(cut(client, blob, failure));
            }
        }
    }
    Ok(bytes)
}
