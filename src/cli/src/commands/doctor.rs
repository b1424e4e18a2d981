//! `doctor`: what is wrong with this host, and what to do about it.

use crate::stream;
use a3s_box_core::{BoxError, Result};
use a3s_box_runtime::{Engine, Health};
use clap::Args;

#[derive(Args)]
pub(crate) struct Doctor {
    /// Put right what can be put right without harm
    #[arg(long)]
    fix: bool,
    /// `json` prints a JSON array
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "text"], default_value = "text")]
    format: String,
}

impl Doctor {
    /// Exits with 1 where boxes do not run.
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let checks = engine.doctor(self.fix)?;
        let code = u8::from(checks.iter().any(|check| check.health == Health::Broken));
        if self.format == "json" {
            let json =
                serde_json::to_string_pretty(&checks).map_err(|e| BoxError::io("cannot print", e.into()))?;
            return stream::line(&json).map(|()| code);
        }
        for check in checks {
            let mark = match check.health {
                Health::Well => "ok",
                Health::Lacking => "note",
                Health::Broken => "FAIL",
            };
            stream::line(&format!("{mark:<5} {}: {}", check.name, check.found))?;
            if let Some(remedy) = check.remedy {
                stream::line(&format!("      {remedy}"))?;
            }
        }
        Ok(code)
    }
}
