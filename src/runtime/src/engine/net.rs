//! `net`: what a box may reach, and what it did.

use super::Engine;
use crate::Home;
use crate::log::{Cursor, Sink};
use crate::networks::Networks;
use crate::settings::Settings;
use crate::state::{BoxRecord, State};
use a3s_box_core::{
    BoxError, BoxName, ErrorKind, NetDefault, NetPolicy, NetRecord, NetSpec, NetworkMode, Result, Transport,
};
use a3s_box_net::{Explanation, HOST_NAME, Question};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};

impl Engine {
    /// Says what would become of a connection of the box that `name` means to `port` of `host`, and why: for each
    /// address of the host, or once where the name alone is enough.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one without network, `Unavailable` for a host that this host's
    /// resolvers do not know.
    pub fn explain(
        &self,
        name: &str,
        host: &str,
        port: u16,
        transport: Transport,
    ) -> Result<Vec<Explanation>> {
        let (record, networks) = {
            let state = State::read(&self.home)?;
            let record = state.find(name)?.clone();
            let places = Networks::of(&self.home);
            let networks: Result<Vec<_>> =
                record.config.network.networks.iter().map(|network| places.view(network)).collect();
            (record, networks?)
        };
        let policy = policy(&record, &Settings::read(&self.home)?)?;
        // A box of a network is known by its name, `NAME.NETWORK`, and its addresses.
        for network in &networks {
            let bare = host.strip_suffix(network.name.as_str()).and_then(|rest| rest.strip_suffix('.'));
            for (other, addresses) in &network.boxes {
                let same = |name: &str| name.eq_ignore_ascii_case(other.as_str());
                let address = host.parse::<IpAddr>().ok();
                if same(host) || bare.is_some_and(same) || address.is_some_and(|a| addresses.contains(&a)) {
                    return Ok(vec![Explanation::neighbour(
                        network.name.as_str(),
                        addresses.first().copied(),
                    )]);
                }
            }
        }
        let asked = Question { host: host.to_owned(), addresses: Vec::new(), port, transport };
        let known = host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case(HOST_NAME);
        let secrets = &record.config.network.secrets;
        let without = a3s_box_net::explain(&policy, secrets, &asked);
        // A name that is refused need not be looked up, and a refused name must not be.
        if known || without.iter().any(|answer| !answer.decision.is_allow()) {
            return Ok(without);
        }
        let addresses = (host, port).to_socket_addrs().map_err(|e| {
            BoxError::new(ErrorKind::Unavailable, format!("this host cannot find {host}"))
                .caused_by(e.to_string())
                .with_hint("the policy lets the box ask for the name; give an address to ask about one")
        })?;
        let mut addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
        addresses.sort();
        addresses.dedup();
        Ok(a3s_box_net::explain(&policy, secrets, &Question { addresses, ..asked }))
    }

    /// Hands the record of what the box that `name` means did on the network to `sink`, oldest first; with `follow`
    /// until the run ends.
    ///
    /// # Errors
    /// `NotFound` for no such box, those of reading the log, and those of `sink`.
    pub fn net_log(&self, name: &str, follow: bool, sink: Sink<'_, NetRecord>) -> Result<()> {
        let record = State::read(&self.home)?.find(name)?.clone();
        let folder = self.home.folder(&record.id);
        let mut read = || -> io::Result<()> {
            let mut cursor = Cursor::new(folder.net_logs(), &folder);
            if follow {
                let watch = cursor.watch()?;
                return cursor.follow(&watch, &|| Ok(true), None, sink);
            }
            cursor.read(sink)
        };
        read().map_err(|e| BoxError::io(format!("cannot read the network log of box {}", record.name), e))
    }

    /// The narrowest policy with which the last run of the box that `name` means could have done what it did.
    ///
    /// # Errors
    /// `NotFound` for no such box, and those of reading its log.
    pub fn learned(&self, name: &str) -> Result<NetPolicy> {
        let mut records = Vec::new();
        self.net_log(name, false, &mut |record| {
            records.push(record.clone());
            Ok(())
        })?;
        Ok(NetPolicy::learned(&records))
    }
}

/// The network of a box that has one, complete, with its places in the networks it is on.
pub(super) fn spec(home: &Home, record: &BoxRecord, settings: &Settings) -> Result<Option<NetSpec>> {
    let config = &record.config.network;
    if config.mode == NetworkMode::None {
        return Ok(None);
    }
    let places = Networks::of(home);
    let networks =
        config.networks.iter().map(|name| places.join(name, &record.name)).collect::<Result<_>>()?;
    Ok(Some(NetSpec {
        policy: policy(record, settings)?,
        limits: settings.net.limits(),
        publish: config.publish.clone(),
        resolvers: settings.net.resolvers.clone(),
        networks,
        secrets: config.secrets.clone(),
        authorities: settings.net.ca.clone(),
        ..NetSpec::default()
    }))
}

/// A box that has none, where it takes one.
pub(super) fn no_network(name: &BoxName) -> BoxError {
    BoxError::new(ErrorKind::WrongState, format!("box {name} has no network"))
        .with_hint("make another without --network none")
}

/// What a box may reach: its own rules, then those of `config.toml`, and the narrower default of the two.
fn policy(record: &BoxRecord, settings: &Settings) -> Result<NetPolicy> {
    if record.config.network.mode == NetworkMode::None {
        return Err(no_network(&record.name));
    }
    let mut policy = record.config.network.policy.clone();
    policy.rules.extend(settings.net.rules.iter().cloned());
    if settings.net.default == NetDefault::None {
        policy.default = NetDefault::None;
    }
    Ok(policy)
}
