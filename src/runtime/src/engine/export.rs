//! `export`: the root of a box as an archive.

use super::Engine;
use super::cp::stream;
use a3s_box_agent::proto::agent::{Export, files_request::Work};
use a3s_box_core::Result;
use std::io::Write;

impl Engine {
    /// Writes the root of the live box that `name` means to `out`, as a tar: what its image and what was written over it
    /// come to, without what is mounted in it.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run, and those of writing; then what was written is
    /// no archive.
    pub async fn export(&self, name: &str, out: Box<dyn Write + Send>) -> Result<()> {
        self.download(name, "export", Work::Export(Export {}), move |input| stream(input, out)).await
    }
}
