//! What a box no longer needs of the host's disk and memory, the host has again while the box runs.

use crate::harness::{Home, eventually, not_here, private_memory};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// The room that a file has taken on the host.
fn taken(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().blocks() * 512
}

#[test]
fn files_that_are_removed_free_the_hosts_disk() {
    let home = Home::new();
    home.start("d", &["-v", "data:/data"], "sleep 100000");
    let id = home.inspect("d")["id"].as_str().unwrap().to_owned();
    let disks =
        [home.path().join("boxes").join(id).join("upper.ext4"), home.path().join("volumes/data/data.ext4")];
    let before: Vec<u64> = disks.iter().map(|disk| taken(disk)).collect();
    home.exec("d", "for d in / /data/; do head -c 67108864 /dev/zero | tr '\\0' x > ${d}big; done; sync");
    for (disk, before) in disks.iter().zip(&before) {
        assert!(taken(disk) >= before + 64 * MIB, "{} holds {}", disk.display(), taken(disk));
    }
    home.exec("d", "rm /big /data/big; sync");
    for (disk, before) in disks.iter().zip(&before) {
        eventually("the disk's room is the host's again", || (taken(disk) < before + 8 * MIB).then_some(()));
    }
}

#[test]
fn memory_that_is_free_again_is_the_hosts() {
    let home = Home::new();
    home.idle("m");
    let vmm = home.pid("m", "vmm").unwrap();
    let Some(before) = private_memory(vmm) else {
        return not_here("only root may look into libkrun's process");
    };
    home.exec("m", "dd if=/dev/zero of=/dev/null bs=200M count=1");
    if home.inspect("m")["vmm"] == "qemu" {
        // Its memory may begin as a template's, which other boxes have too: what QEMU gives back it takes from there.
        assert!(private_memory(vmm).unwrap() > before + 150 * MIB);
        return;
    }
    // The kernel gives back what lies in blocks of 2 MiB.
    eventually("most of the memory is the host's again", || {
        (private_memory(vmm).unwrap() < before + 100 * MIB).then_some(())
    });
}
