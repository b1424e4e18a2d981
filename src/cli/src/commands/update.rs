//! `update`: changes what holds for boxes.

use a3s_box_core::{BoxError, Bytes, CpuShare, ErrorKind, RestartPolicy, Result};
use a3s_box_runtime::{BoxUpdate, Engine};
use clap::Args;

#[derive(Args)]
pub(crate) struct Update {
    /// Whether to start the box again when it has ended: no, on-failure, on-failure:N, always or unless-stopped
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Seconds after its start at which the box is stopped; 0 for no limit
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Seconds without exec, job, attach, output or input after which the box is stopped; 0 for no limit
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u32>,
    /// Memory of the guest, of boxes that do not run
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Number of CPUs, such as 2 or 0.5, of boxes that do not run
    #[arg(long, value_name = "N")]
    cpus: Option<CpuShare>,
    /// Boxes, by name or id
    #[arg(required = true, value_name = "BOX")]
    boxes: Vec<String>,
}

impl Update {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let limit = |seconds: Option<u32>| seconds.map(|seconds| (seconds > 0).then_some(seconds));
        let update = BoxUpdate {
            restart: self.restart,
            timeout: limit(self.timeout),
            idle_timeout: limit(self.idle_timeout),
            memory: self.memory,
            cpus: self.cpus,
        };
        if update == BoxUpdate::default() {
            return Err(BoxError::new(ErrorKind::InvalidInput, "nothing is to be changed")
                .with_hint("say what, such as --restart always"));
        }
        super::for_each(&self.boxes, async |name| engine.update(&name, &update).await).await
    }
}
