//! How much of the host's network the box may use: token buckets for bytes, connections and queries, and caps.

use a3s_box_core::NetLimits;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses whose use is remembered; those beyond share one bucket.
const MAX_DESTINATIONS: usize = 4096;
/// How long to wait for tokens before asking again.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// The way that bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the box.
    Out,
    /// To the box.
    In,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u64,
    filled: Instant,
}

/// A rate and what may be saved of it. A rate of zero is none.
#[derive(Debug, Clone, Copy)]
struct Rate {
    each_second: u64,
    burst: u64,
}

impl Rate {
    fn new(each_second: u64, burst: u64) -> Option<Self> {
        // A tenth of a second at least, or the pauses between two looks would cost some of the rate.
        let burst = burst.max(each_second / 10).max(1);
        (each_second > 0).then_some(Self { each_second, burst })
    }

    fn full(self, now: Instant) -> Bucket {
        Bucket { tokens: self.burst, filled: now }
    }

    fn refill(self, bucket: &mut Bucket, now: Instant) {
        let nanos = now.saturating_duration_since(bucket.filled).as_nanos();
        let fresh = nanos.saturating_mul(u128::from(self.each_second)) / 1_000_000_000;
        if let Ok(fresh) = u64::try_from(fresh)
            && fresh > 0
        {
            bucket.tokens = bucket.tokens.saturating_add(fresh).min(self.burst);
            bucket.filled = now;
        }
    }
}

/// One box's use against its limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    whole: Option<Rate>,
    whole_buckets: [Bucket; 2],
    destination: Option<Rate>,
    destinations: HashMap<IpAddr, [Bucket; 2]>,
    connections: Option<(Rate, Bucket)>,
    queries: Option<(Rate, Bucket)>,
    cap: usize,
}

impl Limiter {
    pub(crate) fn new(limits: &NetLimits, now: Instant) -> Self {
        let whole = Rate::new(limits.rate, limits.burst);
        let counted =
            |each: u32| Rate::new(u64::from(each), u64::from(each)).map(|rate| (rate, rate.full(now)));
        let none = Bucket { tokens: 0, filled: now };
        Self {
            whole,
            whole_buckets: [whole.map_or(none, |rate| rate.full(now)); 2],
            destination: Rate::new(limits.destination_rate, limits.destination_burst),
            destinations: HashMap::new(),
            connections: counted(limits.connection_rate),
            queries: counted(limits.dns_rate),
            cap: usize::try_from(limits.connections).unwrap_or(usize::MAX),
        }
    }

    /// How many of `wanted` bytes may go to or from `address` now. [`Limiter::spend`] what has gone.
    pub(crate) fn grant(&mut self, address: IpAddr, way: Way, wanted: usize, now: Instant) -> usize {
        let mut granted = u64::try_from(wanted).unwrap_or(u64::MAX);
        if let Some(rate) = self.whole {
            let bucket = &mut self.whole_buckets[index(way)];
            rate.refill(bucket, now);
            granted = granted.min(bucket.tokens);
        }
        if let Some(rate) = self.destination {
            let bucket = &mut self.buckets(address, rate, now)[index(way)];
            rate.refill(bucket, now);
            granted = granted.min(bucket.tokens);
        }
        usize::try_from(granted).unwrap_or(usize::MAX)
    }

    /// Counts bytes that have gone.
    pub(crate) fn spend(&mut self, address: IpAddr, way: Way, bytes: usize, now: Instant) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.whole.is_some() {
            let tokens = &mut self.whole_buckets[index(way)].tokens;
            *tokens = tokens.saturating_sub(bytes);
        }
        if let Some(rate) = self.destination {
            let tokens = &mut self.buckets(address, rate, now)[index(way)].tokens;
            *tokens = tokens.saturating_sub(bytes);
        }
    }

    /// Whether one more connection may be, beside the `open` ones.
    pub(crate) fn connection(&mut self, open: usize, now: Instant) -> Result<(), &'static str> {
        if open >= self.cap {
            return Err("limit: connections");
        }
        one(&mut self.connections, now).ok_or("limit: connection rate")
    }

    /// Whether one more DNS query may be.
    pub(crate) fn query(&mut self, now: Instant) -> Result<(), &'static str> {
        one(&mut self.queries, now).ok_or("limit: DNS rate")
    }

    fn buckets(&mut self, address: IpAddr, rate: Rate, now: Instant) -> &mut [Bucket; 2] {
        let full = self.destinations.len() >= MAX_DESTINATIONS && !self.destinations.contains_key(&address);
        let key = if full { IpAddr::from([0, 0, 0, 0]) } else { address };
        self.destinations.entry(key).or_insert_with(|| [rate.full(now); 2])
    }
}

fn index(way: Way) -> usize {
    usize::from(way == Way::In)
}

fn one(counted: &mut Option<(Rate, Bucket)>, now: Instant) -> Option<()> {
    let Some((rate, bucket)) = counted else { return Some(()) };
    rate.refill(bucket, now);
    bucket.tokens = bucket.tokens.checked_sub(1)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_at_the_rate_after_the_burst() {
        let start = Instant::now();
        let limits = NetLimits { rate: 1_000_000, burst: 500_000, ..NetLimits::default() };
        let mut limiter = Limiter::new(&limits, start);
        let address = IpAddr::from([192, 0, 2, 1]);
        let mut sent = 0;
        for millisecond in 0..2000 {
            let now = start + Duration::from_millis(millisecond);
            let granted = limiter.grant(address, Way::Out, 65_536, now);
            limiter.spend(address, Way::Out, granted, now);
            sent += granted;
        }
        assert!((2_400_000..=2_500_000).contains(&sent), "{sent}");
        assert_eq!(limiter.grant(address, Way::In, 1 << 20, start), 500_000);
    }

    #[test]
    fn each_destination_has_its_own_share() {
        let now = Instant::now();
        let limits = NetLimits { destination_rate: 1000, destination_burst: 1000, ..NetLimits::default() };
        let mut limiter = Limiter::new(&limits, now);
        for n in 0..10_000u32 {
            let address = IpAddr::from(n.to_be_bytes());
            limiter.spend(address, Way::Out, 1000, now);
        }
        assert_eq!(limiter.grant(IpAddr::from([0, 0, 0, 9]), Way::Out, 10, now), 0);
        assert!(limiter.destinations.len() <= MAX_DESTINATIONS + 1);
    }

    #[test]
    fn connections_are_capped_and_counted() {
        let now = Instant::now();
        let limits = NetLimits { connections: 3, connection_rate: 2, ..NetLimits::default() };
        let mut limiter = Limiter::new(&limits, now);
        assert_eq!(limiter.connection(3, now), Err("limit: connections"));
        assert_eq!(limiter.connection(0, now), Ok(()));
        assert_eq!(limiter.connection(0, now), Ok(()));
        assert_eq!(limiter.connection(0, now), Err("limit: connection rate"));
        assert_eq!(limiter.connection(0, now + Duration::from_secs(1)), Ok(()));
    }
}
