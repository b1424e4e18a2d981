//! Collecting the ends of init's children.

use crate::stream::Stream;
use crate::{oom, sys};
use rustix::process::{Pid, WaitOptions};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many ends are kept for processes that nobody has asked for yet.
const MAX_EARLY: usize = 64;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// The signal that ended it, or 0.
    pub(crate) signal: i32,
    /// Whether the kernel has killed it for want of memory.
    pub(crate) oom: bool,
}

/// Who waits for which child.
#[derive(Clone, Default)]
pub(crate) struct Reaper(Arc<Mutex<Children>>);

#[derive(Default)]
struct Children {
    expected: HashMap<i32, watch::Sender<Option<Ended>>>,
    /// Ends of children that were not expected yet: a grandchild becomes init's before init knows its id.
    early: VecDeque<(i32, Ended)>,
}

impl Reaper {
    /// Reports the end of `pid`, a child that was forked just now.
    pub(crate) fn expect(&self, pid: Pid) -> watch::Receiver<Option<Ended>> {
        let mut children = self.lock();
        let pid = pid.as_raw_nonzero().get();
        children.early.retain(|(early, _)| *early != pid);
        children.expect(pid, None)
    }

    /// Reports the end of `pid`, which may have ended already.
    pub(crate) fn claim(&self, pid: Pid) -> watch::Receiver<Option<Ended>> {
        let mut children = self.lock();
        let pid = pid.as_raw_nonzero().get();
        let early = children.early.iter().position(|(early, _)| *early == pid);
        let ended = early.and_then(|at| children.early.remove(at)).map(|(_, ended)| ended);
        children.expect(pid, ended)
    }

    /// Whether any expected child still runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().expected.is_empty()
    }

    /// Collects ends for ever.
    pub(crate) async fn run(self, signals: Stream) -> io::Result<()> {
        let mut buffer = Vec::with_capacity(size_of::<libc::signalfd_siginfo>() * 8);
        loop {
            self.collect();
            buffer.clear();
            signals.read(&mut buffer).await?;
        }
    }

    fn collect(&self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let code = status.exit_status().unwrap_or(0);
            let signal = status.terminating_signal().unwrap_or(0);
            let pid = pid.as_raw_nonzero().get();
            let oom = signal == libc::SIGKILL && oom::killed(pid);
            self.lock().end(pid, Ended { code, signal, oom });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Children> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Children {
    fn expect(&mut self, pid: i32, ended: Option<Ended>) -> watch::Receiver<Option<Ended>> {
        let (tell, hear) = watch::channel(ended);
        if ended.is_none() {
            self.expected.insert(pid, tell);
        }
        hear
    }

    fn end(&mut self, pid: i32, ended: Ended) {
        if let Some(tell) = self.expected.remove(&pid) {
            tell.send_replace(Some(ended));
            return;
        }
        if self.early.len() == MAX_EARLY {
            self.early.pop_front();
        }
        self.early.push_back((pid, ended));
    }
}

/// The descriptor that tells of children's ends. Made before the first child.
pub(crate) fn signals() -> io::Result<std::os::fd::OwnedFd> {
    sys::signal_fd([libc::SIGCHLD])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_reaches_whoever_asks_before_or_after() {
        let reaper = Reaper::default();
        let pid = |n| Pid::from_raw(n).unwrap();
        let ended = Ended { code: 3, signal: 0, oom: false };
        let mut before = reaper.expect(pid(10));
        assert!(!reaper.is_idle());
        reaper.lock().end(10, ended);
        assert_eq!(crate::process::value(&mut before).await, Some(ended));
        reaper.lock().end(11, ended);
        assert_eq!(crate::process::value(&mut reaper.claim(pid(11))).await, Some(ended));
        // An id that is used again is another process.
        reaper.lock().end(12, ended);
        assert_eq!(*reaper.expect(pid(12)).borrow(), None);
        for n in 100..1000 {
            reaper.lock().end(n, ended);
        }
        assert_eq!(reaper.lock().early.len(), MAX_EARLY);
    }
}
