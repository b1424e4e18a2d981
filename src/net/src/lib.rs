//! The user-space network of one box: gateway, NAT, DNS, published ports, networks of boxes, egress policy.
//!
//! Owns everything between the VMM's frames and the host's sockets, and decides what the box may reach. Runs on
//! a thread of its own in the shim ([`Network::start`]); the VMM has no network but the stream it is given, and
//! nothing here needs a right that an ordinary program lacks. Does not configure the guest: its addresses are
//! fixed ([`a3s_box_core::NetAddresses`]) and reach the guest init through `boot.json`.
//!
//! ```text
//!   guest <-> VMM <-(frames)-> stream -> packet -> stack -+- tcp, udp, ping -> policy -> socket (host)
//!                                                         +- dns -> policy -> resolvers (host)
//!                                                         +- ports (published), neighbours (other boxes)
//! ```
#![deny(unsafe_code)]

mod audit;
mod dns;
mod explain;
#[doc(hidden)]
pub mod fuzz;
mod hello;
mod limit;
mod neighbours;
mod packet;
mod ping;
mod policy;
mod poll;
mod ports;
mod secret;
mod side;
mod socket;
mod stack;
mod station;
mod stream;
#[cfg(target_os = "linux")]
#[path = "sys/linux.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "sys/macos.rs"]
mod sys;
mod tcp;
mod trust;
mod udp;

pub use audit::Counters;
pub use explain::{Explanation, Question, explain};
pub use policy::{Decision, HOST_NAME};
pub use secret::SecretValues;

use a3s_box_core::{BoxError, ErrorKind, NetCounters, NetSpec, NetTrust, PortMapping};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Instant;

/// Buffers of the stream to the VMM, which hold a few of the longest frames.
const STREAM_BUFFER: usize = 1 << 20;

/// The running network of one box. It ends with the VMM's end of the stream, or with [`Network::stop`].
#[derive(Debug)]
pub struct Network {
    thread: JoinHandle<io::Result<()>>,
    /// What ends it once it is written to.
    end: OwnedFd,
    counters: Counters,
    ports: Vec<PortMapping>,
    trust: Option<NetTrust>,
}

impl Network {
    /// Starts the network of box `id` at our end `link` of the VMM's stream, with its log at `log`. `values` are
    /// those of the secrets that `spec` names.
    ///
    /// # Errors
    /// A published port that is taken, a network that cannot be joined, a log that cannot be written, a secret
    /// without value.
    pub fn start(
        spec: &NetSpec,
        values: &SecretValues,
        id: &str,
        log: &Path,
        link: UnixStream,
    ) -> Result<Self, BoxError> {
        let bound = ports::Bound::new(&spec.publish)?;
        let ports = bound.mappings();
        let neighbours = neighbours::Neighbours::join(&spec.networks)?;
        let (secrets, trust) = secret::Secrets::new(spec, values)?;
        let named = spec.resolvers.iter().any(|resolver| resolver.name.is_some());
        let tls = named.then(|| trust::Trust::read(&spec.authorities)?.client(&[b"dot"])).transpose()?;
        let dns = dns::Dns::new(&spec.resolvers, &spec.hosts, tls);
        let failed = |error: io::Error| BoxError::io("cannot start the box's network", error);
        let now = Instant::now();
        let audit = audit::Audit::open(log, id, now)
            .map_err(|error| BoxError::io(format!("cannot write {}", log.display()), error))?;
        let counters = audit.counters();
        let (end, ending) = sys::waker().map_err(failed)?;
        let spec = spec.clone();
        raise_descriptor_limit();
        let thread = std::thread::Builder::new()
            .name("network".into())
            .spawn(move || run(&spec, link, ending, audit, (bound, neighbours, dns, secrets)))
            .map_err(failed)?;
        Ok(Self { thread, end, counters, ports, trust })
    }

    /// Where the published ports really are.
    pub fn ports(&self) -> &[PortMapping] {
        &self.ports
    }

    /// Whom the box has to believe, where it has secrets that go over TLS.
    pub fn trust(&self) -> Option<&NetTrust> {
        self.trust.as_ref()
    }

    /// What the network has done so far.
    pub fn counters(&self) -> NetCounters {
        self.counters.read()
    }

    /// The same, for whoever reads it elsewhere and later.
    pub fn figures(&self) -> Counters {
        self.counters.clone()
    }

    /// Ends the network, and says how it ended if it had before.
    ///
    /// # Errors
    /// What broke the network while it ran.
    pub fn stop(self) -> Result<(), BoxError> {
        // A counter that is full ends it too.
        let _ = rustix::io::write(&self.end, &1u64.to_ne_bytes());
        match self.thread.join() {
            Ok(result) => result.map_err(|error| BoxError::io("the box's network failed", error)),
            Err(_) => Err(BoxError::new(ErrorKind::Internal, "the box's network panicked")),
        }
    }
}

fn run(
    spec: &NetSpec,
    link: UnixStream,
    end: OwnedFd,
    audit: audit::Audit,
    (bound, mut neighbours, dns, secrets): (ports::Bound, neighbours::Neighbours, dns::Dns, secret::Secrets),
) -> io::Result<()> {
    let mut station = station(spec, audit)?;
    // The host's limits may be lower; then it is as much as they allow.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&link, STREAM_BUFFER);
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&link, STREAM_BUFFER);
    station.poll.watch(&link, poll::Source::Link)?;
    station.poll.watch_input(&end, poll::Source::End)?;
    let ports = ports::Ports::watch(bound, &mut station)?;
    neighbours.watch(&mut station)?;
    let traffic = stack::Traffic {
        station,
        connections: tcp::Connections::default(),
        flows: udp::Flows::new(),
        pings: ping::Pings::default(),
        dns,
        ports,
        neighbours,
        secrets,
    };
    let reader = stream::FrameReader::new();
    stack::Stack { link, _end: end, reader, traffic, readable: true }.run()
}

fn station(spec: &NetSpec, audit: audit::Audit) -> io::Result<station::Station> {
    let addresses = &spec.addresses;
    let now = Instant::now();
    let gateway = [addresses.gateway4.into(), addresses.gateway6.into()];
    Ok(station::Station {
        identity: packet::Identity {
            guest: addresses.mac,
            gateway: addresses.gateway_mac,
            guest4: addresses.guest4,
            gateway4: addresses.gateway4,
            guest6: addresses.guest6,
            gateway6: addresses.gateway6,
        },
        mtu: usize::from(addresses.mtu),
        out: stream::FrameQueue::default(),
        poll: poll::Poll::new()?,
        policy: policy::Policy::new(&spec.policy, &spec.secrets, gateway),
        limiter: limit::Limiter::new(&spec.limits, now),
        audit,
        now,
        held: 0,
        open: 0,
        handovers: Vec::new(),
        gone: Vec::new(),
    })
}

/// Every connection takes a descriptor; shells grant a thousand, and a process may take as many as its hard
/// limit has.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}
