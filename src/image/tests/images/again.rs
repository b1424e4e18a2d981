//! This program again, as another process with an environment of its own: for what one process cannot show.

use crate::tools::Home;
use a3s_box_image::{Keychain, Platform, Pull, Registries, RegistrySettings};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};

const WHAT: &str = "A3S_TEST_AGAIN";

/// A process that pulls `reference` into `home`, once it is spawned: with Docker's credentials, and with these
/// settings of registries (TOML). What it prints is the image's digest, or `error:` and why there is none.
pub fn pull(home: &Home, reference: &str, settings: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "again::another_process_does_its_part", "--nocapture", "--test-threads=1"])
        .env(WHAT, format!("{}\n{reference}\n{settings}", home.dir.path().display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What another process had to say: the digest that it pulled, or its error.
pub fn said(output: &std::process::Output) -> Result<String, String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |key: &str| text.lines().find_map(|line| Some(line.split_once(key)?.1.to_owned()));
    match (line("digest: "), line("error: ")) {
        (Some(digest), _) => Ok(digest),
        (None, Some(error)) => Err(error),
        (None, None) => Err(format!("it said nothing: {} {text}", String::from_utf8_lossy(&output.stderr))),
    }
}

#[test]
fn another_process_does_its_part() {
    let Ok(what) = std::env::var(WHAT) else { return };
    let mut parts = what.splitn(3, '\n');
    let home = Home::at(parts.next().unwrap().as_ref());
    let reference = parts.next().unwrap().parse().unwrap();
    let by_host: BTreeMap<String, RegistrySettings> = toml::from_str(parts.next().unwrap()).unwrap();
    let pulled = home.store.pull(&Pull {
        reference: &reference,
        platform: Platform::host(),
        registries: &Registries::new(by_host, Vec::new()).with_tries(3),
        keychain: &Keychain::from_env(),
        verify: &[],
        rootfs: Some(&home.rootfs),
        make_room: &|_| Ok(()),
        progress: &|_| {},
    });
    match pulled {
        Ok(image) => println!("digest: {}", image.digest),
        Err(error) => {
            println!("error: {error} {:?}", std::error::Error::source(&error).map(ToString::to_string))
        }
    }
}
