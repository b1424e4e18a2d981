//! The record of everything that the box asked of the network: `net.jsonl`, and the counters.
//!
//! Bounded in size, since the guest decides how much there is to write: a file that is full becomes the old one,
//! and what comes too fast is counted instead of written.

use crate::packet::Refused;
use crate::policy::Decision;
use a3s_box_core::{NetCounters, NetRecord, NetSubject, NetWay, Verdict};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The log of a box is this long and the one before it too.
const MAX_FILE: u64 = 32 << 20;
/// Records a second; the rest is counted.
const MAX_RECORDS: u32 = 2000;
/// Dropped frames are summed up this often.
const FRAMES_EVERY: Duration = Duration::from_secs(1);

/// Counters that others read while the stack runs.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<Mutex<NetCounters>>);

impl Counters {
    /// The figures now.
    pub fn read(&self) -> NetCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a record says beside the decision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) name: Option<String>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) duration: Duration,
    pub(crate) secrets: Vec<String>,
}

/// The log of one box.
pub(crate) struct Audit {
    id: String,
    path: PathBuf,
    file: File,
    length: u64,
    buffer: Vec<u8>,
    second: Instant,
    written: u32,
    left_out: u64,
    /// Frames dropped since the last summary, by reason.
    dropped: HashMap<Refused, u64>,
    summed: Instant,
    counters: NetCounters,
    shared: Counters,
}

impl Audit {
    /// Appends to the log at `path` in the name of box `id`.
    pub(crate) fn open(path: &Path, id: &str, now: Instant) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            id: id.to_owned(),
            path: path.to_owned(),
            length: file.metadata()?.len(),
            file,
            buffer: Vec::new(),
            second: now,
            written: 0,
            left_out: 0,
            dropped: HashMap::new(),
            summed: now,
            counters: NetCounters::default(),
            shared: Counters::default(),
        })
    }

    /// The figures, to be read from elsewhere.
    pub(crate) fn counters(&self) -> Counters {
        self.shared.clone()
    }

    /// The figures, to be counted up.
    pub(crate) fn count(&mut self) -> &mut NetCounters {
        &mut self.counters
    }

    /// Writes down a connection, a flow or a query.
    pub(crate) fn record(&mut self, subject: NetSubject, way: NetWay, decision: &Decision, facts: Facts) {
        if decision.is_allow() {
            self.counters.allowed += u64::from(subject != NetSubject::Dns);
        } else {
            self.counters.refused += 1;
        }
        if self.written >= MAX_RECORDS {
            self.left_out += 1;
            return;
        }
        self.written += 1;
        let record = NetRecord {
            time: micros(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
            id: self.id.clone(),
            subject,
            way,
            name: facts.name,
            address: facts.address,
            port: facts.port,
            verdict: decision.verdict,
            rule: decision.rule.clone(),
            reason: decision.reason.clone(),
            sent: facts.sent,
            received: facts.received,
            duration: micros(facts.duration),
            secrets: facts.secrets,
            more: std::mem::take(&mut self.left_out),
        };
        self.append(&record);
    }

    /// Notes a frame that was dropped.
    pub(crate) fn dropped(&mut self, why: Refused) {
        self.counters.dropped_frames += 1;
        *self.dropped.entry(why).or_default() += 1;
    }

    /// Writes out what was noted. Called once a turn of the stack.
    pub(crate) fn settle(&mut self, now: Instant) {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.written) = (now, 0);
        }
        if now.saturating_duration_since(self.summed) >= FRAMES_EVERY {
            self.sum_up(now);
        }
        if !self.buffer.is_empty() {
            self.write_out();
        }
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner) = self.counters;
    }

    /// When [`Audit::settle`] has something to write that nothing else wakes it for.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.dropped.is_empty()).then(|| self.summed + FRAMES_EVERY)
    }

    /// Writes down the frames that were dropped since the last time.
    pub(crate) fn sum_up(&mut self, now: Instant) {
        self.summed = now;
        for (why, count) in std::mem::take(&mut self.dropped) {
            if why.is_chatter() {
                continue;
            }
            let record = NetRecord {
                time: micros(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()),
                id: self.id.clone(),
                subject: NetSubject::Frame,
                way: NetWay::Out,
                name: None,
                address: None,
                port: None,
                verdict: Verdict::Deny,
                rule: format!("built-in: {}", why.name()),
                reason: "frames that a guest has no need to send".into(),
                sent: 0,
                received: 0,
                duration: 0,
                secrets: Vec::new(),
                more: count,
            };
            self.append(&record);
        }
    }

    fn append(&mut self, record: &NetRecord) {
        if serde_json::to_writer(&mut self.buffer, record).is_ok() {
            self.buffer.push(b'\n');
        }
    }

    fn write_out(&mut self) {
        let written = self.file.write_all(&self.buffer).and_then(|()| {
            self.length += u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
            if self.length > MAX_FILE { self.rotate() } else { Ok(()) }
        });
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.path.display(), "cannot write the network log");
        }
        self.buffer.clear();
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        std::fs::rename(&self.path, old)?;
        self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_the_file_stays_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net.jsonl");
        let mut now = Instant::now();
        let mut audit = Audit::open(&path, "box", now).unwrap();
        let deny = Decision::deny("a rule", "a reason ".repeat(50));
        for _ in 0..50 {
            for _ in 0..10_000 {
                audit.record(NetSubject::Tcp, NetWay::Out, &deny, Facts::default());
                audit.dropped(Refused::Fragment);
            }
            now += Duration::from_secs(1);
            audit.settle(now);
        }
        assert_eq!(audit.counters().read().refused, 500_000);
        let text = std::fs::read_to_string(&path).unwrap();
        let whole = std::fs::metadata(dir.path().join("net.jsonl.1")).unwrap().len() + text.len() as u64;
        assert!(text.len() as u64 <= MAX_FILE && whole <= 2 * MAX_FILE + (2 << 20));
        let records: Vec<NetRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(records.iter().any(|r| r.more == 8000 && r.rule == "a rule"));
        assert!(records.iter().any(|r| r.more == 10_000 && r.rule == "built-in: fragment"));
    }
}
