//! What happens to this box, told to the event log and to the user's programs.

use crate::status::now;
use a3s_box_core::{BoxEvent, BoxName, EventKind, RunExit, ShimSpec, event_labels};
use a3s_box_events::Teller;
use std::collections::BTreeMap;

/// Tells of one box.
pub(crate) struct Events {
    teller: Teller,
    like: BoxEvent,
}

impl Events {
    /// Those of the box of `spec`.
    pub(crate) fn of(spec: &ShimSpec) -> Self {
        let like = BoxEvent {
            time: 0,
            event: EventKind::Started,
            id: spec.id.clone(),
            name: spec.name.clone(),
            image: spec.image.clone(),
            labels: event_labels(&spec.labels),
            attributes: BTreeMap::new(),
        };
        Self { teller: Teller { log: spec.events.clone(), hooks: spec.hooks.clone() }, like }
    }

    /// The box has another name.
    pub(crate) fn rename(&mut self, name: BoxName) {
        self.like.name = name;
    }

    /// Tells that `event` happened, with `attributes`. Programs are waited for.
    ///
    /// # Errors
    /// What kept a required program from succeeding, ready for a user to read.
    pub(crate) async fn tell(&self, event: EventKind, attributes: &[(&str, String)]) -> Result<(), String> {
        self.run_hooks(self.write(event, attributes)).await
    }

    /// Writes down that `event` happened; the programs are still to be told.
    pub(crate) fn write(&self, event: EventKind, attributes: &[(&str, String)]) -> BoxEvent {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let event = BoxEvent { time: now(), event, attributes, ..self.like.clone() };
        self.teller.note(&event);
        event
    }

    /// Tells the programs of an event that is written down.
    ///
    /// # Errors
    /// As [`Events::tell`].
    pub(crate) async fn run_hooks(&self, event: BoxEvent) -> Result<(), String> {
        if !self.teller.has_hooks(&event) {
            return Ok(());
        }
        let teller = self.teller.clone();
        let told = tokio::task::spawn_blocking(move || teller.run_hooks(&event)).await;
        told.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// As [`Events::tell`], for what no program can prevent.
    pub(crate) async fn note(&self, event: EventKind, attributes: &[(&str, String)]) {
        if let Err(error) = self.tell(event, attributes).await {
            tracing::warn!(error, "a required hook failed, too late");
        }
    }
}

/// The end of a run as events tell it.
pub(crate) fn of_exit(exit: &RunExit) -> [(&'static str, String); 2] {
    [("exit_code", exit.code.to_string()), ("reason", exit.reason.to_string())]
}
