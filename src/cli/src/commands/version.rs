//! `version`.

use crate::stream;
use a3s_box_core::Result;
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub(crate) struct Version {
    /// `json` prints a JSON object
    #[arg(short, long, value_name = "FORMAT", value_parser = ["json", "text"], default_value = "text")]
    format: String,
}

impl Version {
    pub(crate) fn run(self) -> Result<u8> {
        let version = env!("CARGO_PKG_VERSION");
        let text = match &*self.format {
            "json" => json!({"version": version, "os": std::env::consts::OS, "arch": std::env::consts::ARCH})
                .to_string(),
            _ => format!("a3s-box {version}"),
        };
        stream::line(&text).map(|()| 0)
    }
}
