//! `commit`: an image of what a box has changed.

use crate::{stream, time};
use a3s_box_core::Result;
use a3s_box_image::{Commit as Committed, ImageRef, check_instruction};
use a3s_box_runtime::Engine;
use clap::Args;

#[derive(Args)]
pub(crate) struct Commit {
    /// Who made the image
    #[arg(short, long, default_value = "", hide_default_value = true)]
    author: String,
    /// A remark
    #[arg(short, long, default_value = "", hide_default_value = true)]
    message: String,
    /// Change the image's configuration by a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD,
    /// STOPSIGNAL, USER, VOLUME or WORKDIR
    #[arg(short, long = "change", value_name = "INSTRUCTION", value_parser = instruction)]
    changes: Vec<String>,
    /// Running box, by name or id
    #[arg(value_name = "BOX")]
    of: String,
    /// Name for the image
    #[arg(value_name = "NAME")]
    name: Option<ImageRef>,
}

fn instruction(text: &str) -> Result<String> {
    check_instruction(text)?;
    Ok(text.to_owned())
}

impl Commit {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let commit = Committed {
            author: self.author,
            message: self.message,
            created: time::rfc3339(time::now()),
            created_by: String::new(),
            changes: self.changes,
        };
        let made = engine.commit(&self.of, self.name, commit).await?;
        stream::line(&made.digest.to_string())?;
        Ok(0)
    }
}
