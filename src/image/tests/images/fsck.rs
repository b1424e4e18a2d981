//! Damage at rest: found where it is looked for, and mended by the next pull or build.

use crate::hostile::Served;
use crate::tools::{Home, Peer};
use a3s_box_image::{Image, Keychain, Registries};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn pulled() -> (Home, Peer, Image) {
    let served = Served::plain(&[21, 22], 300_000);
    let peer = Peer::start(move |request| served.answer(request));
    let home = Home::new();
    let image = get(&home, &peer);
    (home, peer, image)
}

fn get(home: &Home, peer: &Peer) -> Image {
    home.pull(&format!("{}/app", peer.host), &Keychain::default(), &Registries::default(), &|_| {}).unwrap()
}

/// Changes one byte in the middle.
fn harm(path: &Path) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
}

#[test]
fn a_damaged_layer_is_found_and_comes_again() {
    let (home, peer, image) = pulled();
    let layer = home.store.layers(&image)[1].blob.clone();
    let digest = image.manifest.layers[1].digest;
    harm(&layer);
    let damage = home.store.fsck(&home.rootfs, &mut |_| {}).unwrap();
    assert_eq!(damage.blobs, [digest]);
    assert_eq!(damage.images, [format!("{}/app:latest", peer.host)]);
    // A box may run on it, and it cannot be compared now.
    assert!(home.rootfs.path(&image).exists() && damage.rootfs.is_empty());
    get(&home, &peer);
    assert_eq!(home.store.fsck(&home.rootfs, &mut |_| {}).unwrap(), Default::default());
}

#[test]
fn a_pull_mends_a_damaged_layer_that_it_needs() {
    let (home, peer, image) = pulled();
    fs::remove_file(home.rootfs.path(&image)).unwrap();
    harm(&home.store.layers(&image)[0].blob);
    let asked = peer.requests().len();
    get(&home, &peer);
    assert!(home.rootfs.path(&image).exists());
    assert_eq!(peer.requests()[asked..].iter().filter(|request| request.contains("/blobs/")).count(), 2);
    assert_eq!(home.store.fsck(&home.rootfs, &mut |_| {}).unwrap(), Default::default());
}

#[test]
fn a_damaged_rootfs_image_is_built_anew() {
    let (home, _peer, image) = pulled();
    let path = home.rootfs.path(&image);
    let good = fs::read(&path).unwrap();
    // What shows at every use: length, and the first block.
    for damaged in [good[..good.len() - 4096].to_vec(), [&[1; 4096], &good[4096..]].concat(), {
        let mut other = good.clone();
        other[1024 + 90] ^= 1;
        other
    }] {
        fs::write(&path, damaged).unwrap();
        home.rootfs.ensure(&home.store, &image).unwrap();
        assert_eq!(fs::read(&path).unwrap(), good);
    }
    // What does not.
    harm(&path);
    let damage = home.store.fsck(&home.rootfs, &mut |_| {}).unwrap();
    assert_eq!(damage.rootfs, [image.config.chain_id().to_string()]);
    assert_eq!(fs::read(&path).unwrap(), good);
    // One that no image has.
    let stray = home.path("rootfs").join(format!("{}-v1.erofs", "0".repeat(64)));
    fs::write(&stray, &good).unwrap();
    home.store.fsck(&home.rootfs, &mut |_| {}).unwrap();
    assert!(!stray.exists() && path.exists());
}
