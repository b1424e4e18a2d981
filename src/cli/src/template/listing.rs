//! Lists as `--format` asks for them: a table, JSON objects, or a line of a template's for each.

use super::Template;
use crate::stream;
use crate::table::{self, Fit};
use a3s_box_core::{BoxError, Result};
use serde_json::{Map, Value};
use std::str::FromStr;

/// What `--format` says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Format {
    /// A JSON object each.
    Json,
    /// A table: the usual one, or with a template's columns.
    Table(Option<Template>),
    /// A line each.
    Lines(Template),
}

impl FromStr for Format {
    type Err = BoxError;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "json" => Ok(Self::Json),
            "table" => Ok(Self::Table(None)),
            _ => match text.strip_prefix("table ") {
                Some(columns) => Ok(Self::Table(Some(columns.parse()?))),
                None => Ok(Self::Lines(text.parse()?)),
            },
        }
    }
}

impl Format {
    /// Whether the field `name` is asked for beyond the usual.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        matches!(self, Self::Lines(template) | Self::Table(Some(template)) if template.mentions(name))
    }
}

/// Prints `rows`. The usual table has the columns `usual`; `heads` says what columns are called that are not called
/// as their fields.
///
/// # Errors
/// Those of the template, and those of writing.
pub(crate) fn print(
    format: &Format,
    usual: &str,
    heads: &[(&str, &str)],
    rows: &[Value],
    fit: Fit,
) -> Result<()> {
    match format {
        Format::Json => rows.iter().try_for_each(|row| {
            let json =
                serde_json::to_string(&plain(row)).map_err(|e| BoxError::io("cannot print", e.into()))?;
            stream::line(&json)
        }),
        Format::Lines(template) => rows.iter().try_for_each(|row| stream::line(&template.render(row)?)),
        Format::Table(columns) => {
            let columns = match columns {
                Some(columns) => columns,
                None => &usual.parse()?,
            };
            let cells = |row: &Value| -> Result<Vec<String>> {
                // A table is one line a row, whatever is in it.
                let line = columns.render(row)?.replace('\n', " ");
                Ok(line.split('\t').map(str::to_owned).collect())
            };
            let body = rows.iter().map(cells).collect::<Result<Vec<_>>>()?;
            let head = cells(&head(columns, heads, rows))?;
            let head: Vec<&str> = head.iter().map(String::as_str).collect();
            table::print(&head, &body, fit).map_err(|e| BoxError::io("cannot print", e))
        }
    }
}

/// A row whose fields are what the columns are called.
fn head(columns: &Template, heads: &[(&str, &str)], rows: &[Value]) -> Value {
    let name = |field: &str| {
        let known = heads.iter().find(|(known, _)| *known == field).map(|(_, head)| (*head).to_owned());
        Value::String(known.unwrap_or_else(|| field.to_uppercase()))
    };
    let mut head = Map::new();
    let fields = rows.first().and_then(Value::as_object).map(Map::keys).into_iter().flatten();
    for field in fields.map(String::as_str).chain(heads.iter().map(|(field, _)| *field)) {
        head.insert(field.to_owned(), name(field));
    }
    // A label's column is called as the label.
    if let Some(labels) = columns.labels() {
        let names = labels.into_iter().map(|label| (label.clone(), Value::String(label)));
        head.insert("Label".into(), Value::Object(names.collect()));
    }
    Value::Object(head)
}

/// A row without what is only there for templates.
fn plain(row: &Value) -> Value {
    let mut row = row.clone();
    if let Value::Object(map) = &mut row {
        map.remove("Label");
    }
    row
}
