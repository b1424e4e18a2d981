//! Secrets at the boundary: values are put into what the box sends to the hosts that they are for, outside of the box.
//!
//! ```text
//!   guest <-(TLS, the box's own authority)-> Side - Requests  (placeholder -> value) -> Side <-(TLS, verified)-> host
//!                                                 <- Responses (value -> placeholder) -
//! ```
//!
//! The policy says which connections those are; a flow hands its socket over when its first bytes have shown whom it
//! is for, and carries on with one end of a pair, whose other end is here. What is read is read strictly: a request
//! that could be understood in two ways goes nowhere. Values are in this process's memory alone, and in no message.

mod authority;
pub(crate) mod fuzz;
pub(crate) mod relay;
mod request;
mod response;
mod swap;

pub(crate) use relay::Over;

use crate::policy::Bound;
use crate::poll::{Ready, Source};
use crate::side::Side;
use crate::station::Station;
use crate::trust::Trust;
use a3s_box_core::{BoxError, ErrorKind, NetSpec, NetTrust, Secret, SecretSource};
use authority::Authority;
use relay::Relay;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConnection};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use swap::Swap;

/// Connections that we are in the middle of at a time.
const MAX_RELAYS: usize = 256;
/// The two sides agree on keys in that time or not at all.
const GREET: Duration = Duration::from_secs(60);
/// What is left of a connection when its flow has ended is carried on for so long.
const LINGER: Duration = Duration::from_secs(30);

/// The values of a box's secrets, by name, on their way from who starts it to who runs its network.
#[derive(Default, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretValues(BTreeMap<String, String>);

impl fmt::Debug for SecretValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SecretValues {
    /// All of them together fit a pipe.
    const MOST: usize = 32 << 10;

    /// Reads the values of `secrets` from where they are kept.
    ///
    /// # Errors
    /// `NotFound` for a variable or a file that is not there, `InvalidInput` for a value that is none.
    pub fn read(secrets: &[Secret]) -> Result<Self, BoxError> {
        let values: BTreeMap<String, String> = secrets
            .iter()
            .map(|secret| Ok((secret.name.clone(), value(secret)?)))
            .collect::<Result<_, BoxError>>()?;
        if values.values().map(String::len).sum::<usize>() > Self::MOST {
            return Err(BoxError::new(ErrorKind::InvalidInput, "the box's secrets are too long together")
                .with_hint("they may have 32 KiB"));
        }
        Ok(Self(values))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The value of one secret, which is text of one line.
fn value(secret: &Secret) -> Result<String, BoxError> {
    let name = &secret.name;
    let missing = |what: String, hint: String| BoxError::new(ErrorKind::NotFound, what).with_hint(hint);
    let mut value = match &secret.source {
        SecretSource::Env(variable) => std::env::var_os(variable)
            .ok_or_else(|| {
                missing(
                    format!("secret {name}: there is no variable {variable}"),
                    format!(
                        "set {variable} where the box is started from, or make it with {name}=file:PATH@…"
                    ),
                )
            })?
            .into_encoded_bytes(),
        SecretSource::File(path) => {
            let failed = |e| BoxError::io(format!("secret {name}: cannot read {}", path.display()), e);
            let mut bytes = Vec::new();
            let most = u64::try_from(Secret::MAX_VALUE + 2).unwrap_or(u64::MAX);
            File::open(path).map_err(failed)?.take(most).read_to_end(&mut bytes).map_err(failed)?;
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            bytes
        }
    };
    while value.last().is_some_and(|b| *b == b'\r') {
        value.pop();
    }
    let refuse = |what: &str, hint: &str| {
        let text = format!("secret {name}: its value {what}");
        Err(BoxError::new(ErrorKind::InvalidInput, text).with_hint(hint.to_owned()))
    };
    if value.len() < Secret::MIN_VALUE {
        return refuse("is too short", "it needs eight characters, or it could not be told from other text");
    }
    if value.len() > Secret::MAX_VALUE {
        return refuse("is too long", "it may have 8192 bytes");
    }
    match String::from_utf8(value) {
        Ok(text) if !text.chars().any(char::is_control) && text.trim() == text => Ok(text),
        _ => refuse("is no line of text", "a header of HTTP has to hold it"),
    }
}

/// A connection that its flow gives out of its hands.
pub(crate) struct Handover {
    /// The flow.
    pub(crate) flow: u64,
    /// The other end of the flow's.
    pub(crate) guest: OwnedFd,
    /// The way to the host.
    pub(crate) host: OwnedFd,
    /// What it is for.
    pub(crate) bound: Bound,
}

/// The secrets of one box, and the connections that may need them.
pub(crate) struct Secrets {
    swaps: Vec<Swap>,
    authority: Option<Authority>,
    client: Option<Arc<ClientConfig>>,
    relays: HashMap<u64, Relay>,
    /// When each has to have come further.
    deadlines: HashMap<u64, Instant>,
}

/// What a flow is to know of its connection.
pub(crate) struct News {
    pub(crate) flow: u64,
    /// The secrets that were sent so far.
    pub(crate) used: BTreeSet<String>,
    /// How it ended.
    pub(crate) over: Option<Over>,
}

impl Secrets {
    /// Those of `spec` with their `values`, and whom the box has to believe for it.
    ///
    /// # Errors
    /// A secret without value, authorities that cannot be read.
    pub(crate) fn new(spec: &NetSpec, values: &SecretValues) -> Result<(Self, Option<NetTrust>), BoxError> {
        let mut swaps = Vec::new();
        for secret in &spec.secrets {
            let value =
                values.0.get(&secret.name).filter(|_| !secret.placeholder.is_empty()).ok_or_else(|| {
                    BoxError::new(
                        ErrorKind::Internal,
                        format!("secret {} came without its value", secret.name),
                    )
                })?;
            swaps.push(Swap::new(secret, value));
        }
        let hosts: BTreeSet<&str> =
            spec.secrets.iter().flat_map(|s| &s.hosts).filter(|h| h.tls).map(|h| h.name.as_str()).collect();
        let mut secrets =
            Self { swaps, authority: None, client: None, relays: HashMap::new(), deadlines: HashMap::new() };
        if hosts.is_empty() {
            return Ok((secrets, None));
        }
        let trust = Trust::read(&spec.authorities)?;
        let authority = Authority::new(&hosts)?;
        let told = NetTrust { authority: authority.pem().to_owned(), roots: trust.pem() };
        secrets.client = Some(trust.client(&[b"http/1.1"])?);
        secrets.authority = Some(authority);
        Ok((secrets, Some(told)))
    }

    /// Takes a connection over. News of it where it goes no further.
    pub(crate) fn take(&mut self, handover: Handover, station: &mut Station) -> Option<News> {
        let Handover { flow, guest, host, bound } = handover;
        let failed = |why: String| Some(News { flow, used: BTreeSet::new(), over: Some(Over::Refused(why)) });
        if self.relays.len() >= MAX_RELAYS {
            return failed("too many connections that may need secrets".into());
        }
        let id = station.poll.id();
        let watched = station
            .poll
            .watch(&guest, Source::SecretGuest(id))
            .and_then(|()| station.poll.watch(&host, Source::SecretHost(id)));
        if let Err(error) = watched {
            return failed(format!("cannot watch it: {error}"));
        }
        let (client, server) = match bound.tls.then(|| self.greet(&bound.host, station.now)) {
            None => (None, None),
            Some(Ok((client, server))) => (Some(client), Some(server)),
            Some(Err(error)) => return failed(error),
        };
        let relay =
            Relay::new(flow, bound.host, bound.secrets, Side::new(guest, client), Side::new(host, server));
        if bound.tls {
            self.deadlines.insert(id, station.now + GREET);
        }
        self.relays.insert(id, relay);
        self.carry(id, station.now)
    }

    /// Both ends of TLS.
    fn greet(&mut self, host: &str, now: Instant) -> Result<(Connection, Connection), String> {
        let (Some(authority), Some(client)) = (&mut self.authority, &self.client) else {
            return Err("there is no authority".into());
        };
        let text = |error: BoxError| error.to_string();
        let guest =
            ServerConnection::new(authority.server(host, now).map_err(text)?).map_err(|e| e.to_string())?;
        let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
        let server = ClientConnection::new(Arc::clone(client), name).map_err(|e| e.to_string())?;
        Ok((guest.into(), server.into()))
    }

    /// One of a connection's sockets can be read or written. News of it, where there are any.
    pub(crate) fn ready(&mut self, source: Source, ready: Ready, now: Instant) -> Option<News> {
        let (id, guest) = match source {
            Source::SecretGuest(id) => (id, true),
            Source::SecretHost(id) => (id, false),
            _ => return None,
        };
        let relay = self.relays.get_mut(&id)?;
        let side = if guest { &mut relay.client } else { &mut relay.server };
        side.readable |= ready.read;
        side.writable |= ready.write;
        self.carry(id, now)
    }

    /// A flow has ended.
    pub(crate) fn gone(&mut self, flow: u64, now: Instant) {
        if let Some((id, relay)) = self.relays.iter_mut().find(|(_, relay)| relay.flow == flow) {
            relay.alone = true;
            self.deadlines.insert(*id, now + LINGER);
        }
    }

    /// Ends what has taken too long.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<News> {
        if self.due().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let late: Vec<u64> = self.deadlines.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        let mut news = Vec::new();
        for id in late {
            self.deadlines.remove(&id);
            let Some(relay) = self.relays.remove(&id) else { continue };
            let late = || Over::Refused("TLS was not agreed upon in time".into());
            let over = Some(if relay.is_greeting() { late() } else { Over::Closed });
            news.push(News { flow: relay.flow, used: relay.used().clone(), over });
        }
        news
    }

    /// When [`Secrets::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    fn carry(&mut self, id: u64, now: Instant) -> Option<News> {
        let relay = self.relays.get_mut(&id)?;
        let (before, greeting) = (relay.used().len(), relay.is_greeting());
        let over = relay.carry(&self.swaps);
        let used = relay.used();
        let changed = used.len() != before || over.is_some();
        let news = changed.then(|| (relay.flow, used.clone()));
        if greeting && !relay.is_greeting() && !relay.alone {
            self.deadlines.remove(&id);
        }
        if relay.is_done() {
            self.deadlines.entry(id).or_insert(now + LINGER);
        }
        if over.is_some() {
            self.relays.remove(&id);
            self.deadlines.remove(&id);
        }
        news.map(|(flow, used)| News { flow, used, over })
    }
}
