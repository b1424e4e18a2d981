//! `events`: what happens to boxes.

use crate::stream::{self, Target};
use crate::template::Template;
use crate::time;
use a3s_box_core::{BoxEvent, Result, parse_moment};
use a3s_box_runtime::{Engine, EventFilter};
use clap::Args;
use serde_json::{Value, json};
use std::io;

#[derive(Args)]
pub(crate) struct Events {
    /// Show only some: event=KIND, box=BOX, image=IMAGE or label=KEY[=VALUE]
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<EventFilter>,
    /// Begin with what happened then: a date, seconds since 1970, or how long ago, such as 10m
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<u64>,
    /// End then; without it, events are shown as they happen
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<u64>,
    /// `json` for a JSON object each, or a template such as '{{.event}} {{.name}}'
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// A number alone is a moment, and so is what `now` would have been: options are read when the command begins.
fn moment(text: &str) -> Result<u64> {
    parse_moment(text, time::now())
}

impl Events {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let template: Option<Template> = match self.format.as_deref() {
            None | Some("json") => None,
            Some(text) => Some(text.parse()?),
        };
        let as_json = self.format.is_some();
        let mut reading = true;
        let shown = engine.events(&self.filter, self.since, self.until, &mut |event| {
            let line = match &template {
                Some(template) => template.render(&fields(event)).map_err(io::Error::other)?,
                None if as_json => serde_json::to_string(event)?,
                None => plain(event),
            };
            reading =
                stream::write(Target::Stdout, format!("{line}\n").as_bytes()).map_err(io::Error::other)?;
            if reading { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
        match shown {
            Err(_) if !reading => Ok(stream::BROKEN_PIPE),
            other => other.map(|()| 0),
        }
    }
}

/// As Docker prints one.
fn plain(event: &BoxEvent) -> String {
    let pairs = event.attributes.iter().chain(&event.labels).map(|(key, value)| format!("{key}={value}"));
    let pairs: Vec<String> =
        pairs.chain([format!("image={}", event.image), format!("name={}", event.name)]).collect();
    let clean = pairs.join(", ").replace(char::is_control, " ");
    format!("{} box {} {} ({clean})", time::rfc3339_micros(event.time), event.event, event.id)
}

/// What a template sees: the event, and its fields as Docker calls them.
fn fields(event: &BoxEvent) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_else(|_| json!({}));
    if let Value::Object(map) = &mut value {
        let mut attributes = event.attributes.clone();
        attributes.extend(event.labels.clone());
        attributes.insert("image".into(), event.image.clone());
        attributes.insert("name".into(), event.name.to_string());
        map.insert("attributes".into(), json!(event.attributes));
        map.insert("Type".into(), "box".into());
        map.insert("Action".into(), event.event.to_string().into());
        map.insert("Status".into(), event.event.to_string().into());
        map.insert("ID".into(), event.id.as_str().into());
        map.insert("From".into(), event.image.clone().into());
        map.insert("Time".into(), (event.time / 1_000_000).into());
        map.insert("TimeNano".into(), event.time.saturating_mul(1000).into());
        map.insert("Actor".into(), json!({"ID": event.id, "Attributes": attributes}));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use a3s_box_core::{BoxId, EventKind};

    #[test]
    fn an_event_is_printed_as_dockers_are() {
        let event = BoxEvent {
            time: 1_732_500_000_000_001,
            event: EventKind::Died,
            id: BoxId::from_bytes([0xab; 16]),
            name: "it".parse().unwrap(),
            image: "busybox".into(),
            labels: [("a".to_owned(), "b\nc".to_owned())].into(),
            attributes: [("exit_code".to_owned(), "3".to_owned())].into(),
        };
        let id = "ab".repeat(16);
        let line =
            format!("2024-11-25T02:00:00.000001Z box died {id} (exit_code=3, a=b c, image=busybox, name=it)");
        assert_eq!(plain(&event), line);
        let template: Template = "{{.Action}} {{.Actor.Attributes.exit_code}} {{.name}}".parse().unwrap();
        assert_eq!(template.render(&fields(&event)).unwrap(), "died 3 it");
    }
}
