//! `doctor`: what is wrong with this host and with what we keep on it, and what to do about it.

use crate::stream;
use a3s_box_core::{BoxError, Bytes, Result};
use a3s_box_runtime::{Check, Engine, Health, Leftover};
use clap::Args;

#[derive(Args)]
pub(crate) struct Doctor {
    /// Put right what can be put right without harm, and remove every process, mount, file and disk that belongs to no
    /// box
    #[arg(long)]
    repair: bool,
    /// `json` prints a JSON object
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "text"], default_value = "text")]
    format: String,
}

impl Doctor {
    /// Exits with 1 where boxes do not run, or something could not be removed.
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let found = engine.doctor(self.repair)?;
        let broken = found.checks.iter().any(|check| check.health == Health::Broken);
        let code = u8::from(broken || found.leftovers.iter().any(|left| left.failure.is_some()));
        if self.format == "json" {
            let json =
                serde_json::to_string_pretty(&found).map_err(|e| BoxError::io("cannot print", e.into()))?;
            return stream::line(&json).map(|()| code);
        }
        found.checks.iter().try_for_each(show)?;
        found.leftovers.iter().try_for_each(|left| show_leftover(left, self.repair))?;
        if !self.repair && !found.leftovers.is_empty() {
            stream::line("      run `a3s-box doctor --repair`, which removes all that is left")?;
        }
        Ok(code)
    }
}

fn show(check: &Check) -> Result<()> {
    let mark = match check.health {
        Health::Well => "ok",
        Health::Lacking => "note",
        Health::Broken => "FAIL",
    };
    stream::line(&format!("{mark:<5} {}: {}", check.name, check.found))?;
    match &check.remedy {
        Some(remedy) => stream::line(&format!("      {remedy}")),
        None => Ok(()),
    }
}

fn show_leftover(left: &Leftover, repaired: bool) -> Result<()> {
    let mark = match repaired {
        false => "left",
        true if left.removed => "gone",
        true => "FAIL",
    };
    let kind = left.kind.to_string();
    stream::line(&format!("{mark:<5} {kind} {}, {}: {}", left.name, Bytes(left.size), left.why))?;
    match &left.failure {
        Some(failure) => stream::line(&format!("      it cannot be removed: {failure}")),
        None => Ok(()),
    }
}
