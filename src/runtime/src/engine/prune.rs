//! `prune`: removes the boxes that do not run.

use super::Engine;
use super::df::disk_usage;
use super::ps::view;
use crate::filter::{self, BoxFilter};
use crate::state::State;
use a3s_box_core::{BoxError, BoxId, ErrorKind, Result};

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunedBoxes {
    /// The boxes.
    pub removed: Vec<BoxId>,
    /// The bytes that they took up.
    pub freed: u64,
}

impl Engine {
    /// Removes the boxes that do not run and that `filters`, which may be `until` and `label`, let through.
    ///
    /// # Errors
    /// `InvalidInput` for other filters, and those of removing a box.
    pub fn prune(&self, filters: &[BoxFilter]) -> Result<PrunedBoxes> {
        if let Some(filter) = filters.iter().find(|filter| !["until", "label"].contains(&filter.key())) {
            let text = format!("boxes are not pruned by {}", filter.key());
            return Err(BoxError::new(ErrorKind::InvalidInput, text).with_hint("what there is: until label"));
        }
        let mut state = State::write(&self.home)?;
        self.sweep(&mut state)?;
        let records: Vec<_> = state.records().values().cloned().collect();
        let mut views = records.into_iter().map(|r| view(&self.home, r)).collect::<Result<Vec<_>>>()?;
        views.retain(|view| !view.state.is_live());
        filter::apply(filters, &mut views, super::now())?;
        let mut pruned = PrunedBoxes { removed: Vec::new(), freed: 0 };
        for view in views {
            pruned.freed += disk_usage(self.home.folder(&view.record.id).path()).unwrap_or_default();
            self.remove(&mut state, &view.record)?;
            pruned.removed.push(view.record.id);
        }
        Ok(pruned)
    }
}
