//! `ps`: the boxes there are.

use super::{BoxView, Engine};
use crate::state::{State, look};
use a3s_box_core::Result;

impl Engine {
    /// All boxes with the state each is in at this moment, the newest first.
    ///
    /// # Errors
    /// Those of reading the state directory.
    pub fn ps(&self) -> Result<Vec<BoxView>> {
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
        views.sort_by_key(|view| std::cmp::Reverse(view.record.created_at));
        Ok(views)
    }
}
