//! Templates: guests that have booted and wait to be told what box they are.
//!
//! All boxes of one shape (program, kernel, machine) boot alike up to there, so the first one to boot is saved there
//! and the others go on from its copy. A template holds nothing of any box. It is good for as long as the host runs:
//! what makes its key never changes under it, and a power cut ends it. The shims of all boxes share the folder.

use a3s_box_core::{ShimSpec, TemplateHead, template_key};
use a3s_box_files::{Lock, Scratch, boot_id, sweep};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Goes up when a guest that was saved before could not be gone on from.
const VERSION: u32 = 1;
const SUFFIX: &str = "template";
/// How many are kept: those used last.
const KEPT: usize = 8;

/// The template for boxes of one shape, whether it is there or not.
pub(super) struct Template {
    path: PathBuf,
    key: Vec<u8>,
}

impl Template {
    /// The one for guests that `program` runs with `arguments` (which name nothing that belongs to one box) from the
    /// kernel and initramfs of `spec`.
    ///
    /// # Errors
    /// Those of stat(2), and of what tells one boot of the host from another.
    pub(super) fn of(spec: &ShimSpec, program: &Path, arguments: &[String]) -> io::Result<Self> {
        let mut key = template_key(VERSION, &boot_id()?, "");
        for file in [program, &spec.kernel, &spec.initramfs] {
            let data = fs::metadata(file)?;
            let (path, size) = (file.display(), data.len());
            let facts = [data.dev(), data.ino(), size, data.mtime().unsigned_abs()];
            key += &format!("{path} {facts:?} {} {}\n", data.mtime_nsec(), data.ctime_nsec());
        }
        key += &arguments.join("\n");
        let mut hash = DefaultHasher::new();
        key.hash(&mut hash);
        let path = spec.templates.join(format!("{:016x}.{SUFFIX}", hash.finish()));
        Ok(Self { path, key: key.into_bytes() })
    }

    /// The saved guest, read from where the file stands; none where there is none.
    pub(super) fn open(&self) -> Option<File> {
        let mut file = File::open(&self.path).ok()?;
        let found = self.is_in(&mut file).unwrap_or(false);
        // The time of the last use, by which templates are kept.
        found.then(|| drop(file.set_modified(SystemTime::now())))?;
        Some(file)
    }

    fn is_in(&self, file: &mut File) -> io::Result<bool> {
        let mut head = [0; TemplateHead::SIZE];
        file.read_exact(&mut head)?;
        let length = file.metadata()?.len();
        let Some(head) = TemplateHead::parse(&head).filter(|head| head.length == length) else {
            return Ok(false);
        };
        let mut key = Vec::new();
        file.take(head.key).read_to_end(&mut key)?;
        Ok(key == self.key)
    }

    /// Begins to make it; none where another box does that now.
    ///
    /// # Errors
    /// Those of open(2), flock(2) and write(2).
    pub(super) fn begin(self) -> io::Result<Option<Making>> {
        let dir = self.path.parent().unwrap_or(Path::new("/"));
        let Some(turn) = Lock::try_exclusive(&dir.join(".lock"))? else { return Ok(None) };
        sweep(dir)?;
        let scratch = Scratch::new(dir)?;
        let mut file = scratch.file();
        file.write_all(&TemplateHead { length: 0, key: self.key.len() as u64 }.bytes())?;
        file.write_all(&self.key)?;
        Ok(Some(Making { scratch, template: self, _turn: turn }))
    }

    /// Removes what cannot be gone on from.
    pub(super) fn discard(&self) {
        drop(fs::remove_file(&self.path));
    }
}

/// A template that a guest is being saved to. Unless it is finished, nothing remains of it.
pub(super) struct Making {
    scratch: Scratch,
    template: Template,
    _turn: Lock,
}

impl Making {
    /// Where the guest is to be saved: written from where the file stands.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.scratch.file().as_fd()
    }

    /// The guest is saved, all of it.
    ///
    /// # Errors
    /// Those of write(2) and rename(2).
    pub(super) fn finish(self) -> io::Result<()> {
        let mut file = self.scratch.file();
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(TemplateHead::LENGTH_AT))?;
        file.write_all(&length.to_le_bytes())?;
        // It need not outlive a power cut, so nobody waits for the disk.
        self.scratch.keep(&self.template.path)?;
        prune(self.template.path.parent().unwrap_or(Path::new("/")))
    }
}

/// Removes all templates but those used last.
fn prune(dir: &Path) -> io::Result<()> {
    let mut templates = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == SUFFIX) {
            templates.push((fs::metadata(&path)?.modified()?, path));
        }
    }
    templates.sort();
    let extra = templates.len().saturating_sub(KEPT);
    // A guest that is being restored keeps the file open.
    templates.iter().take(extra).try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
