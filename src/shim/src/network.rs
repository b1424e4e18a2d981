//! The box's network, on a thread of its own beside the VMM. What it does is `a3s-box-net`'s; its log and the
//! ports that it found are in the box's folder.

use a3s_box_core::{NetCounters, ShimSpec};
use a3s_box_files::Scratch;
use a3s_box_net::{Counters, Network, SecretValues};
use std::error::Error as _;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What the box did on the network.
const LOG: &str = "net.jsonl";
/// Where its published ports really are.
const PORTS: &str = "./ports.json";

/// Starts the network of `spec`, where it has one, with the values of its `secrets`, and gives the VMM's end of its stream.
/// Whom the guest has to believe for it is in `spec` afterwards.
///
/// # Errors
/// What keeps it from being started, ready for a user to read.
pub(crate) fn start(
    spec: &mut ShimSpec,
    secrets: &SecretValues,
) -> Result<(Option<Network>, Option<OwnedFd>), String> {
    let Some(network) = &spec.network else { return Ok((None, None)) };
    let (ours, theirs) = UnixStream::pair().map_err(|e| format!("cannot make the network's stream: {e}"))?;
    let running =
        Network::start(network, secrets, spec.id.as_str(), Path::new(LOG), ours).map_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            format!("{error}{cause}{hint}")
        })?;
    // Each run has an authority of its own.
    spec.boot.trust = running.trust().cloned();
    note_ports(&running).map_err(|e| format!("cannot write {PORTS}: {e}"))?;
    Ok((Some(running), Some(theirs.into())))
}

/// What the network of the run under way has done, for whoever asks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Arc<Mutex<Option<Counters>>>);

impl Figures {
    /// A run has begun, whose network this is.
    pub(crate) fn follow(&self, network: Option<&Network>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = network.map(Network::figures);
    }

    /// The figures now, where the run has a network.
    pub(crate) fn read(&self) -> Option<NetCounters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Counters::read)
    }
}

/// Ends the network, once the VMM has ended.
pub(crate) fn stop(network: Option<Network>) {
    if let Some(Err(error)) = network.map(Network::stop) {
        tracing::warn!(%error, cause = error.source(), "the network did not end well");
    }
}

fn note_ports(network: &Network) -> io::Result<()> {
    if network.ports().is_empty() {
        return Ok(());
    }
    Scratch::write_lazily(Path::new(PORTS), &serde_json::to_vec(network.ports())?)
}
