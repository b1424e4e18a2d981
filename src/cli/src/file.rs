//! Files that options name.

use a3s_box_core::{BoxError, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The text of the file at `path`, which errors call `what`; nothing of it is read past `most` bytes.
pub(crate) fn read_text(what: &str, path: &Path, most: u64) -> Result<String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(most).read_to_string(&mut text))
        .map_err(|e| BoxError::io(format!("cannot read {what} {}", path.display()), e))?;
    Ok(text)
}
