//! `create`: a box, not yet started.

use super::pull;
use crate::box_args::BoxArgs;
use crate::stream;
use a3s_box_core::Result;
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
#[command(override_usage = "a3s-box create [OPTIONS] IMAGE [COMMAND] [ARG]...")]
pub(crate) struct Create {
    #[command(flatten)]
    of: BoxArgs,
}

impl Create {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        let (config, name) = pull::configure(engine, self.of)?;
        let record = engine.create(config, name)?;
        stream::line(record.id.as_str())?;
        Ok(0)
    }
}
