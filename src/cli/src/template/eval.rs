//! Filling a template in.

use super::{Node, Pipeline, Word};
use serde_json::Value;
use std::cmp::Ordering;

/// The most that a template may come to.
const MAX: usize = 16 << 20;

pub(super) struct Eval<'a> {
    pub(super) root: &'a Value,
}

impl Eval<'_> {
    pub(super) fn nodes(&self, nodes: &[Node], dot: &Value, out: &mut String) -> Result<(), String> {
        for node in nodes {
            if out.len() > MAX {
                return Err("it comes to too much".into());
            }
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(pipeline) => {
                    let printed = text(&self.pipeline(pipeline, dot)?);
                    // Some of it images say, and guests: it must not steer the terminal.
                    out.extend(printed.chars().filter(|c| !c.is_control() || "\n\t".contains(*c)));
                }
                Node::If(pipeline, then, otherwise) => {
                    let branch = if truth(&self.pipeline(pipeline, dot)?) { then } else { otherwise };
                    self.nodes(branch, dot, out)?;
                }
                Node::With(pipeline, then, otherwise) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if truth(&value) {
                        self.nodes(then, &value, out)?
                    } else {
                        self.nodes(otherwise, dot, out)?
                    }
                }
                Node::Range(pipeline, each, otherwise) => match self.pipeline(pipeline, dot)? {
                    Value::Array(items) if !items.is_empty() => {
                        items.iter().try_for_each(|item| self.nodes(each, item, out))?;
                    }
                    Value::Object(map) if !map.is_empty() => {
                        map.values().try_for_each(|item| self.nodes(each, item, out))?;
                    }
                    Value::Array(_) | Value::Object(_) | Value::Null => self.nodes(otherwise, dot, out)?,
                    other => return Err(format!("there is nothing to range over in {}", text(&other))),
                },
            }
        }
        Ok(())
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for command in pipeline {
            last = Some(self.command(command, dot, last)?);
        }
        last.ok_or_else(|| "a command is empty".into())
    }

    fn command(&self, words: &[Word], dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        let (first, rest) = words.split_first().ok_or("a command is empty")?;
        let mut args = rest.iter().map(|word| self.word(word, dot)).collect::<Result<Vec<_>, _>>()?;
        args.extend(piped);
        match first {
            Word::Function(name) => call(name, &args),
            _ => {
                let value = self.word(first, dot)?;
                // What is a method of Docker's is a map here: `.Label "key"`.
                if args.is_empty() {
                    Ok(value)
                } else {
                    index(&value, &args).map_err(|_| "a value takes no arguments".into())
                }
            }
        }
    }

    fn word(&self, word: &Word, dot: &Value) -> Result<Value, String> {
        match word {
            Word::Field(path) => field(dot, path),
            Word::Root(path) => field(self.root, path),
            Word::Constant(value) => Ok(value.clone()),
            Word::Nested(pipeline) => self.pipeline(pipeline, dot),
            Word::Function(name) => call(name, &[]),
        }
    }
}

fn field(value: &Value, path: &[String]) -> Result<Value, String> {
    let mut value = value;
    for (at, name) in path.iter().enumerate() {
        value = match value {
            Value::Object(map) => map.get(name).ok_or_else(|| {
                let known: Vec<&str> = map.keys().map(String::as_str).collect();
                format!("there is no field .{}; what there is: {}", path[..=at].join("."), known.join(" "))
            })?,
            // What is not there has nothing in it.
            Value::Null => return Ok(Value::Null),
            _ => return Err(format!("there is nothing in .{}", path[..at].join("."))),
        };
    }
    Ok(value.clone())
}

fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let few = || format!("{name} was given too little");
    let one = || args.last().ok_or_else(few);
    let two = || match args {
        [a, b] => Ok((a, b)),
        _ => Err(format!("{name} takes two values")),
    };
    let ordering = |wanted: fn(Ordering) -> bool| -> Result<Value, String> {
        let (a, b) = two()?;
        let order = match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => text(a).partial_cmp(&text(b)),
        };
        Ok(order.is_some_and(wanted).into())
    };
    Ok(match name {
        "json" => serde_json::to_string(one()?).map_err(|e| e.to_string())?.into(),
        "upper" => text(one()?).to_uppercase().into(),
        "lower" => text(one()?).to_lowercase().into(),
        "title" => title(&text(one()?)).into(),
        "print" => args.iter().map(text).collect::<Vec<_>>().join(" ").into(),
        "println" => (args.iter().map(text).collect::<Vec<_>>().join(" ") + "\n").into(),
        "len" => match one()? {
            Value::String(text) => text.len().into(),
            Value::Array(items) => items.len().into(),
            Value::Object(map) => map.len().into(),
            Value::Null => 0.into(),
            other => return Err(format!("{} has no length", text(other))),
        },
        "join" => {
            // Docker takes the list first, a pipe gives it last.
            let (list, between) = match two()? {
                (list @ Value::Array(_), between) | (between, list) => (list, between),
            };
            let items =
                list.as_array().map(|items| items.iter().map(text).collect::<Vec<_>>()).unwrap_or_default();
            items.join(&text(between)).into()
        }
        "split" => {
            let (whole, between) = two()?;
            text(whole).split(&text(between)).map(str::to_owned).collect::<Vec<_>>().into()
        }
        "truncate" => {
            let (whole, width) = two()?;
            let width = usize::try_from(width.as_u64().unwrap_or(0)).unwrap_or(0);
            text(whole).chars().take(width).collect::<String>().into()
        }
        "index" => {
            let (value, keys) = args.split_first().ok_or_else(few)?;
            index(value, keys)?
        }
        "not" => (!truth(one()?)).into(),
        "and" => args.iter().find(|value| !truth(value)).or(args.last()).ok_or_else(few)?.clone(),
        "or" => args.iter().find(|value| truth(value)).or(args.last()).ok_or_else(few)?.clone(),
        "eq" => {
            let (value, others) = args.split_first().ok_or_else(few)?;
            others.iter().any(|other| other == value).into()
        }
        "ne" => two().map(|(a, b)| a != b)?.into(),
        "lt" => ordering(Ordering::is_lt)?,
        "le" => ordering(Ordering::is_le)?,
        "gt" => ordering(Ordering::is_gt)?,
        "ge" => ordering(Ordering::is_ge)?,
        _ => return Err(format!("there is no function {name}")),
    })
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut value = value;
    for key in keys {
        value = match (value, key) {
            (Value::Object(map), Value::String(key)) => map.get(key).unwrap_or(&Value::Null),
            (Value::Array(items), key) => key
                .as_u64()
                .and_then(|at| items.get(usize::try_from(at).ok()?))
                .ok_or_else(|| format!("there is no item {}", text(key)))?,
            (Value::Null, _) => &Value::Null,
            _ => return Err(format!("{} cannot be looked into", text(value))),
        };
    }
    Ok(value.clone())
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key}:{}", text(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

fn title(text: &str) -> String {
    let mut begin = true;
    text.chars()
        .map(|c| {
            let c = if begin { c.to_ascii_uppercase() } else { c };
            begin = c.is_whitespace();
            c
        })
        .collect()
}
