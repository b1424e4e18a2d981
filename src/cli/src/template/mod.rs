//! `--format`: the part of Go's templates that people use with Docker, over JSON values.
//!
//! Fields (`{{.Names}}`, `{{.run.exit.code}}`), text, pipes, `if`, `range`, `with`, and the functions that Docker adds.

mod eval;
mod listing;
mod parse;

pub(crate) use listing::{Format, print};

use a3s_box_core::{BoxError, ErrorKind, Result};
use serde_json::Value;

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Node>);

/// A part of it.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Vec<Node>, Vec<Node>),
    Range(Pipeline, Vec<Node>, Vec<Node>),
    With(Pipeline, Vec<Node>, Vec<Node>),
}

/// Commands, of which each has the result of the one before it for its last argument.
type Pipeline = Vec<Vec<Word>>;

/// A word of a command.
#[derive(Debug, Clone, PartialEq)]
enum Word {
    /// `.A.B`; none of them: what the template is about.
    Field(Vec<String>),
    /// `$.A.B`: from the begin, also within `range` and `with`.
    Root(Vec<String>),
    /// A string, a number, a truth.
    Constant(Value),
    /// The name of a function.
    Function(String),
    /// A pipeline in parentheses.
    Nested(Pipeline),
}

impl Template {
    /// Whether the field `name` is asked for.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        nodes_mention(&self.0, name)
    }

    /// The labels that are asked for by `.Label "key"`.
    fn labels(&self) -> Option<Vec<String>> {
        let labels: Vec<String> = self
            .0
            .iter()
            .filter_map(|node| match node {
                Node::Print(pipeline) => Some(pipeline),
                _ => None,
            })
            .flatten()
            .filter_map(|command| match &command[..] {
                [Word::Field(path), Word::Constant(Value::String(label))] if path == &["Label"] => {
                    Some(label.clone())
                }
                _ => None,
            })
            .collect();
        (!labels.is_empty()).then_some(labels)
    }

    /// The template filled in with `value`.
    ///
    /// # Errors
    /// `InvalidInput` for a field that is not there, and for functions that cannot do with what they are given.
    pub(crate) fn render(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        eval::Eval { root: value }.nodes(&self.0, value, &mut out).map_err(|why| invalid(&why))?;
        Ok(out)
    }
}

fn nodes_mention(nodes: &[Node], name: &str) -> bool {
    nodes.iter().any(|node| match node {
        Node::Text(_) => false,
        Node::Print(pipeline) => mentions(pipeline, name),
        Node::If(pipeline, a, b) | Node::Range(pipeline, a, b) | Node::With(pipeline, a, b) => {
            mentions(pipeline, name) || nodes_mention(a, name) || nodes_mention(b, name)
        }
    })
}

fn mentions(pipeline: &Pipeline, name: &str) -> bool {
    pipeline.iter().flatten().any(|word| match word {
        Word::Field(path) | Word::Root(path) => path.first().is_none_or(|first| first == name),
        Word::Nested(pipeline) => mentions(pipeline, name),
        Word::Constant(_) | Word::Function(_) => false,
    })
}

fn invalid(why: &str) -> BoxError {
    BoxError::new(ErrorKind::InvalidInput, format!("this --format does not work: {why}"))
        .with_hint("write for instance '{{.ID}}\\t{{.Names}}', or json")
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
