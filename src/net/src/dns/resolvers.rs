//! The host's resolvers, as its `/etc/resolv.conf` names them, followed as it changes.

use a3s_box_core::NetResolver;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

const PORT: u16 = 53;
/// The C library takes no more either.
const MAX: usize = 3;
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Whom queries are forwarded to.
#[derive(Debug)]
pub(super) struct Resolvers {
    file: Option<PathBuf>,
    changed: Option<SystemTime>,
    looked: Option<Instant>,
    list: Vec<NetResolver>,
}

impl Resolvers {
    /// The `given` ones, or where there are none the host's in `file`.
    pub(super) fn new(given: &[NetResolver], file: &Path) -> Self {
        let file = given.is_empty().then(|| file.to_owned());
        Self { file, changed: None, looked: None, list: given.to_vec() }
    }

    /// The resolvers now, in order of preference.
    pub(super) fn list(&mut self, now: Instant) -> &[NetResolver] {
        if let Some(file) = &self.file
            && self.looked.is_none_or(|at| now.saturating_duration_since(at) >= LOOK_EVERY)
        {
            self.looked = Some(now);
            let changed = std::fs::metadata(file).and_then(|m| m.modified()).ok();
            if changed.is_none() || changed != self.changed {
                self.changed = changed;
                self.list = std::fs::read_to_string(file).map(|text| parse(&text)).unwrap_or_default();
                if self.list.is_empty() {
                    // As resolv.conf(5) has it.
                    self.list.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT).into());
                }
            }
        }
        &self.list
    }
}

fn parse(text: &str) -> Vec<NetResolver> {
    text.lines()
        .filter_map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().try_into().ok())
        .filter_map(|[word, address]: [&str; 2]| {
            // A link-local resolver (with `%eth0`) cannot be told apart by address alone.
            let address: IpAddr = address.parse().ok().filter(|_| word == "nameserver")?;
            Some(SocketAddr::new(address, PORT).into())
        })
        .take(MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resolv.conf");
        std::fs::write(
            &file,
            "# x\nsearch a b\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver ::2\n",
        )
        .unwrap();
        let mut resolvers = Resolvers::new(&[], &file);
        let now = Instant::now();
        let expected: [NetResolver; 2] = ["192.0.2.1:53".parse().unwrap(), "[::2]:53".parse().unwrap()];
        assert_eq!(resolvers.list(now), expected);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(resolvers.list(now + LOOK_EVERY), ["127.0.0.1:53".parse().unwrap()]);
        let given = ["192.0.2.9:5353".parse().unwrap()];
        assert_eq!(Resolvers::new(&given, &file).list(now), given);
    }
}
