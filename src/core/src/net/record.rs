//! What is written down of a box's use of the network: a JSON object a line in `net.jsonl`, and counters.

use super::Verdict;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetSubject {
    /// A TCP connection, at its end or when it was refused.
    Tcp,
    /// A UDP flow, likewise.
    Udp,
    /// Echo requests to one address.
    Icmp,
    /// A DNS query.
    Dns,
    /// Frames that were dropped.
    Frame,
}

/// Who began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetWay {
    /// The box.
    Out,
    /// Somebody outside, through a published port or a network of boxes.
    In,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetRecord {
    /// When it was written, in microseconds since the UNIX epoch.
    pub time: u64,
    /// The box.
    #[serde(rename = "box")]
    pub id: String,
    /// What it is about.
    pub subject: NetSubject,
    /// Who began.
    pub way: NetWay,
    /// The name asked for, or the one that the connection was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The other side's port, or the guest's for what came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether it was allowed.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: String,
    /// Why, in words; for a DNS query also what was answered.
    pub reason: String,
    /// Bytes that the box sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent: u64,
    /// Bytes that the box received.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub received: u64,
    /// How long it lasted, in microseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub duration: u64,
    /// The secrets that were put into what the box sent, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// How many like it are meant, or were left out before it to keep the log short.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a box's network has done since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetCounters {
    /// Bytes of frames that the guest sent.
    pub sent: u64,
    /// Bytes of frames that the guest received.
    pub received: u64,
    /// Frames that the guest sent.
    pub sent_frames: u64,
    /// Frames that were dropped for what they were.
    pub dropped_frames: u64,
    /// Connections and flows open now.
    pub open: u64,
    /// Connections and flows that were allowed.
    pub allowed: u64,
    /// Connections, flows and queries that were refused.
    pub refused: u64,
    /// DNS queries.
    pub queries: u64,
}
