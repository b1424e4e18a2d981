//! `inspect`: everything known about boxes.

use crate::template::Template;
use crate::{box_row, stream};
use a3s_box_core::{BoxError, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Inspect {
    /// Print a template for each box in place of JSON, such as '{{.State.Status}}' or '{{.run.exit.reason}}'; `json`
    /// prints a JSON object each
    #[arg(short, long, value_name = "TEMPLATE")]
    format: Option<String>,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Inspect {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let failed = |e: serde_json::Error| BoxError::io("cannot print", e.into());
        let template: Option<Template> = match self.format.as_deref() {
            None | Some("json") => None,
            Some(text) => Some(text.parse()?),
        };
        let views = self.boxes.iter().map(|name| engine.inspect(name)).collect::<Result<Vec<_>>>()?;
        match (template, self.format) {
            (Some(template), _) => {
                for view in &views {
                    let value = box_row::inspect(view).map_err(failed)?;
                    stream::line(&template.render(&value)?)?;
                }
            }
            (None, Some(_)) => {
                for view in &views {
                    stream::line(&serde_json::to_string(view).map_err(failed)?)?;
                }
            }
            (None, None) => stream::line(&serde_json::to_string_pretty(&views).map_err(failed)?)?,
        }
        Ok(0)
    }
}
