//! The networks that boxes share: `networks/NAME.json`, and beside it the folder `networks/NAME/` in which their shims
//! find each other.
//!
//! A box's place in a network is a file of its name there with its addresses, given out at its first start and kept
//! until it leaves. Used under the lock of the state alone.

use crate::Home;
use a3s_box_core::{
    BoxError, BoxName, ErrorKind, NeighbourSpec, NetworkMembership, NetworkName, Result, did_you_mean,
};
use a3s_box_files::Scratch;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// A file of ours is never longer.
const MAX_FILE: u64 = 4096;
/// Networks have numbers, which are a byte of their boxes' addresses; boxes have too.
const NUMBERS: std::ops::RangeInclusive<u8> = 1..=254;
const HOSTS: std::ops::RangeInclusive<u8> = 2..=254;
/// The path of a UNIX socket is no longer (unix(7)).
const MAX_SOCKET: usize = 107;

/// A network as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    number: u8,
    created_at: u64,
}

/// A network, and the boxes that have a place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkView {
    /// Its name.
    pub name: NetworkName,
    /// Its IPv4 addresses, as CIDR.
    pub subnet4: String,
    /// Its IPv6 addresses, as CIDR.
    pub subnet6: String,
    /// When it was made, in microseconds since the UNIX epoch.
    pub created_at: u64,
    /// The addresses of its boxes. One that has not been started yet has none.
    pub boxes: BTreeMap<BoxName, Vec<IpAddr>>,
}

/// All of them.
pub(crate) struct Networks(PathBuf);

impl Networks {
    pub(crate) fn of(home: &Home) -> Self {
        Self(home.networks())
    }

    /// Makes a network.
    pub(crate) fn create(&self, name: &NetworkName, now: u64) -> Result<()> {
        if self.file(name).exists() {
            return Err(BoxError::new(ErrorKind::AlreadyExists, format!("network {name} exists already"))
                .with_hint("see `a3s-box network ls`"));
        }
        let taken: BTreeSet<u8> =
            self.names()?.iter().map(|name| Ok(self.read(name)?.number)).collect::<Result<_>>()?;
        let number = NUMBERS.clone().find(|number| !taken.contains(number)).ok_or_else(|| {
            BoxError::new(ErrorKind::OutOfSpace, format!("there are {} networks already", NUMBERS.len()))
                .with_hint("remove one with `a3s-box network rm`")
        })?;
        let file = NetworkFile { number, created_at: now };
        let write = || -> io::Result<()> {
            fs::create_dir_all(self.folder(name))?;
            Scratch::write(&self.file(name), &serde_json::to_vec(&file)?)
        };
        write().map_err(|e| {
            drop(fs::remove_dir(self.folder(name)));
            BoxError::io(format!("cannot create network {name}"), e)
        })
    }

    /// Removes a network that no box is to be on.
    pub(crate) fn remove(&self, name: &NetworkName) -> Result<()> {
        self.read(name)?;
        fs::remove_file(self.file(name))
            .and_then(|()| fs::remove_dir_all(self.folder(name)))
            .map_err(|e| BoxError::io(format!("cannot remove network {name}"), e))
    }

    /// The names of all.
    pub(crate) fn names(&self) -> Result<BTreeSet<NetworkName>> {
        let failed = |e| BoxError::io(format!("cannot read {}", self.0.display()), e);
        let mut names = BTreeSet::new();
        match fs::read_dir(&self.0) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries.map_err(failed)? {
                    let file = entry.map_err(failed)?.file_name();
                    names.extend(file.to_str().and_then(|f| f.strip_suffix(".json")?.parse().ok()));
                }
            }
        }
        Ok(names)
    }

    /// What there is to see of the network `name`.
    pub(crate) fn view(&self, name: &NetworkName) -> Result<NetworkView> {
        let NetworkFile { number, created_at } = self.read(name)?;
        let [four, six] = addresses(number, 0);
        Ok(NetworkView {
            name: name.clone(),
            subnet4: format!("{four}/24"),
            subnet6: format!("{six}/64"),
            created_at,
            boxes: self.members(name)?,
        })
    }

    /// Fails for a network that is not there.
    pub(crate) fn check(&self, name: &NetworkName) -> Result<()> {
        self.read(name).map(drop)
    }

    /// The place of the box called `name` in `network`, given to it now where it has none.
    pub(crate) fn join(&self, network: &NetworkName, name: &BoxName) -> Result<NetworkMembership> {
        let number = self.read(network)?.number;
        let members = self.members(network)?;
        // As the shim sees it, whose own folder is where it works: a short path, whatever the state directory's is.
        let folder = Path::new("../../networks").join(network.as_str());
        if folder.as_os_str().len() + name.as_str().len() + "/.sock".len() > MAX_SOCKET {
            return Err(BoxError::new(
                ErrorKind::InvalidInput,
                format!("the names {name} and {network} are too long for a box on a network"),
            )
            .with_hint("give the box a shorter one with `a3s-box rename`"));
        }
        let addresses = match members.get(name) {
            Some(addresses) => addresses.clone(),
            None => {
                let taken: BTreeSet<IpAddr> = members.into_values().flatten().collect();
                let mut free = HOSTS.clone().map(|host| addresses(number, host));
                let addresses = free.find(|[four, _]| !taken.contains(four)).ok_or_else(|| {
                    BoxError::new(ErrorKind::OutOfSpace, format!("network {network} is full"))
                        .with_hint("make another with `a3s-box network create`")
                })?;
                let spec = NeighbourSpec { addresses: addresses.to_vec() };
                serde_json::to_vec(&spec)
                    .map_err(io::Error::from)
                    .and_then(|json| Scratch::write(&self.place(network, name, "json"), &json))
                    .map_err(|e| BoxError::io(format!("cannot join network {network}"), e))?;
                spec.addresses
            }
        };
        Ok(NetworkMembership {
            network: network.as_str().to_owned(),
            folder,
            name: name.as_str().to_owned(),
            addresses,
        })
    }

    /// Gives the place of a box up, and what a killed shim left of it.
    pub(crate) fn leave(&self, network: &NetworkName, name: &BoxName) -> Result<()> {
        for end in ["json", "sock", "udp"] {
            match fs::remove_file(self.place(network, name, end)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(BoxError::io(format!("cannot leave network {network}"), e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives up the places of a box in all of `networks`.
    pub(crate) fn leave_all(&self, networks: &[NetworkName], name: &BoxName) -> Result<()> {
        networks.iter().try_for_each(|network| self.leave(network, name))
    }

    /// Gives up the places for which `wanted` says no: what a crash has left.
    pub(crate) fn sweep(&self, wanted: impl Fn(&NetworkName, &BoxName) -> bool) -> Result<()> {
        for network in self.names()? {
            for name in self.members(&network)?.into_keys().filter(|name| !wanted(&network, name)) {
                self.leave(&network, &name)?;
            }
            a3s_box_files::sweep(&self.folder(&network))
                .map_err(|e| BoxError::io(format!("cannot tidy network {network}"), e))?;
        }
        Ok(())
    }

    fn members(&self, network: &NetworkName) -> Result<BTreeMap<BoxName, Vec<IpAddr>>> {
        let failed = |e| BoxError::io(format!("cannot read network {network}"), e);
        let mut members = BTreeMap::new();
        for entry in fs::read_dir(self.folder(network)).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().and_then(|f| f.to_str()?.strip_suffix(".json")?.parse().ok());
            let Some(name) = name else { continue };
            // A damaged one says as little as a missing one.
            let spec = read(&path).ok().and_then(|json| serde_json::from_slice(&json).ok());
            members.extend(spec.map(|NeighbourSpec { addresses }| (name, addresses)));
        }
        Ok(members)
    }

    fn read(&self, name: &NetworkName) -> Result<NetworkFile> {
        let path = self.file(name);
        let json = read(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => {
                let names = self.names().unwrap_or_default();
                let meant = did_you_mean(name.as_str(), names.iter().map(NetworkName::as_str));
                BoxError::new(ErrorKind::NotFound, format!("no such network: {name}{meant}"))
                    .with_hint(format!("make it with `a3s-box network create {name}`"))
            }
            _ => BoxError::io(format!("cannot read {}", path.display()), e),
        })?;
        serde_json::from_slice(&json).map_err(|e| {
            BoxError::new(ErrorKind::Corrupt, format!("{} is damaged", path.display())).caused_by(e)
        })
    }

    fn file(&self, name: &NetworkName) -> PathBuf {
        self.0.join(format!("{name}.json"))
    }

    fn folder(&self, name: &NetworkName) -> PathBuf {
        self.0.join(name.as_str())
    }

    fn place(&self, network: &NetworkName, name: &BoxName, end: &str) -> PathBuf {
        self.folder(network).join(format!("{name}.{end}"))
    }
}

/// The addresses of a box. They are no more than names: the boxes of a network share no link.
fn addresses(network: u8, host: u8) -> [IpAddr; 2] {
    let six = Ipv6Addr::new(0xfda3, 0x50, u16::from(network), 0, 0, 0, 0, u16::from(host));
    [Ipv4Addr::new(10, 164, network, host).into(), six.into()]
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NetworkName {
        text.parse().unwrap()
    }

    fn of_box(text: &str) -> BoxName {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_kept_and_given_again_once_they_are_free() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::of(&Home::at(dir.path()).unwrap());
        let (back, front) = (name("back"), name("front"));
        networks.create(&back, 1).unwrap();
        networks.create(&front, 2).unwrap();
        assert_eq!(networks.create(&back, 3).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let four = |place: NetworkMembership| place.addresses[0].to_string();
        assert_eq!(four(networks.join(&back, &of_box("a")).unwrap()), "10.164.1.2");
        assert_eq!(four(networks.join(&back, &of_box("b")).unwrap()), "10.164.1.3");
        assert_eq!(four(networks.join(&back, &of_box("a")).unwrap()), "10.164.1.2");
        assert_eq!(four(networks.join(&front, &of_box("a")).unwrap()), "10.164.2.2");
        networks.leave(&back, &of_box("a")).unwrap();
        networks.leave(&back, &of_box("a")).unwrap();
        assert_eq!(four(networks.join(&back, &of_box("c")).unwrap()), "10.164.1.2");
        networks.sweep(|_, name| name.as_str() == "b").unwrap();
        let view = networks.view(&back).unwrap();
        assert_eq!(view.boxes.into_keys().collect::<Vec<_>>(), [of_box("b")]);
        assert_eq!((&*view.subnet4, &*view.subnet6), ("10.164.1.0/24", "fda3:50:1::/64"));
    }

    #[test]
    fn what_is_not_there_or_too_long_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::of(&Home::at(dir.path()).unwrap());
        assert!(networks.names().unwrap().is_empty());
        assert_eq!(networks.check(&name("back")).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(networks.remove(&name("back")).unwrap_err().kind(), ErrorKind::NotFound);
        networks.create(&name("back"), 0).unwrap();
        let long = of_box(&"b".repeat(128));
        assert_eq!(networks.join(&name("back"), &long).unwrap_err().kind(), ErrorKind::InvalidInput);
        networks.remove(&name("back")).unwrap();
        assert!(networks.names().unwrap().is_empty());
    }

    #[test]
    fn a_network_holds_as_many_boxes_as_it_has_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::of(&Home::at(dir.path()).unwrap());
        networks.create(&name("n"), 0).unwrap();
        for host in HOSTS {
            networks.join(&name("n"), &of_box(&format!("b{host}"))).unwrap();
        }
        assert_eq!(networks.join(&name("n"), &of_box("x")).unwrap_err().kind(), ErrorKind::OutOfSpace);
    }
}
