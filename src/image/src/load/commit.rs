//! `commit`: a further layer on an image makes another, whose configuration is changed by Dockerfile instructions.

use super::Loaded;
use crate::manifest::{Manifest, OCI_CONFIG, OCI_MANIFEST};
use crate::{Digest, Image, ImageError, ImageRef, ImageStore, Result};
use serde_json::{Map, Value, json};
use std::io::Read;

/// What is noted of a commit, and how its image differs from the one below.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Who made it; may be empty.
    pub author: String,
    /// A remark; may be empty.
    pub message: String,
    /// When, in RFC 3339.
    pub created: String,
    /// The command whose work the layer is.
    pub created_by: String,
    /// Changes of the configuration, as a Dockerfile has them: `CMD ["sh"]`, `ENV A=b`.
    pub changes: Vec<String>,
}

impl ImageStore {
    /// Makes an image of `base` and the layer whose tar `input` delivers; errors call that `thing`.
    ///
    /// # Errors
    /// `Settings` for a change that is none, and those of reading the layer. Nothing stays then.
    pub fn commit(
        &self,
        base: &Image,
        thing: &str,
        input: impl Read,
        name: Option<&ImageRef>,
        commit: &Commit,
    ) -> Result<Loaded> {
        self.load_with(|| {
            let json = self.read_blob(&base.manifest.config)?;
            let mut config: Value =
                serde_json::from_slice(&json).map_err(|e| ImageError::corrupt(base.digest, e))?;
            // What is wrong with the changes is said before anything is read.
            change(&mut config, commit).map_err(|what| ImageError::Settings { what })?;
            let (layer, diff_id) = self.add_layer(thing, input)?;
            note(&mut config, commit, diff_id)
                .ok_or_else(|| ImageError::corrupt(base.digest, "its configuration has no layers"))?;
            let config = self.add_json(OCI_CONFIG, &config)?;
            let layers = base.manifest.layers.iter().cloned().chain([layer]).collect();
            let top = self.add_json(OCI_MANIFEST, &Manifest::new(config, layers))?;
            self.import(top.clone(), name, &mut |blob| {
                Err(ImageError::corrupt(thing, format!("blob {} is missing", blob.digest)))
            })?;
            Ok(Loaded { reference: name.cloned(), digest: top.digest })
        })
    }
}

/// Notes the layer and who made it.
fn note(config: &mut Value, commit: &Commit, diff_id: Digest) -> Option<()> {
    config.pointer_mut("/rootfs/diff_ids")?.as_array_mut()?.push(json!(diff_id.to_string()));
    let config = config.as_object_mut()?;
    config.insert("created".into(), json!(commit.created));
    let mut step = json!({ "created": commit.created, "created_by": commit.created_by });
    for (key, text) in [("author", &commit.author), ("comment", &commit.message)] {
        if !text.is_empty() {
            step[key] = json!(text);
        }
    }
    if !commit.author.is_empty() {
        config.insert("author".into(), json!(commit.author));
    }
    match config.entry("history").or_insert(Value::Null) {
        Value::Array(steps) => steps.push(step),
        none => *none = json!([step]),
    }
    Some(())
}

fn change(config: &mut Value, commit: &Commit) -> Result<(), String> {
    let config = config.as_object_mut().ok_or("the image's configuration is no object")?;
    let process = config.entry("config").or_insert(Value::Null);
    if process.is_null() {
        *process = json!({});
    }
    let process = process.as_object_mut().ok_or("the image's configuration is no object")?;
    for line in &commit.changes {
        instruction(process, line.trim()).map_err(|why| format!("cannot apply {line:?}: {why}"))?;
    }
    Ok(())
}

/// Refuses an instruction that changes no image.
pub fn check_instruction(line: &str) -> Result<(), ImageError> {
    instruction(&mut Map::new(), line.trim())
        .map_err(|why| ImageError::Settings { what: format!("cannot apply {line:?}: {why}") })
}

/// Applies one instruction.
fn instruction(process: &mut Map<String, Value>, line: &str) -> Result<(), &'static str> {
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    if rest.is_empty() {
        return Err("it says nothing");
    }
    match word.to_ascii_uppercase().as_str() {
        "CMD" => drop(process.insert("Cmd".into(), json!(command(rest)))),
        "ENTRYPOINT" => {
            process.insert("Entrypoint".into(), json!(command(rest)));
        }
        "ENV" => {
            for (name, value) in pairs(rest)? {
                let list = list(process, "Env");
                let pair = json!(format!("{name}={value}"));
                let same = |old: &Value| {
                    old.as_str().is_some_and(|old| old.split('=').next() == Some(name.as_str()))
                };
                match list.iter().position(same) {
                    Some(at) => list[at] = pair,
                    None => list.push(pair),
                }
            }
        }
        "LABEL" => {
            for (name, value) in pairs(rest)? {
                set(process, "Labels").insert(name, json!(value));
            }
        }
        "EXPOSE" => {
            for port in rest.split_ascii_whitespace() {
                let port = if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") };
                set(process, "ExposedPorts").insert(port, json!({}));
            }
        }
        "VOLUME" => {
            let paths = words_of(rest).map_or_else(|| words(rest), Ok)?;
            for path in paths {
                set(process, "Volumes").insert(path, json!({}));
            }
        }
        "USER" => drop(process.insert("User".into(), json!(rest))),
        "STOPSIGNAL" => drop(process.insert("StopSignal".into(), json!(rest))),
        "WORKDIR" => {
            let old = process.get("WorkingDir").and_then(Value::as_str).unwrap_or("/").trim_end_matches('/');
            let path = if rest.starts_with('/') { rest.to_owned() } else { format!("{old}/{rest}") };
            process.insert("WorkingDir".into(), json!(path));
        }
        "ONBUILD" => list(process, "OnBuild").push(json!(rest)),
        _ => {
            return Err(
                "the instructions there are: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, \
                        USER, VOLUME, WORKDIR",
            );
        }
    }
    Ok(())
}

fn list<'a>(process: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = process.entry(key).or_insert(Value::Null);
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("it was made a list"),
    }
}

fn set<'a>(process: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = process.entry(key).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(set) => set,
        _ => unreachable!("it was made an object"),
    }
}

/// `["program", "argument"]`.
fn words_of(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

/// A command: its words, or a line for the shell.
fn command(text: &str) -> Vec<String> {
    words_of(text).unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into(), text.into()])
}

/// `A=b C="d e"`, or `A b c` for a single one.
fn pairs(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    if !first.contains('=') {
        let (name, value) = text.split_once(char::is_whitespace).ok_or("it has no value")?;
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=value"),
    };
    words(text)?.into_iter().map(pair).collect()
}

/// Words as a shell sees them: quotes and backslashes keep blanks.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\\', None | Some('"')) => {
                word.get_or_insert_default().push(letters.next().ok_or("it ends in a backslash")?);
            }
            ('"' | '\'', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (letter, Some(open)) if letter == open => quote = None,
            (letter, None) if letter.is_whitespace() => words.extend(word.take()),
            (letter, _) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is missing");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(changes: &[&str]) -> Result<Value, String> {
        let mut config = json!({ "config": { "Env": ["A=1"], "WorkingDir": "/w", "Cmd": null, "Kept": 1 } });
        let changes = changes.iter().map(|&line| line.to_owned()).collect();
        change(&mut config, &Commit { changes, ..Commit::default() })?;
        Ok(config["config"].take())
    }

    #[test]
    fn instructions_change_what_they_name() {
        let changes = [
            "CMD [\"a\", \"b c\"]",
            "entrypoint run it",
            "ENV A=2 B=\"x y\" C=a\\ b",
            "ENV D some text",
            "LABEL k='v w'",
            "EXPOSE 80 53/udp",
            "USER app",
            "WORKDIR sub",
            "VOLUME /a /b",
            "STOPSIGNAL INT",
            "ONBUILD RUN x",
        ];
        let expected = json!({
            "Cmd": ["a", "b c"], "Entrypoint": ["/bin/sh", "-c", "run it"],
            "Env": ["A=2", "B=x y", "C=a b", "D=some text"], "Labels": { "k": "v w" },
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} }, "User": "app", "WorkingDir": "/w/sub",
            "Volumes": { "/a": {}, "/b": {} }, "StopSignal": "INT", "OnBuild": ["RUN x"], "Kept": 1,
        });
        assert_eq!(changed(&changes).unwrap(), expected);
        for bad in ["", "RUN x", "CMD", "ENV A", "ENV =x", "ENV A=\"x", "LABEL a=b c", "ENV A=b\\"] {
            assert!(changed(&[bad]).unwrap_err().starts_with("cannot apply"), "{bad}");
        }
    }
}
