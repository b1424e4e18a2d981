//! Networks of boxes. Boxes share no link: what one sends to another goes from shim to shim over UNIX sockets.
//!
//! Each box of a network has three files in the network's folder: `<name>.json` with its addresses there,
//! `<name>.sock` for connections and `<name>.udp` for datagrams. A connection begins with a [`Call`] and is
//! answered with one byte when the other guest has accepted it; a datagram begins with one too. Addresses
//! cannot be forged between guests, since each shim speaks for its own.

use crate::packet::{Refused, udp_frame};
use crate::policy::Decision;
use crate::poll::Source;
use crate::socket;
use crate::station::Station;
use crate::sys;
use a3s_box_core::{BoxError, BoxName, NeighbourSpec, NetworkMembership, Verdict};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, SocketType, recv, send, sendto};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Callers that have not said yet what they want.
const MAX_CALLERS: usize = 128;
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_SPEC: u64 = 4096;
/// Boxes of one network.
const MAX_BOXES: usize = 1024;

/// What goes before a connection's bytes and a datagram's: from whom, and to which port.
struct Call {
    from: SocketAddr,
    port: u16,
}

const CALL: usize = 24;
const MAGIC: &[u8; 4] = b"a3n1";

impl Call {
    fn write(&self) -> [u8; CALL] {
        let mut bytes = [0; CALL];
        bytes[..4].copy_from_slice(MAGIC);
        let ip = match self.from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        bytes[4..20].copy_from_slice(&ip.octets());
        bytes[20..22].copy_from_slice(&self.from.port().to_be_bytes());
        bytes[22..].copy_from_slice(&self.port.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8; CALL]) -> Option<Self> {
        let octets: [u8; 16] = bytes[4..20].try_into().ok()?;
        let ip = Ipv6Addr::from(octets).to_canonical();
        let [a, b, c, d] = [bytes[20], bytes[21], bytes[22], bytes[23]];
        let (from, port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let fine = bytes.starts_with(MAGIC) && from != 0 && port != 0;
        fine.then(|| Self { from: SocketAddr::new(ip, from), port })
    }
}

struct Network {
    membership: NetworkMembership,
    listener: OwnedFd,
    datagrams: OwnedFd,
}

/// A box of one of our networks.
#[derive(Debug, Clone)]
pub(crate) struct Neighbour {
    network: usize,
    name: String,
}

/// A connection that another box's guest asks for.
pub(crate) struct Called {
    pub(crate) socket: OwnedFd,
    pub(crate) from: SocketAddr,
    pub(crate) port: u16,
    pub(crate) decision: Decision,
}

/// The networks that this box is on.
#[derive(Default)]
pub(crate) struct Neighbours {
    networks: Vec<Network>,
    ids: HashMap<u64, usize>,
    callers: HashMap<u64, (usize, OwnedFd, Instant)>,
}

impl Neighbours {
    /// Takes this box's place in its networks.
    pub(crate) fn join(memberships: &[NetworkMembership]) -> Result<Self, BoxError> {
        let mut networks = Vec::new();
        for membership in memberships {
            let failed = |error: io::Error| {
                BoxError::io(format!("cannot join the network {:?}", membership.network), error)
            };
            let file = |end: &str| membership.folder.join(format!("{}.{end}", membership.name));
            let listener = socket::neighbourhood(&file("sock"), SocketType::STREAM).map_err(failed)?;
            let datagrams = socket::neighbourhood(&file("udp"), SocketType::DGRAM).map_err(failed)?;
            networks.push(Network { membership: membership.clone(), listener, datagrams });
        }
        Ok(Self { networks, ids: HashMap::new(), callers: HashMap::new() })
    }

    /// Begins to take what comes.
    pub(crate) fn watch(&mut self, station: &mut Station) -> io::Result<()> {
        for (index, network) in self.networks.iter().enumerate() {
            for socket in [&network.listener, &network.datagrams] {
                let id = station.poll.id();
                station.poll.watch_input(socket, Source::Neighbours(id))?;
                self.ids.insert(id, index);
            }
        }
        Ok(())
    }

    /// The addresses of the box called `name`, or `name.network`.
    pub(crate) fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.networks.iter().find_map(|network| {
            let suffix = format!(".{}", network.membership.network.to_ascii_lowercase());
            let bare = name.strip_suffix(&suffix).unwrap_or(name);
            self.boxes(network)
                .into_iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(bare))
                .map(|(_, s)| s.addresses)
        })
    }

    /// Which box has `address`.
    pub(crate) fn find(&self, address: IpAddr) -> Option<Neighbour> {
        self.networks.iter().enumerate().find_map(|(index, network)| {
            let mut boxes = self.boxes(network).into_iter();
            let (name, _) = boxes.find(|(_, spec)| spec.addresses.contains(&address))?;
            Some(Neighbour { network: index, name })
        })
    }

    /// Why the guest may speak with a box of that network.
    pub(crate) fn decision(&self, neighbour: &Neighbour) -> Decision {
        member(&self.networks[neighbour.network].membership.network)
    }

    /// Calls `port` of another box.
    pub(crate) fn connect(&self, neighbour: &Neighbour, from: u16, to: SocketAddr) -> io::Result<OwnedFd> {
        let call = self.call(neighbour, from, to)?;
        let socket = socket::neighbour(&self.path(neighbour, "sock"))?;
        send(&socket, &call.write(), sys::NO_SIGNAL)?;
        Ok(socket)
    }

    /// Sends a datagram to another box. What it does not take is lost, as datagrams are.
    pub(crate) fn datagram(
        &self,
        neighbour: &Neighbour,
        from: u16,
        to: SocketAddr,
        data: &[u8],
    ) -> io::Result<()> {
        let mut bytes = self.call(neighbour, from, to)?.write().to_vec();
        bytes.extend_from_slice(data);
        let socket = &self.networks[neighbour.network].datagrams;
        let address = SocketAddrUnix::new(self.path(neighbour, "udp"))?;
        sendto(socket, &bytes, sys::NO_SIGNAL | SendFlags::DONTWAIT, &address)?;
        Ok(())
    }

    /// Somebody calls, or a datagram came.
    pub(crate) fn ready(&mut self, id: u64, station: &mut Station) {
        let Some(&index) = self.ids.get(&id) else { return };
        let network = &self.networks[index];
        while let Ok((socket, _)) = socket::accepted(&network.listener) {
            let id = station.poll.id();
            if self.callers.len() < MAX_CALLERS && station.poll.watch(&socket, Source::Caller(id)).is_ok() {
                self.callers.insert(id, (index, socket, station.now + PATIENCE));
            }
        }
        let mut buffer = vec![0; CALL + 65_536];
        while let Ok((_, count)) = recv(&network.datagrams, &mut buffer[..], RecvFlags::DONTWAIT) {
            let Some((head, data)) = buffer[..count].split_first_chunk::<CALL>() else { continue };
            let Some(call) = Call::read(head).filter(|call| self.knows(network, call.from.ip())) else {
                continue;
            };
            if data.len() + 48 > station.mtu || station.out.is_flooded() {
                station.audit.dropped(Refused::Fragment);
                continue;
            }
            let frame = udp_frame(&station.identity, call.from, call.port, data);
            station.send(frame);
        }
    }

    /// A caller says what he wants.
    pub(crate) fn caller_ready(&mut self, id: u64, station: &Station) -> Option<Called> {
        let (index, socket, _) = self.callers.get(&id)?;
        let mut head = [0; CALL];
        // It is one write on the other side, and so one read here, or it is no call.
        match recv(socket, &mut head, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => return None,
            Ok((_, CALL)) => {}
            _ => {
                self.callers.remove(&id);
                return None;
            }
        }
        let network = &self.networks[*index];
        let call = Call::read(&head).filter(|call| self.knows(network, call.from.ip()));
        let decision = member(&network.membership.network);
        let (_, socket, _) = self.callers.remove(&id)?;
        // It is watched again as the flow that it becomes.
        station.poll.forget(&socket);
        call.map(|call| Called { socket, from: call.from, port: call.port, decision })
    }

    /// Hangs up on callers that say nothing.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.callers.retain(|_, (_, _, until)| *until > now);
    }

    /// When [`Neighbours::tick`] has something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.callers.values().map(|(_, _, until)| *until).min()
    }

    fn call(&self, neighbour: &Neighbour, from: u16, to: SocketAddr) -> io::Result<Call> {
        let own = &self.networks[neighbour.network].membership.addresses;
        let ip = own.iter().find(|own| own.is_ipv4() == to.is_ipv4());
        let ip = *ip.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Call { from: SocketAddr::new(ip, from), port: to.port() })
    }

    fn path(&self, neighbour: &Neighbour, end: &str) -> PathBuf {
        let folder = &self.networks[neighbour.network].membership.folder;
        folder.join(format!("{}.{end}", neighbour.name))
    }

    fn knows(&self, network: &Network, address: IpAddr) -> bool {
        self.boxes(network).iter().any(|(_, spec)| spec.addresses.contains(&address))
    }

    /// The boxes of a network as its folder has them now.
    fn boxes(&self, network: &Network) -> Vec<(String, NeighbourSpec)> {
        let Ok(folder) = fs::read_dir(&network.membership.folder) else { return Vec::new() };
        folder
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name: BoxName = path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()?;
                let mut json = Vec::new();
                fs::File::open(&path).ok()?.take(MAX_SPEC).read_to_end(&mut json).ok()?;
                Some((name.into(), serde_json::from_slice(&json).ok()?))
            })
            .take(MAX_BOXES)
            .collect()
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for Network { membership, .. } in &self.networks {
            for end in ["sock", "udp"] {
                drop(fs::remove_file(membership.folder.join(format!("{}.{end}", membership.name))));
            }
        }
    }
}

/// Why boxes of a network may speak with each other.
pub(crate) fn member(network: &str) -> Decision {
    Decision {
        verdict: Verdict::Allow,
        rule: format!("network {network}"),
        reason: "both boxes are on the network".into(),
    }
}
