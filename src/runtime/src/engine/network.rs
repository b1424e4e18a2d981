//! `network`: the networks on which boxes meet.

use super::net::no_network;
use super::{Engine, now, wrong_state};
use crate::networks::{NetworkView, Networks};
use crate::state::{BoxRecord, State, look};
use a3s_box_core::{BoxError, BoxName, ErrorKind, NetworkMode, NetworkName, Result};

impl Engine {
    /// Makes a network.
    ///
    /// # Errors
    /// `AlreadyExists` for a name that is taken, `OutOfSpace` where there are as many as there can be.
    pub fn create_network(&self, name: &NetworkName) -> Result<()> {
        let _state = State::write(&self.home)?;
        Networks::of(&self.home).create(name, now())
    }

    /// Removes a network.
    ///
    /// # Errors
    /// `NotFound` for none, `WrongState` where a box is on it.
    pub fn remove_network(&self, name: &NetworkName) -> Result<()> {
        let state = State::write(&self.home)?;
        if let Some(record) = state.records().values().find(|r| r.config.network.networks.contains(name)) {
            return Err(BoxError::new(
                ErrorKind::WrongState,
                format!("box {} is on network {name}", record.name),
            )
            .with_hint("remove the box, or take it off with `a3s-box network disconnect`"));
        }
        Networks::of(&self.home).remove(name)
    }

    /// All networks, by name.
    ///
    /// # Errors
    /// Those of reading them.
    pub fn networks(&self) -> Result<Vec<NetworkView>> {
        let state = State::read(&self.home)?;
        let networks = Networks::of(&self.home);
        networks.names()?.iter().map(|name| view(&state, &networks, name)).collect()
    }

    /// The network `name`.
    ///
    /// # Errors
    /// `NotFound` for none.
    pub fn inspect_network(&self, name: &NetworkName) -> Result<NetworkView> {
        let state = State::read(&self.home)?;
        view(&state, &Networks::of(&self.home), name)
    }

    /// Puts the box that `of` means on the network `name`, as soon as it is started.
    ///
    /// # Errors
    /// `NotFound` for no such box or network, `AlreadyExists` for a box that is on it, `WrongState` for a box that
    /// runs or that has no network at all.
    pub fn connect_network(&self, name: &NetworkName, of: &str) -> Result<()> {
        Networks::of(&self.home).check(name)?;
        self.change_networks(of, |record| {
            if record.config.network.networks.contains(name) {
                let text = format!("box {} is on network {name} already", record.name);
                return Err(BoxError::new(ErrorKind::AlreadyExists, text));
            }
            record.config.network.networks.push(name.clone());
            record.config.network.networks.sort();
            Ok(())
        })
    }

    /// Takes the box that `of` means off the network `name`.
    ///
    /// # Errors
    /// `NotFound` for no such box and for one that is not on the network, `WrongState` for a box that runs.
    pub fn disconnect_network(&self, name: &NetworkName, of: &str) -> Result<()> {
        self.change_networks(of, |record| {
            if !record.config.network.networks.contains(name) {
                let text = format!("box {} is not on network {name}", record.name);
                return Err(BoxError::new(ErrorKind::NotFound, text));
            }
            record.config.network.networks.retain(|other| other != name);
            Networks::of(&self.home).leave(name, &record.name)
        })
    }

    fn change_networks(&self, of: &str, change: impl FnOnce(&mut BoxRecord) -> Result<()>) -> Result<()> {
        let mut state = State::write(&self.home)?;
        let mut record = state.find(of)?.clone();
        let seen = look(&self.home, &record)?;
        if seen.state.is_live() {
            return Err(wrong_state(
                &record.name,
                seen.state,
                "stop it first; what it is on is settled when it starts",
            ));
        }
        if record.config.network.mode == NetworkMode::None {
            return Err(no_network(&record.name));
        }
        change(&mut record)?;
        state.change(|records| drop(records.insert(record.id.clone(), record)))
    }
}

/// The network, with the boxes that are to be on it and were not started yet.
fn view(state: &State, networks: &Networks, name: &NetworkName) -> Result<NetworkView> {
    let mut view = networks.view(name)?;
    let on = |record: &&BoxRecord| record.config.network.networks.contains(name);
    let names: Vec<BoxName> = state.records().values().filter(on).map(|record| record.name.clone()).collect();
    view.boxes.retain(|name, _| names.contains(name));
    for name in names {
        view.boxes.entry(name).or_default();
    }
    Ok(view)
}
