//! `ps`: the boxes there are.

use super::df::disk_usage;
use super::{BoxView, Engine, now};
use crate::Home;
use crate::filter::{self, BoxFilter};
use crate::state::{BoxRecord, State, look};
use a3s_box_core::{BoxError, Result};

/// What a box takes up, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoxSize {
    /// Its own: its writable layer and its logs.
    pub own: u64,
    /// Its image's file system, which it shares with others.
    pub image: u64,
}

impl Engine {
    /// The boxes that `filters` let through, with the state each is in at this moment, the newest first.
    ///
    /// # Errors
    /// Those of reading the state directory; `NotFound` where a filter names a box that is not there.
    pub fn ps(&self, filters: &[BoxFilter]) -> Result<Vec<BoxView>> {
        let mut views = Vec::new();
        let mut spent = false;
        {
            let state = State::read(&self.home)?;
            for record in state.records().values() {
                let seen = look(&self.home, record)?;
                if seen.is_spent(record) {
                    spent = true;
                } else {
                    views.push(BoxView::new(&self.home, record.clone(), seen));
                }
            }
        }
        if spent {
            self.sweep(&mut State::write(&self.home)?)?;
        }
        filter::apply(filters, &mut views, now())?;
        views.sort_by_key(|view| std::cmp::Reverse(view.record.created_at));
        Ok(views)
    }

    /// What a box takes up on the disk.
    ///
    /// # Errors
    /// Those of reading its folder.
    pub fn size(&self, record: &BoxRecord) -> Result<BoxSize> {
        let folder = self.home.folder(&record.id);
        let own = disk_usage(folder.path())
            .map_err(|e| BoxError::io(format!("cannot read {}", folder.path().display()), e))?;
        let rootfs = self.home.path().join("rootfs").join(&record.image.rootfs);
        Ok(BoxSize { own, image: std::fs::metadata(rootfs).map_or(0, |file| file.len()) })
    }
}

/// A box as it is now. The caller holds the state's lock.
pub(super) fn view(home: &Home, record: BoxRecord) -> Result<BoxView> {
    let seen = look(home, &record)?;
    Ok(BoxView::new(home, record, seen))
}
