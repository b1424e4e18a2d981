//! `cp`: files between host and box.

use crate::console;
use a3s_box_core::{BoxError, ErrorKind, Result};
use a3s_box_runtime::{CopyEnd, CopyOptions, Engine};
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

#[derive(Args)]
#[command(
    override_usage = "a3s-box cp [OPTIONS] BOX:PATH PATH|-\n       a3s-box cp [OPTIONS] PATH|- BOX:PATH"
)]
pub(crate) struct Cp {
    /// Keep the owners of files
    #[arg(short, long)]
    archive: bool,
    /// Follow a link that is named as the source
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// What to copy: BOX:PATH, a path here, or - for an archive (tar) on standard input
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// Where to: BOX:PATH, a path here, or - for an archive on standard output
    #[arg(value_name = "DESTINATION")]
    destination: OsString,
}

enum Place<'a> {
    Here(&'a OsStr),
    Stream,
    InBox(String, &'a [u8]),
}

impl Cp {
    pub(crate) async fn run(self, engine: &Engine) -> Result<u8> {
        let options = CopyOptions { archive: self.archive, follow: self.follow_link };
        match (place(&self.source), place(&self.destination)) {
            (Place::InBox(name, path), to) => {
                let to = match to {
                    Place::Here(path) => CopyEnd::Path(path.into()),
                    Place::Stream if console::stdout_is_terminal() => {
                        return Err(refuse("an archive is nothing for a terminal")
                            .with_hint("send it to a file or another program"));
                    }
                    Place::Stream => CopyEnd::Archive(Box::new(std::io::stdout()) as _),
                    Place::InBox(..) => {
                        return Err(refuse("cannot copy from one box into another").with_hint(
                            "copy to the host first, or pipe: `cp BOX:PATH - | a3s-box cp - BOX:PATH`",
                        ));
                    }
                };
                engine.copy_out(&name, path, to, options).await?;
            }
            (from, Place::InBox(name, path)) => {
                let from = match from {
                    Place::Here(path) => CopyEnd::Path(path.into()),
                    _ => CopyEnd::Archive(Box::new(std::io::stdin()) as _),
                };
                engine.copy_in(from, &name, path, options).await?;
            }
            _ => return Err(refuse("neither end is in a box").with_hint("name a box as BOX:PATH")),
        }
        Ok(0)
    }
}

fn refuse(what: &str) -> BoxError {
    BoxError::new(ErrorKind::InvalidInput, what)
}

/// As Docker has it: what holds a colon is in a box, unless a path comes before it.
fn place(text: &OsStr) -> Place<'_> {
    let bytes = text.as_bytes();
    if bytes == b"-" {
        return Place::Stream;
    }
    match bytes.iter().position(|byte| *byte == b':') {
        Some(at) if !bytes.starts_with(b".") && !bytes[..at].contains(&b'/') => {
            Place::InBox(String::from_utf8_lossy(&bytes[..at]).into_owned(), &bytes[at + 1..])
        }
        _ => Place::Here(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_means_a_box_but_not_in_a_path() {
        let shown = |text: &str| match place(OsStr::new(text)) {
            Place::Here(path) => format!("here {}", path.display()),
            Place::Stream => "stream".to_owned(),
            Place::InBox(name, path) => format!("{name} {}", String::from_utf8_lossy(path)),
        };
        for (text, place) in [
            ("web:/etc/x", "web /etc/x"),
            ("web:a:b", "web a:b"),
            ("web:", "web "),
            ("./web:x", "here ./web:x"),
            ("/tmp/a:b", "here /tmp/a:b"),
            ("dir/a:b", "here dir/a:b"),
            ("plain", "here plain"),
            ("-", "stream"),
        ] {
            assert_eq!(shown(text), place);
        }
    }
}
