//! What the store and the cache hold, and what goes when it is too much.

use crate::hostile::{Served, noise, tar};
use crate::tools::{Home, Peer};
use a3s_box_core::{BoxError, Bytes, ErrorKind};
use a3s_box_image::{Digest, Image, ImageError, Keychain, Platform, Pull, Registries, Result};
use std::collections::HashSet;
use std::fs::File;
use std::time::{Duration, SystemTime};

const LIMIT: Bytes = Bytes(1 << 20);

/// A registry in which every tag is an image of its own on a base that all share.
fn registry() -> Peer {
    let base = tar("base", &noise(1, 100_000));
    Peer::start(move |request| {
        let number = request.split("/app-").nth(1).unwrap().split('/').next().unwrap();
        let own = tar("own", &noise(2 + number.parse::<u64>().unwrap(), 50_000));
        let layers = [base.clone(), own];
        Served::new(&layers, "", &layers).answer(request)
    })
}

fn pull(home: &Home, peer: &Peer, number: usize, in_use: &HashSet<Digest>) -> Result<Image> {
    home.store.pull(&Pull {
        reference: &format!("{}/app-{number}", peer.host).parse().unwrap(),
        platform: Platform::host(),
        registries: &Registries::default(),
        keychain: &Keychain::default(),
        verify: &[],
        rootfs: None,
        make_room: &|coming| home.store.make_room(LIMIT, coming, in_use, &home.rootfs).map(drop),
        progress: &|_| {},
    })
}

#[test]
fn eviction_keeps_the_store_under_its_limit_and_what_boxes_use_in_it() {
    let (home, peer) = (Home::new(), registry());
    let mut in_use = HashSet::new();
    for number in 0..200 {
        let image = pull(&home, &peer, number, &in_use).unwrap();
        assert!(home.store.size().unwrap() <= LIMIT.0, "{number}: {}", home.store.size().unwrap());
        if number % 50 == 0 {
            in_use.insert(image.digest);
        }
        for digest in &in_use {
            let image = home.store.resolve(&digest.to_string()).unwrap();
            home.rootfs.ensure(&home.store, &image).unwrap();
        }
        // The newest is there, and the one before it, which was used more recently than all others.
        home.store.resolve(&format!("{}/app-{number}", peer.host)).unwrap();
        home.store.resolve(&format!("{}/app-{}", peer.host, number.saturating_sub(1))).unwrap();
    }
    assert_eq!(in_use.len(), 4);
    assert!(home.store.list().unwrap().len() > 10, "more went than had to");
    assert_eq!(home.store.fsck(&home.rootfs, &mut |_| {}).unwrap(), Default::default());
}

#[test]
fn what_was_used_least_recently_goes_first_and_a_users_own_never() {
    let (home, peer) = (Home::new(), registry());
    let nobody = HashSet::new();
    let images: Vec<_> = (0..5).map(|number| pull(&home, &peer, number, &nobody).unwrap()).collect();
    home.store.tag(&images[0].digest.to_string(), &"mine".parse().unwrap()).unwrap();
    home.store.touch(images[1].digest).unwrap();
    let size = home.store.size().unwrap();
    let pruned = home.store.make_room(Bytes(size), 1, &nobody, &home.rootfs).unwrap();
    assert_eq!(pruned.deleted, [images[2].digest]);
    assert_eq!(home.store.size().unwrap(), size - pruned.freed);
    let error = home.store.make_room(Bytes(100), 1, &nobody, &home.rootfs).unwrap_err();
    assert!(matches!(error, ImageError::NoRoom { .. }), "{error}");
    assert_eq!(BoxError::from(error).kind(), ErrorKind::OutOfSpace);
    assert_eq!(home.store.list().unwrap().len(), 5, "in vain, nothing goes");
    let kept = HashSet::from([images[4].digest]);
    let pruned = home.store.prune(true, &kept, &home.rootfs).unwrap();
    assert_eq!(pruned.deleted.len(), 3);
    assert_eq!(home.store.digests().unwrap(), [images[4].digest]);
}

#[test]
fn a_forced_removal_leaves_a_box_its_image() {
    let (home, peer) = (Home::new(), registry());
    let image = pull(&home, &peer, 0, &HashSet::new()).unwrap();
    let (name, id) = (format!("{}/app-0:latest", peer.host), image.digest.to_string());
    home.store.tag(&id, &"other".parse().unwrap()).unwrap();
    let used = HashSet::from([image.digest]);
    let remove =
        |name: &str, force: bool, used: &HashSet<Digest>| home.store.remove(name, force, used, &home.rootfs);
    assert!(matches!(remove(&id, false, &used), Err(ImageError::SeveralNames { .. })));
    let removed = remove(&id, true, &used).unwrap();
    assert_eq!(
        (removed.untagged, removed.deleted),
        (vec![name, "docker.io/library/other:latest".into()], None)
    );
    assert_eq!(home.store.resolve(&id).unwrap().reference, None);
    assert!(matches!(remove(&id, true, &used), Err(ImageError::InUse { .. })));
    assert!(home.store.prune(false, &used, &home.rootfs).unwrap().deleted.is_empty());
    assert_eq!(home.store.prune(false, &HashSet::new(), &home.rootfs).unwrap().deleted, [image.digest]);
    assert_eq!(home.leftovers(), [] as [&str; 0]);
}

#[test]
fn rootfs_images_go_by_age_and_by_size_but_not_under_a_box() {
    let (home, peer) = (Home::new(), registry());
    let files: Vec<_> = (0..4)
        .map(|number| {
            let image = pull(&home, &peer, number, &HashSet::new()).unwrap();
            let path = home.rootfs.ensure(&home.store, &image).unwrap();
            let age = Duration::from_secs(3600 * (10 - number as u64));
            File::open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
            (path, image)
        })
        .collect();
    let there = || files.iter().map(|(path, _)| path.exists()).collect::<Vec<_>>();
    let used = HashSet::from([files[0].0.file_name().unwrap().to_str().unwrap().to_owned()]);
    let freed = home.rootfs.prune(Some(Duration::from_secs(3600 * 9 - 1800)), None, &used).unwrap();
    assert_eq!(there(), [true, false, true, true]);
    let left = home.rootfs.size().unwrap();
    assert!(freed > 100_000);
    // One goes, and the older one.
    home.rootfs.prune(None, Some(Bytes(left - 1)), &used).unwrap();
    assert_eq!(there(), [true, false, false, true]);
    // What is used now is young again, and built again.
    home.rootfs.ensure(&home.store, &files[2].1).unwrap();
    home.rootfs.ensure(&home.store, &files[3].1).unwrap();
    home.rootfs.prune(Some(Duration::ZERO), Some(Bytes(0)), &used).unwrap();
    assert_eq!(there(), [true, false, true, true]);
}
