//! Rootfs images that may not be on the disk yet.
//!
//! A box need not wait for the disk to take the image that was just built: it is in memory, and can be built again.
//! But a power cut can leave anything under its name, so the file says in which boot of the host it was written, in an
//! extended attribute that is as durable as its name. One from an earlier boot is not gone by; one that has been here
//! for a while is synced at its next use, which then costs nothing, and says no more.

use a3s_box_files::boot_id;
use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};
use std::fs::File;
use std::io;
use std::time::Duration;

const MARK: &str = "user.a3s.unsynced";
/// Long enough for a host to have written a file by itself (`dirty_expire_centisecs`, kernel docs, sysctl/vm).
const WRITTEN_BY_ITSELF: Duration = Duration::from_secs(60);

/// Marks `file` as one that only this boot of the host may rely on. False where that cannot be: then it has to be synced.
pub(super) fn mark(file: &File) -> bool {
    boot_id().is_ok_and(|boot| fsetxattr(file, MARK, boot.as_bytes(), XattrFlags::empty()).is_ok())
}

/// Whether what `file` holds can be relied on.
pub(super) fn is_sure(file: &File) -> io::Result<bool> {
    let mut written = [0; 64];
    let Ok(length) = fgetxattr(file, MARK, &mut written[..]) else { return Ok(true) };
    if written[..length] != *boot_id()?.as_bytes() {
        return Ok(false);
    }
    let age = file.metadata()?.created().or_else(|_| file.metadata()?.modified())?.elapsed();
    if age.unwrap_or_default() > WRITTEN_BY_ITSELF {
        file.sync_all()?;
        fremovexattr(file, MARK)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_boot_relies_on_what_is_not_synced() {
        // Beside the sources: not every temporary folder has extended attributes.
        let file = tempfile::tempfile_in(".").unwrap();
        assert!(is_sure(&file).unwrap(), "what says nothing was synced");
        assert!(mark(&file));
        assert!(is_sure(&file).unwrap());
        fsetxattr(&file, MARK, b"an-earlier-boot", XattrFlags::empty()).unwrap();
        assert!(!is_sure(&file).unwrap());
    }
}
