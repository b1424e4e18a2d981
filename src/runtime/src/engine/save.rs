//! `save`: images as archives.

use super::Engine;
use a3s_box_core::{BoxError, Result};
use a3s_box_files::Scratch;
use std::io::{BufWriter, Write};
use std::path::Path;

impl Engine {
    /// Writes the images that `names` mean to `path`, as an OCI layout in a tar that `docker load` reads too. The
    /// file appears when all of it is written.
    ///
    /// # Errors
    /// `NotFound` for no such image, `Corrupt` where a blob is damaged, and those of writing.
    pub fn save(&self, names: &[String], path: &Path) -> Result<()> {
        let shown = path.display().to_string();
        let failed = |e| BoxError::io(format!("cannot write {shown}"), e);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let scratch = Scratch::new(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        self.store()?.save(names, &shown, BufWriter::with_capacity(1 << 20, scratch.file()))?;
        scratch.publish(path).map_err(failed)
    }

    /// As [`Engine::save`], to `out`.
    ///
    /// # Errors
    /// As [`Engine::save`]; then what was written is no archive.
    pub fn save_stream(&self, names: &[String], out: impl Write) -> Result<()> {
        Ok(self.store()?.save(names, "standard output", BufWriter::with_capacity(1 << 20, out))?)
    }
}
