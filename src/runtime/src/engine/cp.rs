//! `cp`: files go from the host into a live box, and from a box to the host.
//!
//! Both ends speak tar, and both take care of their own: nothing that a guest sends leaves the folder that it is meant
//! for, and what the guest unpacks is unpacked with the rights of the box's own root.

use super::Engine;
use super::files::{Incoming, Outgoing, copy_error};
use a3s_box_agent::CHUNK;
use a3s_box_agent::proto::agent::files_request::Work;
use a3s_box_agent::proto::agent::{Pack, Unpack};
use a3s_box_core::{BoxError, Result};
use a3s_box_tar::{Packing, ResolveFlags, Source, TarReader, TarWriter, Unpacking, copy_to, pack};
use rustix::fs::CWD;
use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The most files that come out of a box at once.
const MAX_ENTRIES: u64 = 16 << 20;
/// What an archive may be larger than all that a box can hold.
const SLACK: u64 = 1 << 30;
/// What is kept of a file's extended attributes.
const XATTRS: &[&str] = &["user."];

/// How files are copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    /// Files keep their owners; otherwise they are root's in a box, and the user's on the host.
    pub archive: bool,
    /// A link that is named as the source is followed.
    pub follow: bool,
}

/// The host's end of a copy.
pub enum CopyEnd<A> {
    /// A file or folder.
    Path(PathBuf),
    /// An archive that streams.
    Archive(A),
}

impl Engine {
    /// Copies `path` of the live box `name` to `to`, by the rules of `docker cp`.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run and for what its guest cannot read, those of
    /// writing here, and `Corrupt` for an archive that no honest guest sends.
    pub async fn copy_out(
        &self,
        name: &str,
        path: &[u8],
        to: CopyEnd<Box<dyn Write + Send>>,
        options: CopyOptions,
    ) -> Result<()> {
        let record = self.running(name)?;
        let rootfs = self.home.path().join("rootfs").join(&record.image.rootfs);
        let image = std::fs::metadata(&rootfs).map_or(0, |data| data.len());
        let most = record.config.disk.0.saturating_add(record.config.memory.0).saturating_add(image + SLACK);
        let work = Work::Pack(Pack { path: path.to_vec().into(), follow: options.follow });
        let take = move |input: Incoming| match to {
            CopyEnd::Path(path) => unpack(input, path, most, options.archive),
            CopyEnd::Archive(out) => stream(input, out),
        };
        self.download(record.id.as_str(), "copy from", work, take).await
    }

    /// Copies `from` to `path` of the live box `name`, by the rules of `docker cp`: an archive is unpacked into a folder
    /// that is there.
    ///
    /// # Errors
    /// As [`Engine::copy_out`], with reading and writing exchanged.
    pub async fn copy_in(
        &self,
        from: CopyEnd<Box<dyn Read + Send>>,
        name: &str,
        path: &[u8],
        options: CopyOptions,
    ) -> Result<()> {
        let place = Unpack { path: path.to_vec().into(), owners: options.archive };
        match from {
            CopyEnd::Path(path) => {
                let failed = |e| BoxError::io(format!("cannot read {}", path.display()), e);
                let bytes = path.as_os_str().as_bytes();
                let source =
                    Source::find(CWD, bytes, ResolveFlags::empty(), options.follow).map_err(failed)?;
                let give = move |out: Outgoing| {
                    let packing = Packing { xattrs: XATTRS, ..Packing::default() };
                    let mut tar = TarWriter::new(BufWriter::with_capacity(CHUNK, out));
                    pack(&source, &packing, &mut tar)
                        .and_then(|()| tar.finish().map(drop).map_err(a3s_box_tar::CopyError::Broken))
                        .map_err(|e| copy_error(format!("cannot copy {}", path.display()), e))
                };
                self.upload(name, "copy into", Work::Unpack(place), give).await
            }
            CopyEnd::Archive(mut input) => {
                // Owners are what the archive is for.
                let place = Unpack { owners: true, ..place };
                let give = move |out: Outgoing| {
                    let mut out = BufWriter::with_capacity(CHUNK, out);
                    std::io::copy(&mut input, &mut out)
                        .and_then(|_| out.flush())
                        .map_err(|e| BoxError::io("cannot pass the archive on", e))
                };
                self.upload(name, "copy into", Work::Extract(place), give).await
            }
        }
    }
}

fn unpack(input: Incoming, path: PathBuf, most: u64, owners: bool) -> Result<()> {
    let rules = Unpacking {
        owners,
        // A program of root's that a guest sent would be anybody's way to root.
        set_id: false,
        devices: false,
        xattrs: XATTRS,
        resolve: ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        bytes: most,
        entries: MAX_ENTRIES,
    };
    let mut tar = TarReader::new("what the guest sent", input);
    copy_to(CWD, path.as_os_str().as_bytes(), ResolveFlags::empty(), &rules, &mut tar)
        .map_err(|e| copy_error(format!("cannot copy to {}", path.display()), e))
}

/// Passes an archive on as it comes.
pub(super) fn stream(mut input: Incoming, mut out: Box<dyn Write + Send>) -> Result<()> {
    std::io::copy(&mut input, &mut out)
        .and_then(|_| out.flush())
        .map_err(|e| BoxError::io("cannot write the archive", e))
}
