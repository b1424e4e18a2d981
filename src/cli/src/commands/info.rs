//! `info`: what this host has to run boxes with.

use crate::{boundary, stream};
use a3s_box_core::{BoxError, KvmVerdict, Result};
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
        let none = || "none".to_owned();
        stream::line(&format!("Version:  {}", info.version))?;
        stream::line(&format!("State:    {}", info.home.display()))?;
        stream::line(&format!("Boxes:    {} ({} running)", info.boxes, info.running))?;
        stream::line(&format!("Images:   {}", info.images))?;
        let machine = info
            .machine
            .as_ref()
            .map_or_else(none, |m| format!("{}/{}, {} kernel", m.vmm, m.accel, m.kernel));
        stream::line(&format!("Machine:  {machine}"))?;
        if let Some(machine) = info.machine {
            stream::line(&format!("Boundary: {}", boundary::describe(machine.accel, machine.kernel)))?;
            if let Some(why) = machine.stepped_down {
                stream::line(&format!("Because:  {why}"))?;
            }
            stream::line(&format!("Kernel:   {}", machine.kernel_file.display()))?;
        }
        let kvm = match info.kvm {
            KvmVerdict::Full => "usable".to_owned(),
            KvmVerdict::Ring3(reason) => format!("usable with the cpl3 kernel ({reason})"),
            KvmVerdict::Unusable(reason) => format!("not usable ({reason})"),
        };
        stream::line(&format!("KVM:      {kvm}"))?;
        stream::line(&format!("libkrun:  {}", info.krun.unwrap_or_else(none)))?;
        stream::line(&format!("QEMU:     {}", info.qemu.unwrap_or_else(none)))?;
        let tee = info.tee.map_or_else(|| "supported".to_owned(), |gap| gap.to_string());
        stream::line(&format!("SEV-SNP:  {tee}"))?;
        for problem in info.problems {
            stream::line(&format!("Problem:  {problem}"))?;
        }
        Ok(0)
    }
}
