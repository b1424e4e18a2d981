//! Frames on the VMM's stream: a 4-byte big-endian length, then the Ethernet frame.
//!
//! Both libkrun (`krun_add_net_unixstream`) and QEMU (`-netdev stream`) speak it. Reading is bounded by the
//! longest frame that a link of our MTU can carry; a longer one is a broken VMM, and ends the stack. Writing
//! never blocks: what the VMM does not take waits in a queue, and whoever fills it asks for room first.

use crate::packet::{ETHERNET, PREFIX};
use crate::sys;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::AsFd;
use std::rc::Rc;

/// The longest frame: an IP datagram of 65,535 bytes, its Ethernet header and a VLAN tag.
const MAX_FRAME: usize = 65_535 + ETHERNET + 4;
/// What one read takes in.
const READ: usize = 512 << 10;
/// From this many bytes on, bulk data waits where it is.
const FULL: usize = 768 << 10;
/// Slices of one write.
const SLICES: usize = 32;

/// Takes frames off the stream.
pub(crate) struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// What came of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// Some bytes.
    Some,
    /// Nothing for now.
    Nothing,
    /// The VMM has closed the stream.
    Closed,
}

impl FrameReader {
    pub(crate) fn new() -> Self {
        Self { buffer: vec![0; READ], start: 0, end: 0 }
    }

    /// Reads what there is. All frames that came before must have been taken.
    pub(crate) fn fill(&mut self, stream: impl AsFd) -> io::Result<Filled> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match recv(stream, &mut self.buffer[self.end..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => Ok(Filled::Closed),
            Ok((_, count)) => {
                self.end += count;
                Ok(Filled::Some)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Filled::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    /// Where in [`Self::bytes`] the next whole frame is.
    ///
    /// # Errors
    /// `InvalidData` for a length that no frame has.
    pub(crate) fn next_frame(&mut self) -> io::Result<Option<Range<usize>>> {
        let Some(prefix) = self.buffer[self.start..self.end].first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if !(1..=MAX_FRAME).contains(&length) {
            let text = format!("the VMM sent a frame of {length} bytes; 1 to {MAX_FRAME} make sense");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let from = self.start + PREFIX;
        if self.end - from < length {
            return Ok(None);
        }
        self.start = from + length;
        Ok(Some(from..from + length))
    }

    /// What was read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }
}

/// Frames on their way to the guest, each with its length before it.
#[derive(Default)]
pub(crate) struct FrameQueue {
    frames: VecDeque<Rc<Vec<u8>>>,
    /// Bytes of the first frame that have gone.
    gone: usize,
    bytes: usize,
}

impl FrameQueue {
    /// Appends a frame.
    pub(crate) fn push(&mut self, frame: impl Into<Rc<Vec<u8>>>) {
        let frame = frame.into();
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Whether bulk data may be added.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < FULL
    }

    /// Whether so much waits that the guest gets no answers to what it sends either.
    pub(crate) fn is_flooded(&self) -> bool {
        self.bytes >= 4 * FULL
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Writes what the stream takes.
    pub(crate) fn flush(&mut self, stream: impl AsFd) -> io::Result<()> {
        while !self.frames.is_empty() {
            let first = std::iter::once(self.gone).chain(std::iter::repeat(0));
            let slices: Vec<IoSlice<'_>> = self
                .frames
                .iter()
                .zip(first)
                .take(SLICES)
                .map(|(f, gone)| IoSlice::new(&f[gone..]))
                .collect();
            let flags = sys::NO_SIGNAL | SendFlags::DONTWAIT;
            match sendmsg(&stream, &slices, &mut SendAncillaryBuffer::default(), flags) {
                Ok(count) => self.advance(count),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.frames.front() {
            let left = first.len() - self.gone;
            if count < left {
                self.gone += count;
                return;
            }
            count -= left;
            self.gone = 0;
            self.frames.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut reader = FrameReader::new();
        assert_eq!(reader.fill(&theirs).unwrap(), Filled::Nothing);
        for piece in [&b"\0\0"[..], b"\0\x03a", b"bc\0\0\0\x01", b"d"] {
            ours.write_all(piece).unwrap();
            assert_eq!(reader.fill(&theirs).unwrap(), Filled::Some);
            while let Some(range) = reader.next_frame().unwrap() {
                let frame = &reader.bytes()[range];
                assert!(frame == b"abc" || frame == b"d", "{frame:?}");
            }
        }
        drop(ours);
        assert_eq!(reader.fill(&theirs).unwrap(), Filled::Closed);
    }

    #[test]
    fn a_length_that_no_frame_has_is_an_error() {
        for length in [0u32, 65_554, u32::MAX] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(&length.to_be_bytes()).unwrap();
            let mut reader = FrameReader::new();
            reader.fill(&theirs).unwrap();
            assert_eq!(reader.next_frame().unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn what_the_vmm_does_not_take_waits() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut queue = FrameQueue::default();
        for _ in 0..200 {
            queue.push(vec![7; 10_000]);
        }
        assert!(!queue.has_room());
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 20];
        while !queue.is_empty() {
            queue.flush(&ours).unwrap();
            while let Ok((_, count)) = recv(&theirs, &mut buffer, RecvFlags::DONTWAIT) {
                taken += count;
            }
        }
        assert_eq!(taken, 2_000_000);
        assert!(queue.has_room());
    }
}
