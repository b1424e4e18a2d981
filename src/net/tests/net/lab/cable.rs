//! A rough cable between the host and a server: it loses, delays and reorders packets, as `tc netem` does
//! where the kernel has it.

use super::{sh, sys};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How rough.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Roughness {
    /// Of a thousand packets, so many are lost.
    pub(crate) lost: u32,
    /// Of a thousand packets, so many are held back behind later ones.
    pub(crate) late: u32,
    /// All of them take so long.
    pub(crate) delay: Duration,
}

/// The cable, with a namespace at its far end that has the address 192.0.2.2; the near end is 192.0.2.1.
pub(crate) struct Cable {
    far: Child,
}

impl Cable {
    /// Where servers at the far end are.
    pub(crate) const FAR: &str = "192.0.2.2";

    pub(crate) fn new(roughness: Roughness) -> Self {
        let far = Command::new("unshare").args(["--net", "sleep", "infinity"]).spawn().unwrap();
        let pid = far.id();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|ns| ns == own) {
            std::thread::yield_now();
        }
        let near_tap = sys::tap("cable0");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            sys::enter_network(pid);
            sender.send(sys::tap("cable1")).unwrap();
        });
        let far_tap = receiver.recv().unwrap();
        sh(&format!(
            "ip link set cable0 up; ip addr add 192.0.2.1/24 dev cable0
             nsenter --target {pid} --net sh -ec 'ip link set lo up; ip link set cable1 up; ip addr add 192.0.2.2/24 dev cable1'"
        ));
        for (from, to, seed) in [(&near_tap, &far_tap, 1), (&far_tap, &near_tap, 2)] {
            let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            carry(from, to, roughness, seed);
        }
        Self { far }
    }

    /// Runs `body` on a thread at the far end.
    pub(crate) fn far<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let pid = self.far.id();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                sys::enter_network(pid);
                body()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.far.kill();
        let _ = self.far.wait();
    }
}

fn carry(mut from: File, mut to: File, roughness: Roughness, seed: u64) {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 70_000];
        while let Ok(length) = from.read(&mut buffer) {
            if sender.send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    std::thread::spawn(move || {
        let mut dice = Dice(seed);
        let mut underway: BTreeMap<(Instant, u64), Vec<u8>> = BTreeMap::new();
        let mut count = 0;
        loop {
            let now = Instant::now();
            while let Some(entry) = underway.first_entry()
                && entry.key().0 <= now
            {
                let _ = to.write(&entry.remove());
            }
            let next = underway.keys().next().map_or(Duration::from_secs(1), |(at, _)| *at - now);
            match receiver.recv_timeout(next) {
                Ok(packet) if dice.thousandth() >= roughness.lost => {
                    let late = dice.thousandth() < roughness.late;
                    let extra =
                        if late { roughness.delay / 2 + Duration::from_millis(3) } else { Duration::ZERO };
                    count += 1;
                    underway.insert((Instant::now() + roughness.delay + extra, count), packet);
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
}

/// The same throws in every run.
struct Dice(u64);

impl Dice {
    fn thousandth(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % 1000).unwrap()
    }
}
