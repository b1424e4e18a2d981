//! `version`.

use crate::stream;
use a3s_box_core::Result;
use clap::Args;

#[derive(Args)]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self) -> Result<u8> {
        stream::line(&format!("a3s-box {}", env!("CARGO_PKG_VERSION")))?;
        Ok(0)
    }
}
