//! `info`: what this host has to run boxes with.

use crate::stream;
use a3s_box_core::{Accel, BoxError, Result};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Info {
    /// `json` prints a JSON object
    #[arg(long, value_name = "FORMAT", value_parser = ["json", "text"], default_value = "text")]
    format: String,
}

impl Info {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let info = engine.info()?;
        if self.format == "json" {
            let json =
                serde_json::to_string_pretty(&info).map_err(|e| BoxError::io("cannot print", e.into()))?;
            return stream::line(&json).map(|()| 0);
        }
        let none = || "not found".to_owned();
        let boundary = match info.vmm.accel {
            Accel::Kvm | Accel::Hvf => "hardware virtualization",
            Accel::Tcg => "software emulation: slow, and a weaker boundary than hardware",
        };
        stream::line(&format!("Version:     {}", info.version))?;
        stream::line(&format!("State:       {}", info.home.display()))?;
        stream::line(&format!("Boxes:       {} ({} running)", info.boxes, info.running))?;
        stream::line(&format!("Images:      {}", info.images))?;
        stream::line(&format!("VMM:         {} ({})", info.vmm.kind, info.vmm.version.unwrap_or_else(none)))?;
        stream::line(&format!("Accelerator: {} ({boundary})", info.vmm.accel))?;
        let kernel = info.kernel.map_or_else(none, |kernel| kernel.display().to_string());
        stream::line(&format!("Kernel:      {kernel}"))?;
        for problem in info.problems {
            stream::line(&format!("Problem:     {problem}"))?;
        }
        Ok(0)
    }
}
