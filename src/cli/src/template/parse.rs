//! Reading a template.

use super::{Node, Pipeline, Template, Word, invalid};
use a3s_box_core::BoxError;
use serde_json::Value;
use std::iter::Peekable;
use std::str::{Chars, FromStr};

/// Blocks in blocks are not read deeper.
const MAX_DEPTH: usize = 32;

/// A template in pieces: text, and what is between braces.
#[derive(Debug)]
enum Piece {
    Text(String),
    Action(String),
}

impl FromStr for Template {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self, BoxError> {
        let pieces = pieces(text).map_err(|why| invalid(&why))?;
        let mut pieces = pieces.into_iter();
        let (nodes, end) = nodes(&mut pieces, 0).map_err(|why| invalid(&why))?;
        match end {
            None => Ok(Self(nodes)),
            Some(word) => Err(invalid(&format!("{{{{{word}}}}} has no beginning"))),
        }
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    loop {
        let (before, after) =
            rest.split_once("{{").map_or((rest, None), |(before, after)| (before, Some(after)));
        let trim_end = after.is_some_and(|after| after.starts_with("- "));
        let mut literal = unescape(before);
        if trim {
            literal = literal.trim_start().to_owned();
        }
        if trim_end {
            literal = literal.trim_end().to_owned();
        }
        pieces.push(Piece::Text(literal));
        let Some(after) = after else { return Ok(pieces) };
        let end = end_of_action(after).ok_or("a {{ has no }}")?;
        let action = after[..end].strip_prefix("- ").unwrap_or(&after[..end]);
        trim = action.ends_with(" -");
        pieces.push(Piece::Action(action.strip_suffix(" -").unwrap_or(action).trim().to_owned()));
        rest = &after[end + 2..];
    }
}

/// Where `}}` is that no string holds.
fn end_of_action(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

/// A shell passes `\t` and `\n` on as they are typed.
fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// Parts up to the end, or up to `end` or `else`, which is given too.
fn nodes(
    pieces: &mut dyn Iterator<Item = Piece>,
    depth: usize,
) -> Result<(Vec<Node>, Option<String>), String> {
    if depth > MAX_DEPTH {
        return Err("its blocks are nested too deep".into());
    }
    let mut found = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) if text.is_empty() => continue,
            Piece::Text(text) => {
                found.push(Node::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
        match word {
            "end" | "else" => return Ok((found, Some(action))),
            "if" | "range" | "with" => found.push(block(word, rest, pieces, depth)?),
            _ if action.starts_with("/*") => {}
            _ => found.push(Node::Print(pipeline(&action)?)),
        }
    }
    Ok((found, None))
}

fn block(
    word: &str,
    condition: &str,
    pieces: &mut dyn Iterator<Item = Piece>,
    depth: usize,
) -> Result<Node, String> {
    let condition = pipeline(condition)?;
    let (then, end) = nodes(pieces, depth + 1)?;
    let otherwise = match end.as_deref() {
        Some("end") => Vec::new(),
        Some("else") => match nodes(pieces, depth + 1)? {
            (otherwise, Some(end)) if end == "end" => otherwise,
            _ => return Err(format!("{{{{{word}}}}} has no {{{{end}}}}")),
        },
        Some(chained) => match chained.strip_prefix("else if ") {
            Some(rest) => vec![block("if", rest, pieces, depth + 1)?],
            None => return Err(format!("{{{{{chained}}}}} is not known")),
        },
        None => return Err(format!("{{{{{word}}}}} has no {{{{end}}}}")),
    };
    Ok(match word {
        "if" => Node::If(condition, then, otherwise),
        "range" => Node::Range(condition, then, otherwise),
        _ => Node::With(condition, then, otherwise),
    })
}

fn pipeline(text: &str) -> Result<Pipeline, String> {
    let mut chars = text.chars().peekable();
    let found = commands(&mut chars, 0)?;
    if chars.next().is_some() { Err(format!("{text:?} has a ) too many")) } else { Ok(found) }
}

/// Commands up to the end, or to a closing parenthesis, which is left.
fn commands(chars: &mut Peekable<Chars<'_>>, depth: usize) -> Result<Pipeline, String> {
    if depth > MAX_DEPTH {
        return Err("its parentheses are nested too deep".into());
    }
    let mut pipeline = vec![Vec::new()];
    while let Some(&c) = chars.peek() {
        let word = match c {
            ' ' | '\t' | '\n' => {
                chars.next();
                continue;
            }
            '|' => {
                chars.next();
                pipeline.push(Vec::new());
                continue;
            }
            ')' => break,
            '(' => {
                chars.next();
                let nested = commands(chars, depth + 1)?;
                if chars.next() != Some(')') {
                    return Err("a ( has no )".into());
                }
                Word::Nested(nested)
            }
            '"' => Word::Constant(string(chars)?.into()),
            '`' => {
                chars.next();
                let text: String = chars.by_ref().take_while(|c| *c != '`').collect();
                Word::Constant(text.into())
            }
            _ => word(chars)?,
        };
        if let Some(command) = pipeline.last_mut() {
            command.push(word);
        }
    }
    if pipeline.iter().any(Vec::is_empty) { Err("a command is empty".into()) } else { Ok(pipeline) }
}

fn string(chars: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    chars.next();
    let mut text = String::new();
    loop {
        match chars.next().ok_or("a string has no end")? {
            '"' => return Ok(text),
            '\\' => match chars.next().ok_or("a string has no end")? {
                't' => text.push('\t'),
                'n' => text.push('\n'),
                c => text.push(c),
            },
            c => text.push(c),
        }
    }
}

fn word(chars: &mut Peekable<Chars<'_>>) -> Result<Word, String> {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !"|()\"`".contains(*c)) {
        text.push(c);
    }
    let path = |text: &str| -> Vec<String> {
        text.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    if let Some(rest) = text.strip_prefix('$') {
        return Ok(Word::Root(path(rest)));
    }
    if text.starts_with('.') {
        return Ok(Word::Field(path(&text)));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Word::Constant(number.into()));
    }
    match text.as_str() {
        "true" => Ok(Word::Constant(true.into())),
        "false" => Ok(Word::Constant(false.into())),
        "nil" => Ok(Word::Constant(Value::Null)),
        name if name.bytes().all(|b| b.is_ascii_alphanumeric()) => Ok(Word::Function(text)),
        _ => Err(format!("{text:?} is not known")),
    }
}
