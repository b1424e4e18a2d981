//! `login`: credentials for a registry.

use super::logout::registry;
use crate::stream;
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_image::Credentials;
use a3s_box_runtime::Engine;
use clap::Args;
use std::io::Read;

/// A password longer than this is none.
const MAX_PASSWORD: u64 = 64 << 10;

#[derive(Args)]
pub(crate) struct Login {
    /// User name
    #[arg(short, long, value_name = "USER")]
    username: String,
    /// Read the password, or a token in its place, from standard input
    #[arg(long)]
    password_stdin: bool,
    /// Registry; Docker Hub when absent
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    registry: String,
}

impl Login {
    pub(crate) fn run(self, engine: &Engine) -> Result<u8> {
        if !self.password_stdin {
            return Err(BoxError::new(ErrorKind::InvalidInput, "no password given").with_hint(
                "give it on standard input, where neither the shell nor other users see it: --password-stdin < FILE",
            ));
        }
        let mut password = String::new();
        std::io::stdin()
            .take(MAX_PASSWORD)
            .read_to_string(&mut password)
            .map_err(|e| BoxError::io("cannot read the password", e))?;
        let credentials = Credentials {
            username: self.username,
            password: password.trim_end_matches(['\r', '\n']).to_owned(),
        };
        let place = engine.login(&registry(&self.registry)?, &credentials)?;
        eprintln!("credentials are kept in {place}");
        stream::line("Login Succeeded")?;
        Ok(0)
    }
}
