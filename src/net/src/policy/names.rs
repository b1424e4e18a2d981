//! Which name each address was answered for: what the box's DNS said, and for how long it holds.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// An answer holds at least this long, since programs keep addresses for longer than a short TTL says.
const LEAST: Duration = Duration::from_secs(120);
const MOST: Duration = Duration::from_secs(24 * 3600);
const MAX_ADDRESSES: usize = 8192;
const MAX_NAMES: usize = 64;

/// The answers that this box has had.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<IpAddr, HashMap<String, Instant>>);

impl Names {
    /// Notes that the box was told that `name` is at `address`.
    pub(crate) fn learn(&mut self, address: IpAddr, name: &str, ttl: Duration, now: Instant) {
        if self.0.len() >= MAX_ADDRESSES && !self.0.contains_key(&address) {
            self.forget(now);
        }
        let names = self.0.entry(address).or_default();
        let until = now + ttl.clamp(LEAST, MOST);
        if names.len() >= MAX_NAMES
            && !names.contains_key(name)
            && let Some(oldest) = names.iter().min_by_key(|(_, until)| **until).map(|(n, _)| n.clone())
        {
            names.remove(&oldest);
        }
        let entry = names.entry(name.to_owned()).or_insert(until);
        *entry = (*entry).max(until);
    }

    /// The names that `address` was answered for.
    pub(crate) fn of(&self, address: IpAddr, now: Instant) -> BTreeSet<&str> {
        let names = self.0.get(&address).into_iter().flatten();
        names.filter(|(_, until)| **until >= now).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether `name` was answered with `address`.
    pub(crate) fn holds(&self, address: IpAddr, name: &str, now: Instant) -> bool {
        self.0.get(&address).and_then(|names| names.get(name)).is_some_and(|until| *until >= now)
    }

    /// Drops what has run out, and where that is not enough whatever runs out first.
    fn forget(&mut self, now: Instant) {
        self.0.retain(|_, names| {
            names.retain(|_, until| *until >= now);
            !names.is_empty()
        });
        if self.0.len() >= MAX_ADDRESSES {
            let mut ends: Vec<Instant> =
                self.0.values().filter_map(|names| names.values().max().copied()).collect();
            let middle = ends.len() / 2;
            let (_, cut, _) = ends.select_nth_unstable(middle);
            let cut = *cut;
            self.0.retain(|_, names| names.values().max().is_some_and(|until| *until > cut));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_its_time_and_the_table_is_bounded() {
        let (mut names, now) = (Names::default(), Instant::now());
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        names.learn(address, "a.example", Duration::from_secs(1), now);
        names.learn(address, "b.example", Duration::from_secs(600), now);
        assert_eq!(names.of(address, now).into_iter().collect::<Vec<_>>(), ["a.example", "b.example"]);
        let later = now + Duration::from_secs(300);
        assert!(!names.holds(address, "a.example", later) && names.holds(address, "b.example", later));
        for n in 0..20_000u32 {
            names.learn(IpAddr::from(n.to_be_bytes()), "c.example", Duration::from_secs(u64::from(n)), now);
        }
        assert!(names.0.len() <= MAX_ADDRESSES);
        for n in 0..200 {
            names.learn(address, &format!("{n}.example"), LEAST, now);
        }
        assert!(names.of(address, now).len() <= MAX_NAMES);
    }
}
