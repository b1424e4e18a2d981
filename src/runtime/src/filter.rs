//! What `--filter` means for boxes and for what happened to them, in Docker's words.

use crate::BoxView;
use a3s_box_core::{
    BoxError, BoxEvent, BoxState, ErrorKind, EventKind, HealthState, NetworkMode, Result, parse_moment,
};
use a3s_box_image::ImageRef;
use std::collections::BTreeMap;
use std::str::FromStr;

/// One `KEY=VALUE`. Several of one key mean any of them, but for labels, of which all must be there; different keys
/// must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxFilter {
    key: &'static str,
    value: String,
    negated: bool,
}

const KEYS: [&str; 14] = [
    "id", "name", "label", "status", "exited", "ancestor", "before", "since", "health", "network", "publish",
    "expose", "restart", "until",
];
const STATES: [(&str, BoxState); 8] = [
    ("created", BoxState::Created),
    ("starting", BoxState::Starting),
    ("running", BoxState::Running),
    ("paused", BoxState::Paused),
    ("restarting", BoxState::Restarting),
    ("stopped", BoxState::Stopped),
    ("exited", BoxState::Stopped),
    ("failed", BoxState::Failed),
];

impl FromStr for BoxFilter {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = |hint: String| {
            BoxError::new(ErrorKind::InvalidInput, format!("invalid filter {text:?}")).with_hint(hint)
        };
        let (key, value) =
            text.split_once('=').ok_or_else(|| invalid("write KEY=VALUE, such as status=running".into()))?;
        let (key, negated) = key.strip_suffix('!').map_or((key, false), |key| (key, true));
        let known = KEYS.iter().find(|known| **known == key && (!negated || key == "label"));
        let key = known.ok_or_else(|| invalid(format!("what there is: {}", KEYS.join(" "))))?;
        let sound = match *key {
            "status" => STATES.iter().any(|(name, _)| *name == value),
            "exited" => value.parse::<i32>().is_ok(),
            "health" => ["starting", "healthy", "unhealthy", "none"].contains(&value),
            "publish" | "expose" => ports(value).is_some(),
            "until" => parse_moment(value, 0).is_ok(),
            _ => !value.is_empty(),
        };
        if !sound {
            return Err(invalid(format!("{value:?} is no {key}")));
        }
        Ok(Self { key, value: value.to_owned(), negated })
    }
}

impl BoxFilter {
    /// What it is about.
    pub fn key(&self) -> &'static str {
        self.key
    }
}

/// The boxes of `views`, which are all there are, that `filters` let through.
///
/// # Errors
/// `NotFound` where a box that a filter names is not there.
pub(crate) fn apply(filters: &[BoxFilter], views: &mut Vec<BoxView>, now: u64) -> Result<()> {
    let mut moments = BTreeMap::new();
    for filter in filters.iter().filter(|filter| ["before", "since"].contains(&filter.key)) {
        let found = views.iter().find(|view| is_called(view, &filter.value)).ok_or_else(|| {
            BoxError::new(ErrorKind::NotFound, format!("no such box: {}", filter.value))
                .with_hint("see `a3s-box ps -a`")
        })?;
        moments.insert(filter.value.clone(), found.record.created_at);
    }
    views.retain(|view| {
        KEYS.iter().all(|key| {
            let mut same = filters.iter().filter(|filter| filter.key == *key).peekable();
            let holds = |filter: &BoxFilter| holds(filter, view, &moments, now);
            match *key {
                "label" => same.all(holds),
                _ => same.peek().is_none() || same.any(holds),
            }
        })
    });
    Ok(())
}

fn is_called(view: &BoxView, text: &str) -> bool {
    view.record.name.as_str() == text || view.record.id.as_str().starts_with(text)
}

fn holds(filter: &BoxFilter, view: &BoxView, moments: &BTreeMap<String, u64>, now: u64) -> bool {
    let (record, value) = (&view.record, filter.value.as_str());
    let run = view.run.as_ref();
    let network = &record.config.network;
    match filter.key {
        "id" => record.id.as_str().starts_with(value),
        "name" => resembles(record.name.as_str(), value),
        "label" => is_labelled(&record.labels, value) != filter.negated,
        "status" => STATES.iter().any(|(name, state)| *name == value && *state == view.state),
        "exited" => {
            let exit = run.and_then(|run| run.exit.as_ref()).filter(|_| !view.state.is_live());
            exit.is_some_and(|exit| Ok(exit.code) == value.parse())
        }
        "ancestor" => is_image(value, &record.config.image, &record.image.digest),
        "before" => moments.get(value).is_some_and(|at| record.created_at < *at),
        "since" => moments.get(value).is_some_and(|at| record.created_at > *at),
        "health" => {
            let health = run.and_then(|run| run.health.as_ref()).map(|health| health.state);
            value
                == match health {
                    None => "none",
                    Some(HealthState::Starting) => "starting",
                    Some(HealthState::Healthy) => "healthy",
                    Some(HealthState::Unhealthy) => "unhealthy",
                }
        }
        "network" => match value {
            "none" => network.mode == NetworkMode::None,
            "default" | "bridge" => network.mode != NetworkMode::None && network.networks.is_empty(),
            _ => network.networks.iter().any(|name| name.as_str() == value),
        },
        "publish" | "expose" => ports(value).is_some_and(|(first, last, transport)| {
            network.publish.iter().any(|port| {
                let number = if filter.key == "publish" { port.host.port() } else { port.guest };
                (first..=last).contains(&number) && transport == port.transport.to_string()
            })
        }),
        "restart" => record.config.policy.restart.name() == value,
        "until" => parse_moment(value, now).is_ok_and(|at| record.created_at < at),
        _ => false,
    }
}

/// Docker takes a pattern here; of patterns what is used is the anchors.
fn resembles(name: &str, pattern: &str) -> bool {
    let (begin, rest) = pattern.strip_prefix('^').map_or((false, pattern), |rest| (true, rest));
    let rest = rest.strip_prefix("/?").or_else(|| rest.strip_prefix('/')).unwrap_or(rest);
    let (end, rest) = rest.strip_suffix('$').map_or((false, rest), |rest| (true, rest));
    match (begin, end) {
        (true, true) => name == rest,
        (true, false) => name.starts_with(rest),
        (false, true) => name.ends_with(rest),
        (false, false) => name.contains(rest),
    }
}

/// `KEY`, or `KEY=VALUE`.
fn is_labelled(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        None => labels.contains_key(wanted),
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
    }
}

fn is_image(wanted: &str, typed: &str, digest: &str) -> bool {
    let by_digest = digest.strip_prefix("sha256:").is_some_and(|hex| {
        let wanted = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        wanted.len() >= 6 && hex.starts_with(wanted)
    });
    let same =
        |a: &str, b: &str| matches!((a.parse::<ImageRef>(), b.parse::<ImageRef>()), (Ok(a), Ok(b)) if a == b);
    by_digest || typed == wanted || same(typed, wanted)
}

/// `80`, `80/udp` or `8000-8010/tcp`.
fn ports(text: &str) -> Option<(u16, u16, &str)> {
    let (numbers, transport) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && ["tcp", "udp"].contains(&transport)).then_some((first, last, transport))
}

/// One `KEY=VALUE` about events, combined as those about boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventFilter {
    /// What happened.
    Event(EventKind),
    /// To which box, by name or id.
    Box(String),
    /// To boxes of which image.
    Image(String),
    /// To boxes with which label.
    Label(String),
    /// Docker's kinds of things: ours are all boxes, which it calls containers.
    Type(String),
}

impl FromStr for EventFilter {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self> {
        let owned = str::to_owned;
        match text.split_once('=') {
            Some(("event", kind)) => {
                // Docker says `health_status: healthy`.
                Ok(Self::Event(kind.split(':').next().unwrap_or(kind).parse()?))
            }
            Some(("box" | "container", name)) => Ok(Self::Box(owned(name))),
            Some(("image", image)) => Ok(Self::Image(owned(image))),
            Some(("label", label)) => Ok(Self::Label(owned(label))),
            Some(("type", kind)) => Ok(Self::Type(owned(kind))),
            _ => Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid filter {text:?}"))
                .with_hint("what there is: event box image label type, such as event=died")),
        }
    }
}

/// Whether `filters` let `event` through.
pub(crate) fn admits(filters: &[EventFilter], event: &BoxEvent) -> bool {
    let holds = |filter: &EventFilter| match filter {
        EventFilter::Event(kind) => event.event == *kind,
        EventFilter::Box(text) => event.name.as_str() == text || event.id.as_str().starts_with(text.as_str()),
        EventFilter::Image(image) => is_image(image, &event.image, ""),
        EventFilter::Label(label) => is_labelled(&event.labels, label),
        EventFilter::Type(kind) => ["box", "container"].contains(&kind.as_str()),
    };
    let kind = |filter: &EventFilter| std::mem::discriminant(filter);
    filters.iter().all(|one| {
        let mut same = filters.iter().filter(|other| kind(other) == kind(one));
        if matches!(one, EventFilter::Label(_)) { same.all(holds) } else { same.any(holds) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        for good in
            ["status=exited", "label=a", "label=a=b", "label!=a", "exited=137", "publish=80-90/udp", "name=x"]
        {
            good.parse::<BoxFilter>().unwrap();
        }
        for bad in [
            "status",
            "status=lost",
            "colour=red",
            "exited=x",
            "name!=x",
            "publish=0-x",
            "publish=9-8",
            "id=",
            "until=x",
        ] {
            assert!(bad.parse::<BoxFilter>().is_err(), "{bad}");
        }
        for bad in ["event=explode", "colour=red", "event"] {
            assert!(bad.parse::<EventFilter>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_images_resemble_as_dockers_do() {
        for (name, pattern, is) in [
            ("web-1", "web", true),
            ("web-1", "^web$", false),
            ("web-1", "^/?web-1$", true),
            ("web-1", "-1$", true),
            ("web-1", "^-1", false),
        ] {
            assert_eq!(resembles(name, pattern), is, "{name} {pattern}");
        }
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert!(is_image("busybox", "docker.io/library/busybox:latest", &digest));
        assert!(is_image("abababab", "x", &digest) && is_image(&digest, "x", &digest));
        assert!(!is_image("busybox:1", "busybox", &digest) && !is_image("ab", "x", &digest));
    }

    #[test]
    fn filters_of_one_key_are_alternatives_and_labels_are_not() {
        let labels = [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let event = BoxEvent {
            time: 1,
            event: EventKind::Died,
            id: a3s_box_core::BoxId::from_bytes([0xab; 16]),
            name: "it".parse().unwrap(),
            image: "busybox".into(),
            labels,
            attributes: BTreeMap::new(),
        };
        let admitted = |filters: &[&str]| {
            let filters: Vec<EventFilter> = filters.iter().map(|text| text.parse().unwrap()).collect();
            admits(&filters, &event)
        };
        assert!(admitted(&[]));
        assert!(admitted(&["event=start", "event=die", "container=it", "image=busybox:latest"]));
        assert!(admitted(&["box=abab", "type=container", "label=a=1", "label=b"]));
        assert!(!admitted(&["label=a=1", "label=c"]));
        assert!(!admitted(&["event=died", "box=other"]));
    }
}
