//! One connection that we stand in the middle of: requests one way, responses the other, each as far as there is
//! room for it, so that who reads slowly stops who writes.

use super::request::{Asked, Requests};
use super::response::Responses;
use super::swap::Swap;
use crate::side::{Broken, Side};
use rustix::io::Errno;
use std::collections::{BTreeSet, VecDeque};

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum Over {
    /// Both sides closed.
    Closed,
    /// One of the sockets failed.
    Broken(Errno),
    /// It must not go on.
    Refused(String),
    /// The box itself does not go on, and has been told why it cannot.
    Ended(String),
}

/// One connection.
pub(super) struct Relay {
    /// The flow of the box's that it is.
    pub(super) flow: u64,
    /// Whether the flow has ended.
    pub(super) alone: bool,
    pub(super) client: Side,
    pub(super) server: Side,
    requests: Requests,
    responses: Responses,
    asked: VecDeque<Asked>,
    /// Which of the secrets may go there.
    secrets: Vec<usize>,
    /// The names of those that have.
    used: BTreeSet<String>,
}

impl Relay {
    pub(super) fn new(flow: u64, host: String, secrets: Vec<usize>, client: Side, server: Side) -> Self {
        Self {
            flow,
            alone: false,
            client,
            server,
            requests: Requests::new(host),
            responses: Responses::new(),
            asked: VecDeque::new(),
            secrets,
            used: BTreeSet::new(),
        }
    }

    /// Whether the two sides still agree on keys.
    pub(super) fn is_greeting(&self) -> bool {
        self.client.is_greeting() || self.server.is_greeting()
    }

    /// Whether all has been said, so that only the box's last word is waited for.
    pub(super) fn is_done(&self) -> bool {
        self.client.shut && self.server.shut
    }

    /// The secrets that were sent.
    pub(super) fn used(&self) -> &BTreeSet<String> {
        &self.used
    }

    /// Carries what can be carried now. How the connection ended, where it has.
    pub(super) fn carry(&mut self, all: &[Swap]) -> Option<Over> {
        let swaps: Vec<&Swap> = self.secrets.iter().filter_map(|at| all.get(*at)).collect();
        loop {
            match self.step(&swaps) {
                Ok(true) => {}
                Ok(false) => return (self.is_done() && self.client.ended).then_some(Over::Closed),
                Err(over) => return Some(over),
            }
        }
    }

    /// One round. Whether anything happened.
    fn step(&mut self, swaps: &[&Swap]) -> Result<bool, Over> {
        let mut moved = self.out(swaps)?;
        moved |= self.back(swaps)?;
        // What could be passed on has been: a rest that still waits is half a request, and stays one.
        let whole = self.requests.buffer.is_empty();
        let waits =
            self.server.is_greeting() || !self.server.has_room() || !self.requests.has_room(&self.asked);
        if self.client.ended && (whole || !waits) {
            moved |= self.server.finish(whole && !self.client.cut).map_err(of_server)?;
        }
        let whole = self.responses.buffer.is_empty();
        if self.server.ended && (whole || self.client.has_room()) {
            moved |= self.client.finish(whole && !self.server.cut).map_err(of_client)?;
            // A box that goes on sending to a server that has ended is not waited for.
            if self.client.shut && !self.server.shut {
                moved |= self.server.finish(false).map_err(of_server)?;
            }
        }
        Ok(moved)
    }

    /// From the box to the server.
    fn out(&mut self, swaps: &[&Swap]) -> Result<bool, Over> {
        let mut moved = false;
        if self.server.shut {
            // What comes too late is for nobody; but who says it is not to be reset for it.
            moved |= self.client.fill(&mut self.requests.buffer).map_err(of_client)?;
            self.requests.buffer.clear();
            return Ok(moved);
        }
        if self.server.has_room() {
            if self.requests.has_room(&self.asked) {
                moved |= self.client.fill(&mut self.requests.buffer).map_err(of_client)?;
            }
            // Nothing is filled in for a server that has not proved who it is.
            if !self.server.is_greeting() {
                let (before, used) = (self.requests.buffer.len(), &mut self.used);
                let mut note = |name: &str| {
                    used.insert(name.to_owned());
                };
                let out = &mut self.server.unsent;
                let passed = self.requests.pass(swaps, &mut note, &mut self.asked, out);
                passed.map_err(|why| Over::Refused(why.to_owned()))?;
                moved |= self.requests.buffer.len() != before;
            }
        }
        // TLS has its own to say, too.
        moved |= self.server.flush().map_err(of_server)?;
        Ok(moved)
    }

    /// From the server to the box.
    fn back(&mut self, swaps: &[&Swap]) -> Result<bool, Over> {
        let mut moved = false;
        if self.client.has_room() {
            if self.responses.has_room() {
                moved |= self.server.fill(&mut self.responses.buffer).map_err(of_server)?;
            }
            let before = self.responses.buffer.len();
            let out = &mut self.client.unsent;
            let passed = self.responses.pass(swaps, &mut self.asked, &mut self.requests, out);
            passed.map_err(|why| Over::Refused(why.to_owned()))?;
            moved |= self.responses.buffer.len() != before;
        }
        moved |= self.client.flush().map_err(of_client)?;
        Ok(moved)
    }
}

fn of_server(broken: Broken) -> Over {
    match broken {
        Broken::Socket(error) => Over::Broken(error),
        Broken::Tls(error) => Over::Refused(format!("the host does not prove who it is: {error}")),
    }
}

fn of_client(broken: Broken) -> Over {
    match broken {
        Broken::Socket(error) => Over::Broken(error),
        Broken::Tls(error) => {
            Over::Ended(format!("the box does not accept its network's authority: {error}"))
        }
    }
}
