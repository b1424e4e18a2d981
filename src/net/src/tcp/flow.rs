//! One TCP connection of the guest's, ended here and carried on by a socket of the host's.

use super::download::{Download, Spare};
use super::upload::{SCALE, Upload};
use super::{Asked, Name, Opening, before};
use crate::hello::{Step, Watch};
use crate::limit::PAUSE;
use crate::packet::{Flags, Options, Segment, Unreachable};
use crate::policy::{Bound, Decision};
use crate::poll::Source;
use crate::secret::Handover;
use crate::socket;
use crate::station::Station;
use crate::sys;
use a3s_box_core::NetWay;
use rustix::io::Errno;
use rustix::net::sockopt;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The host's kernel gives up on a connection before that.
const CONNECT: Duration = Duration::from_secs(150);
/// The guest answers a handshake in that time or not at all.
const GREET: Duration = Duration::from_secs(20);
/// A connection that must say whom it is for has said it by then.
const HELLO: Duration = Duration::from_secs(60);

/// How a flow ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both sides closed.
    Closed,
    /// The guest reset it, or went away.
    Guest,
    /// The host's socket failed.
    Host(Errno),
    /// The guest answered nothing any more.
    Silent,
    /// The policy refused what the connection turned out to be.
    Refused,
}

/// Who waits for an answer before bytes flow.
enum Phase {
    /// The host's socket is being connected. `true`: somebody there says when it is.
    Connecting { answered: bool },
    /// The guest was answered, and has to answer.
    Greeting,
    /// The guest was called. `true`: who called wants to hear the outcome.
    Calling { answer: bool },
    /// Bytes flow.
    Open,
}

/// What the other side of a neighbour's connection is told.
const ANSWERED: u8 = b'+';
const REFUSED: u8 = b'-';

/// One connection.
pub(super) struct Flow {
    id: u64,
    pub(super) name: Name,
    host: OwnedFd,
    phase: Phase,
    upload: Upload,
    download: Download,
    watch: Option<Watch>,
    pub(super) decision: Decision,
    /// The host name that the connection turned out to be for.
    pub(super) called: Option<String>,
    pub(super) way: NetWay,
    pub(super) since: Instant,
    /// When the phase has lasted too long.
    patience: Option<Instant>,
    /// The guest's SYN, for an error that quotes it.
    quote: Vec<u8>,
    /// Whether somebody else has the way to the host, and this only the way there.
    pub(super) handed_over: bool,
    /// The secrets that it carried, by name.
    pub(super) secrets: BTreeSet<String>,
}

impl Flow {
    /// What the guest asked for, over `host`, which is being connected.
    pub(super) fn asked(id: u64, asked: Asked, opening: Opening, station: &Station) -> Self {
        let Opening { host, answered, watched, decision } = opening;
        let mut upload = Upload::new(asked.seq.wrapping_add(1), !watched);
        let mut download = Download::new(station.random());
        upload.scaled = asked.options.window_scale.is_some();
        download.scale = asked.options.window_scale.unwrap_or(0);
        download.segment = segment(asked.options, asked.name, station);
        Self {
            id,
            name: asked.name,
            host,
            phase: Phase::Connecting { answered },
            upload,
            download,
            watch: watched.then(Watch::new),
            decision,
            called: None,
            way: NetWay::Out,
            since: station.now,
            patience: Some(station.now + CONNECT),
            quote: asked.quote,
            handed_over: false,
            secrets: BTreeSet::new(),
        }
    }

    /// What somebody outside wants of the guest, over `host`, which is connected.
    pub(super) fn called(
        id: u64,
        name: Name,
        host: OwnedFd,
        answer: bool,
        decision: Decision,
        station: &mut Station,
    ) -> Self {
        let mut flow = Self {
            id,
            name,
            host,
            phase: Phase::Calling { answer },
            upload: Upload::new(0, true),
            download: Download::new(station.random()),
            watch: None,
            decision,
            called: None,
            way: NetWay::In,
            since: station.now,
            patience: Some(station.now + GREET),
            quote: Vec::new(),
            handed_over: false,
            secrets: BTreeSet::new(),
        };
        let mut header = flow.download.header(name, Flags::SYN, 0, u16::MAX);
        header.options = Options { mss: Some(own_segment(name, station)), window_scale: Some(SCALE) };
        let frame = Rc::new(header.frame(&station.identity));
        flow.download.send(frame, 1, station);
        flow
    }

    /// Bytes that the guest sent and that it received.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.upload.total, self.download.total)
    }

    /// Takes a segment of the guest's.
    pub(super) fn segment(
        &mut self,
        segment: &Segment<'_>,
        station: &mut Station,
        spare: &mut Spare,
    ) -> Result<(), End> {
        let flags = segment.flags;
        match self.phase {
            Phase::Connecting { .. } => return if flags.has(Flags::RST) { Err(End::Guest) } else { Ok(()) },
            Phase::Calling { answer } => {
                if !flags.has(Flags::ACK) || segment.ack != self.download.next {
                    return Ok(());
                }
                if flags.has(Flags::RST) {
                    return Err(End::Guest);
                }
                if !flags.has(Flags::SYN) {
                    return Ok(());
                }
                self.upload.next = segment.seq;
                self.upload = Upload::new(segment.seq.wrapping_add(1), true);
                self.upload.scaled = segment.options.window_scale.is_some();
                self.upload.must_ack = true;
                self.download.segment = self::segment(segment.options, self.name, station);
                let carried = (self.name, (self.upload.next, self.upload.promised()));
                self.download.acknowledged((segment.ack, segment.window, false), carried, station, spare);
                self.download.scale = segment.options.window_scale.unwrap_or(0);
                self.open();
                if answer {
                    let told = rustix::net::send(&self.host, &[ANSWERED], sys::NO_SIGNAL);
                    told.map_err(End::Host)?;
                }
                return self.pump(station, spare);
            }
            Phase::Greeting if flags.has(Flags::SYN) => {
                self.download.again(self.name, (self.upload.next, u16::MAX), station);
                return Ok(());
            }
            Phase::Greeting | Phase::Open => {}
        }
        if flags.has(Flags::RST) {
            let inside = !before(segment.seq, self.upload.next) || segment.seq == self.upload.next;
            return if inside { Err(End::Guest) } else { Ok(()) };
        }
        if flags.has(Flags::SYN) {
            // Somebody who forgot the connection resets it once he hears of it (RFC 5961).
            self.upload.must_ack = true;
            return Ok(());
        }
        if !flags.has(Flags::ACK) {
            return Ok(());
        }
        let bare = segment.data.is_empty() && !flags.has(Flags::FIN);
        let carried = (self.name, (self.upload.next, self.upload.promised()));
        if !self.download.acknowledged((segment.ack, segment.window, bare), carried, station, spare) {
            self.upload.must_ack = true;
            return Ok(());
        }
        if matches!(self.phase, Phase::Greeting) {
            self.open();
            self.download.readable = true;
            self.patience = self.watch.is_some().then(|| station.now + HELLO);
        }
        let what = (segment.seq, segment.data, flags.has(Flags::FIN));
        self.upload.take(&self.host, self.name.remote.ip(), station, what).map_err(End::Host)?;
        self.carry(station, spare)
    }

    /// Does what can be done now: lets watched bytes go, writes, reads, ends.
    pub(super) fn carry(&mut self, station: &mut Station, spare: &mut Spare) -> Result<(), End> {
        self.look(station)?;
        self.upload.drain(&self.host, self.name.remote.ip(), station).map_err(End::Host)?;
        self.upload.reopen(station);
        self.pump(station, spare)?;
        if self.upload.shut && self.download.is_done() { Err(End::Closed) } else { Ok(()) }
    }

    /// The host's socket can be read or written again.
    pub(super) fn ready(
        &mut self,
        read: bool,
        write: bool,
        station: &mut Station,
        spare: &mut Spare,
    ) -> Result<(), End> {
        self.download.readable |= read;
        self.upload.writable |= write;
        match self.phase {
            Phase::Connecting { answered: false } if write => {
                sockopt::socket_error(&self.host).map_err(End::Host)?.map_err(End::Host)?;
                self.greet(station);
                Ok(())
            }
            Phase::Connecting { answered: true } if read => {
                let mut answer = [0];
                let flags = rustix::net::RecvFlags::DONTWAIT;
                match rustix::net::recv(&self.host, &mut answer, flags) {
                    Ok((_, 1)) if answer == [ANSWERED] => self.greet(station),
                    Err(Errno::AGAIN) => {}
                    Ok(_) => return Err(End::Host(Errno::CONNREFUSED)),
                    Err(error) => return Err(End::Host(error)),
                }
                Ok(())
            }
            Phase::Open => self.carry(station, spare),
            _ => Ok(()),
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, station: &mut Station, spare: &mut Spare) -> Result<(), End> {
        if self.patience.is_some_and(|at| at <= station.now) {
            if self.watch.as_ref().is_some_and(Watch::is_waiting) && matches!(self.phase, Phase::Open) {
                self.decision = station.policy.silent(self.name.remote);
                if !self.decision.is_allow() {
                    return Err(End::Refused);
                }
                self.upload.release_all();
                self.watch = None;
                self.patience = None;
                return self.carry(station, spare);
            }
            if !matches!(self.phase, Phase::Open) {
                return Err(End::Silent);
            }
            self.patience = None;
        }
        if self.download.deadline.is_some_and(|at| at <= station.now) {
            let carried = (self.upload.next, self.upload.window(station));
            if !self.download.overdue(self.name, carried, station) {
                return Err(End::Silent);
            }
        }
        if self.is_paced() { self.carry(station, spare) } else { Ok(()) }
    }

    /// When [`Flow::tick`] has something to do.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let paced = self.is_paced().then(|| now + PAUSE);
        [self.patience, self.download.deadline, paced].into_iter().flatten().min()
    }

    /// Whether a rate limit keeps bytes back.
    pub(super) fn is_paced(&self) -> bool {
        self.upload.paced || self.download.paced
    }

    /// Whether bytes wait at the host for room in the queue or in memory.
    pub(super) fn is_crowded(&self) -> bool {
        self.download.crowded
    }

    /// Acknowledges what the guest has sent, where nothing else did.
    pub(super) fn acknowledge(&mut self, station: &mut Station) {
        if self.upload.must_ack {
            self.upload.must_ack = false;
            let window = self.upload.window(station);
            let header = self.download.bare(self.name, self.upload.next, window);
            let frame = header.frame(&station.identity);
            station.send(frame);
        }
    }

    /// Ends the flow: tells whoever does not know yet, and gives back what it held.
    pub(super) fn end(mut self, end: &End, station: &mut Station) {
        if self.upload.finished {
            // It was all said and acknowledged: what the socket still takes is delivered.
            let _ = self.upload.drain(&self.host, self.name.remote.ip(), station);
        }
        self.upload.discard(station);
        self.download.discard(station);
        match end {
            End::Closed => return self.acknowledge(station),
            End::Host(error) => match (&self.phase, Unreachable::of(*error)) {
                (Phase::Connecting { .. }, Some(why)) => {
                    let to = self.name.remote.ip();
                    let frame = crate::packet::unreachable(&station.identity, to, why, &self.quote);
                    station.send(frame);
                }
                _ => self.reset_guest(station),
            },
            End::Silent | End::Refused => self.reset_guest(station),
            // Closed as it is, the host's kernel goes on with it.
            End::Guest if self.upload.finished => return,
            End::Guest => {}
        }
        if matches!(self.phase, Phase::Calling { answer: true }) {
            let _ = rustix::net::send(&self.host, &[REFUSED], sys::NO_SIGNAL);
            return;
        }
        // Closed this way it is a reset for the other side too.
        let _ = sockopt::set_socket_linger(&self.host, Some(Duration::ZERO));
    }

    fn reset_guest(&mut self, station: &mut Station) {
        let flags = Flags::RST.with(Flags::ACK);
        let frame = self.download.header(self.name, flags, self.upload.next, 0).frame(&station.identity);
        station.send(frame);
    }

    /// Answers the guest's SYN.
    fn greet(&mut self, station: &mut Station) {
        self.phase = Phase::Greeting;
        self.patience = Some(station.now + GREET);
        let flags = Flags::SYN.with(Flags::ACK);
        let mut header = self.download.header(self.name, flags, self.upload.next, u16::MAX);
        header.options = Options {
            mss: Some(own_segment(self.name, station)),
            window_scale: self.upload.scaled.then_some(SCALE),
        };
        let frame = Rc::new(header.frame(&station.identity));
        self.download.send(frame, 1, station);
    }

    fn open(&mut self) {
        self.phase = Phase::Open;
        self.patience = None;
        self.quote = Vec::new();
    }

    fn pump(&mut self, station: &mut Station, spare: &mut Spare) -> Result<(), End> {
        if !matches!(self.phase, Phase::Open) || !self.download.readable {
            return Ok(());
        }
        let (upload, watch) = (&mut self.upload, &mut self.watch);
        let mut carried = |station: &Station, bytes: Option<&[u8]>| {
            if let (Some(watch), Some(bytes)) = (watch.as_mut(), bytes) {
                watch.hear(bytes);
            }
            upload.must_ack = false;
            (upload.next, upload.window(station))
        };
        self.download.pump(&self.host, self.name, &mut carried, station, spare).map_err(End::Host)
    }

    /// Looks at the bytes that are held until it is known whom they are for.
    fn look(&mut self, station: &mut Station) -> Result<(), End> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        loop {
            match watch.look(self.upload.unreleased()) {
                Step::More => return Ok(()),
                Step::Release(count) => self.upload.release(count),
                Step::Open => {
                    self.upload.release_all();
                    self.watch = None;
                    return Ok(());
                }
                Step::Ask(hello) => {
                    let decision = station.policy.confirm(self.name.remote, &hello, station.now);
                    if let Some(name) = hello.name() {
                        self.called = Some(name.to_owned());
                    }
                    let allowed = decision.is_allow();
                    self.decision = decision;
                    if !allowed {
                        return Err(End::Refused);
                    }
                    if let Some(bound) = station.policy.secrets(self.name.remote, &hello, station.now) {
                        return self.hand_over(bound, station);
                    }
                    let count = watch.granted();
                    self.upload.release(count);
                }
            }
        }
    }

    /// What was decided on holds no more, for this reason.
    pub(super) fn deny(&mut self, why: impl Into<String>) {
        self.decision = Decision::deny(std::mem::take(&mut self.decision.rule), why);
    }

    /// Gives the way to the host to whoever puts secrets in, and goes on to him.
    fn hand_over(&mut self, bound: Bound, station: &mut Station) -> Result<(), End> {
        if self.upload.is_going() {
            let why = "a request that may need secrets follows one to another host too closely";
            self.deny(why);
            return Err(End::Refused);
        }
        let failed = |error: std::io::Error| End::Host(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        let (ours, guest) = socket::pair().map_err(failed)?;
        station.poll.watch(&ours, Source::Tcp(self.id)).map_err(failed)?;
        station.poll.forget(&self.host);
        let host = std::mem::replace(&mut self.host, ours);
        (self.upload.writable, self.download.readable) = (true, true);
        self.upload.release_all();
        self.watch = None;
        self.handed_over = true;
        station.handovers.push(Handover { flow: self.id, guest, host, bound });
        Ok(())
    }

    /// Whether the guest's window keeps bytes at the host; for tests and traces.
    pub(super) fn is_stalled(&self) -> bool {
        self.download.readable && self.download.is_closed()
    }

    /// The host's end.
    pub(super) fn host(&self) -> impl AsFd {
        &self.host
    }
}

/// The most bytes of a segment to the guest.
fn segment(options: Options, name: Name, station: &Station) -> usize {
    // A guest that names no size takes the least that everybody takes; and slivers are no way to live.
    usize::from(options.mss.unwrap_or(536).clamp(64, own_segment(name, station)))
}

/// The most bytes of a segment that fit the link.
fn own_segment(name: Name, station: &Station) -> u16 {
    let headers = if name.remote.is_ipv4() { 40 } else { 60 };
    u16::try_from(station.mtu.saturating_sub(headers)).unwrap_or(u16::MAX)
}
