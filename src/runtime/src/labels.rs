//! What an image asks of its boxes, in labels that begin with `a3s.box.`: defaults that the user's own words go over.
//!
//! An image is not trusted with the host: it may ask for no more than the host has, and for less than all of its
//! memory. What a user asks for is the user's business.

use crate::sys;
use a3s_box_core::{BoxConfig, BoxError, ErrorKind, NetworkMode, PortMapping, Result};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

const PREFIX: &str = "a3s.box.";
/// The share of the host's memory that an image may ask for.
const SHARE: u64 = 2;
/// The ports that an image may ask for.
const MAX_PORTS: usize = 64;

/// The configuration of a box of `image` before the user says anything, where the image has these labels.
pub(crate) fn defaults(image: &str, labels: &BTreeMap<String, String>) -> Result<BoxConfig> {
    let mut config = BoxConfig::new(image);
    for (label, value) in labels {
        let Some(key) = label.strip_prefix(PREFIX) else { continue };
        match key {
            "cpus" => config.cpus = parse(image, label, value)?,
            "memory" => config.memory = parse(image, label, value)?,
            "disk" => config.disk = parse(image, label, value)?,
            "network" => match value.as_str() {
                "none" => config.network.mode = NetworkMode::None,
                "default" => config.network.mode = NetworkMode::Default,
                _ => return Err(nonsense(image, label, value, "write none or default".to_owned())),
            },
            "healthcheck" => config.health.command = Some(value.clone()),
            "ports" => config.network.publish = ports(image, label, value)?,
            "workdir" => config.workdir = Some(value.clone()),
            _ => match key.strip_prefix("env.") {
                Some(name) => config.env.push(format!("{name}={value}")),
                // Of a later version, or of a tool of somebody's.
                None => tracing::debug!(image, label, "label without effect"),
            },
        }
    }
    let host = std::thread::available_parallelism()
        .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
    if config.cpus > host {
        return Err(too_much(image, "cpus", &config.cpus.to_string(), &format!("{host} CPUs")));
    }
    if let Some(memory) = sys::memory()
        && config.memory.0 > memory.0 / SHARE
    {
        let has = format!("{memory}, of which an image may ask for half");
        return Err(too_much(image, "memory", &config.memory.to_string(), &has));
    }
    config.validate().map_err(|error| {
        BoxError::new(ErrorKind::InvalidInput, format!("the labels of image {image} make no sense"))
            .caused_by(error.to_string())
            .with_hint("use another image: its labels begin with a3s.box.")
    })?;
    Ok(config)
}

fn parse<T: FromStr<Err: std::fmt::Display>>(image: &str, label: &str, value: &str) -> Result<T> {
    value.parse().map_err(|error: T::Err| nonsense(image, label, value, error.to_string()))
}

fn nonsense(image: &str, label: &str, value: &str, why: String) -> BoxError {
    let text = format!("label {label}={value:?} of image {image} makes no sense");
    BoxError::new(ErrorKind::InvalidInput, text)
        .caused_by(why)
        .with_hint("use an image that is labelled properly")
}

/// `[HOST:]GUEST[/udp]` each, with spaces or commas between. An image's ports are on the loopback address; where it
/// names no port of the host, one is picked.
fn ports(image: &str, label: &str, value: &str) -> Result<Vec<PortMapping>> {
    let words = value.split([' ', ',']).filter(|word| !word.is_empty());
    let ports: Vec<PortMapping> = words
        .map(|word| {
            let whole = if word.contains(':') { word.to_owned() } else { format!("0:{word}") };
            whole.parse().map_err(|error: BoxError| nonsense(image, label, value, error.to_string()))
        })
        .collect::<Result<_>>()?;
    if ports.len() > MAX_PORTS || ports.iter().any(|port| port.host.ip() != Ipv4Addr::LOCALHOST) {
        let why = format!("an image publishes at most {MAX_PORTS} ports, on the loopback address");
        return Err(nonsense(image, label, value, why));
    }
    Ok(ports)
}

fn too_much(image: &str, what: &str, asked: &str, has: &str) -> BoxError {
    BoxError::new(
        ErrorKind::OutOfSpace,
        format!("image {image} asks for {what} {asked}, and this host has {has}"),
    )
    .with_hint(format!("the image's label a3s.box.{what} says so; use an image that asks for less"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use a3s_box_core::Bytes;

    fn of(labels: &[(&str, &str)]) -> Result<BoxConfig> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        defaults("app", &labels)
    }

    #[test]
    fn an_image_may_ask_for_what_it_needs() {
        let config = of(&[
            ("a3s.box.cpus", "1"),
            ("a3s.box.memory", "256m"),
            ("a3s.box.disk", "1g"),
            ("a3s.box.workdir", "/work"),
            ("a3s.box.env.A", "1=2"),
            ("a3s.box.ports", "80 8053:53/udp, 8443:443"),
            ("a3s.box.network", "default"),
            ("a3s.box.healthcheck", "test -e /ready"),
            ("a3s.box.new", "x"),
            ("maintainer", "somebody"),
        ])
        .unwrap();
        assert_eq!((config.memory, config.disk), (Bytes::mib(256), Bytes::gib(1)));
        assert_eq!((config.workdir.as_deref(), &config.env[..]), (Some("/work"), &["A=1=2".to_owned()][..]));
        assert_eq!(config.health.command.as_deref(), Some("test -e /ready"));
        let ports: Vec<String> = config.network.publish.iter().map(ToString::to_string).collect();
        assert_eq!(ports, ["127.0.0.1:0:80/tcp", "127.0.0.1:8053:53/udp", "127.0.0.1:8443:443/tcp"]);
        assert_eq!(of(&[("a3s.box.network", "none")]).unwrap().network.mode, NetworkMode::None);
        assert_eq!(of(&[]).unwrap(), BoxConfig::new("app"));
    }

    #[test]
    fn an_image_may_not_ask_for_the_host_or_for_nonsense() {
        for (label, value, said) in [
            ("a3s.box.cpus", "64", "cpus 64"),
            ("a3s.box.memory", "1000g", "memory 1000GiB"),
            ("a3s.box.memory", "much", "a3s.box.memory=\"much\""),
            ("a3s.box.cpus", "0", "labels of image app"),
            ("a3s.box.network", "host", "a3s.box.network=\"host\""),
            ("a3s.box.ports", "0.0.0.0:80:80", "a3s.box.ports=\"0.0.0.0:80:80\""),
            ("a3s.box.ports", "80:80 80:81", "labels of image app"),
            ("a3s.box.ports", "http", "a3s.box.ports=\"http\""),
            ("a3s.box.workdir", "here", "labels of image app"),
            ("a3s.box.env.", "x", "labels of image app"),
        ] {
            let error = of(&[(label, value)]).unwrap_err().to_string();
            assert!(error.contains(said), "{label}: {error}");
        }
    }
}
