//! Many processes at once: what they share comes once, and one that is killed harms nobody.

use crate::again;
use crate::hostile::{Served, noise, tar};
use crate::tools::{Home, Peer};
use a3s_box_image::Digest;
use std::collections::HashSet;
use std::process::Child;
use std::thread;
use std::time::Duration;

const PROCESSES: usize = 10;
const ROUNDS: u64 = 100;

/// Images of which each shares layers with the others: image `i` has the layers `i`, `i + 1` and 0.
fn overlapping(round: u64) -> Vec<Served> {
    let layer = |number: u64| tar(&format!("file-{number}"), &noise(1 + round * 100 + number, 60_000));
    let tars: Vec<_> = (0..5).map(layer).collect();
    (1..4)
        .map(|i| [tars[0].clone(), tars[i].clone(), tars[i + 1].clone()])
        .map(|own| Served::new(&own, "", &own))
        .collect()
}

/// A registry of `images`, called `app-0` and so on.
fn registry(images: Vec<Served>) -> Peer {
    Peer::start(move |request| {
        let named = images.iter().enumerate().find(|(i, _)| request.contains(&format!("/app-{i}/")));
        let (_, image) = named.unwrap();
        image.answer(request)
    })
}

/// How often each blob was asked for.
fn asked(peer: &Peer) -> Vec<String> {
    let requests = peer.requests();
    let blobs = requests.iter().filter_map(|request| request.split("/blobs/").nth(1)?.split(' ').next());
    blobs.map(str::to_owned).collect()
}

#[test]
fn a_layer_comes_once_for_all_processes() {
    let images = overlapping(1000);
    let layers: HashSet<String> = images
        .iter()
        .flat_map(|image| &image.blobs)
        .filter(|(_, blob)| blob.len() > 2000)
        .map(|(d, _)| d.clone())
        .collect();
    let peer = registry(images);
    let home = Home::new();
    let spawn = |i: usize| again::pull(&home, &format!("{}/app-{}", peer.host, i % 3), "").spawn().unwrap();
    let processes: Vec<Child> = (0..PROCESSES).map(spawn).collect();
    for process in processes {
        again::said(&process.wait_with_output().unwrap()).unwrap();
    }
    let asked = asked(&peer);
    for layer in &layers {
        assert_eq!(asked.iter().filter(|blob| *blob == layer).count(), 1, "{layer}");
    }
    assert_eq!(home.store.fsck(&home.rootfs, &mut |_| {}).unwrap(), Default::default());
}

#[test]
fn a_hundred_rounds_of_ten_processes_with_one_killed_leave_a_sound_store() {
    let mut killed = 0;
    for round in 0..ROUNDS {
        let images = overlapping(round);
        let expected: HashSet<String> = images
            .iter()
            .flat_map(|image| {
                let manifest = Digest::of(image.manifest.as_bytes()).hex();
                let blobs = image.blobs.keys().map(|digest| digest.trim_start_matches("sha256:").to_owned());
                blobs.chain([manifest])
            })
            .collect();
        let peer = registry(images);
        let home = Home::new();
        let spawn =
            |i: usize| again::pull(&home, &format!("{}/app-{}", peer.host, i % 3), "").spawn().unwrap();
        let mut processes: Vec<Child> = (0..PROCESSES).map(spawn).collect();
        let dice = noise(round + 7, 8);
        // Somewhere in the life of a pull, which takes some tens of milliseconds: that it is at random is the point.
        thread::sleep(Duration::from_millis(u64::from(dice[0] % 100)));
        let mut victim = processes.swap_remove(usize::from(dice[1]) % PROCESSES);
        victim.kill().unwrap();
        killed += usize::from(!victim.wait().unwrap().success());
        for process in processes {
            let output = process.wait_with_output().unwrap();
            again::said(&output).unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        // Whoever comes next finds a store to work with.
        for i in 0..3 {
            let name = format!("{}/app-{i}", peer.host);
            again::said(&again::pull(&home, &name, "").output().unwrap()).unwrap();
        }
        let found: HashSet<String> = std::fs::read_dir(home.path("images/blobs/sha256"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(found, expected, "round {round}");
        assert_eq!(home.store.fsck(&home.rootfs, &mut |_| {}).unwrap(), Default::default(), "round {round}");
        assert_eq!(home.store.list().unwrap().len(), 3);
        let left: Vec<_> = home
            .leftovers()
            .into_iter()
            .filter(|name| name.contains("partial") || name.contains(".tmp"))
            .collect();
        assert_eq!(left, [] as [&str; 0], "round {round}");
    }
    assert!(killed > 30, "only {killed} were killed in time");
}
