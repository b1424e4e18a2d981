//! `commit`: what a box has changed becomes a layer of a new image.

use super::Engine;
use super::files::Incoming;
use crate::settings::Settings;
use a3s_box_agent::proto::agent::{Layer, files_request::Work};
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_image::{Commit, ImageRef, Loaded};

impl Engine {
    /// Makes an image of the live box that `of` means: its own image, a layer of all that was changed in it, and its
    /// configuration, over which the changes of `commit` go. The box runs on meanwhile.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run, `InvalidInput` for a change that is none.
    pub async fn commit(&self, of: &str, name: Option<ImageRef>, commit: Commit) -> Result<Loaded> {
        let record = self.running(of)?;
        let store = self.store()?;
        let base = store.resolve(&record.image.digest)?;
        let mut changes = Vec::new();
        let config = &record.config;
        // What `run` was told is the image's now, as with Docker.
        let words = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
        if let Some(entrypoint) = &config.entrypoint {
            changes.push(format!("ENTRYPOINT {}", words(entrypoint)));
        }
        if config.entrypoint.is_some() || !config.command.is_empty() {
            changes.push(format!("CMD {}", words(&config.command)));
        }
        changes.extend(config.env.iter().map(|pair| format!("ENV {}", quoted(pair))));
        changes.extend(config.workdir.iter().map(|path| format!("WORKDIR {path}")));
        changes.extend(config.user.iter().map(|user| format!("USER {user}")));
        changes.extend(commit.changes);
        let created_by = record.process.args.join(" ");
        let commit = Commit { changes, created_by, ..commit };
        let thing = format!("what box {} has changed", record.name);
        let engine = self.clone();
        let take = move |input: Incoming| {
            engine.ready(|store| Ok(vec![store.commit(&base, &thing, input, name.as_ref(), &commit)?]))
        };
        let made = self.download(record.id.as_str(), "commit", Work::Layer(Layer {}), take).await?;
        self.keep_bounds(&Settings::read(&self.home)?)?;
        made.into_iter().next().ok_or_else(|| BoxError::new(ErrorKind::Internal, "no image was made"))
    }
}

/// A pair whose value is one word for an instruction.
fn quoted(pair: &str) -> String {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    let value: String =
        value.chars().flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect();
    format!("{name}=\"{value}\"")
}
