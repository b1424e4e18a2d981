//! A body as it comes over a connection: its failures are the connection's, and it must keep a pace.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// In each of these, so many bytes must come: every single read has a deadline, but a peer that gives a byte before each
/// of them would hold us for ever.
const WINDOW: Duration = Duration::from_secs(60);
const LEAST: u64 = 16 << 10;

/// A body that must keep a pace.
pub(super) struct Wire<R> {
    body: R,
    window: Duration,
    since: Instant,
    came: u64,
}

impl<R: Read> Wire<R> {
    pub(super) fn new(body: R) -> Self {
        Self::with_window(body, WINDOW)
    }

    fn with_window(body: R, window: Duration) -> Self {
        Self { body, window, since: Instant::now(), came: 0 }
    }
}

impl<R: Read> Read for Wire<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Whatever kind of error it is called below, it must not be taken for one of the content.
        let cut = |e: io::Error| io::Error::new(io::ErrorKind::ConnectionAborted, e);
        let count = self.body.read(buffer).map_err(cut)?;
        self.came += count as u64;
        if count > 0 && self.since.elapsed() > self.window {
            if self.came < LEAST {
                let slow =
                    format!("{} bytes in {} s are too slow", self.came, self.since.elapsed().as_secs());
                return Err(cut(io::Error::new(io::ErrorKind::TimedOut, slow)));
            }
            (self.since, self.came) = (Instant::now(), 0);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a piece at each read, and takes its time.
    struct Slow(usize);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_millis(5));
            let count = self.0.min(buffer.len());
            buffer[..count].fill(7);
            Ok(count)
        }
    }

    #[test]
    fn who_trickles_is_cut_off_and_who_is_only_slow_is_not() {
        let window = Duration::from_millis(20);
        let mut trickle = Wire::with_window(Slow(1), window);
        let error = io::copy(&mut trickle.by_ref().take(1000), &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(error.to_string().contains("too slow"), "{error}");
        let mut slow = Wire::with_window(Slow(20 << 10), window);
        io::copy(&mut slow.by_ref().take(200 << 10), &mut io::sink()).unwrap();
    }
}
