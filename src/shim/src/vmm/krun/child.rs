//! The VMM's process.

use super::Guest;
use std::process::ExitCode;

/// Runs the guest that `json` describes. It comes back only to say what kept it from doing so.
pub(crate) fn enter(json: Option<&str>) -> ExitCode {
    let Some(guest) = json.and_then(|json| serde_json::from_str::<Guest>(json).ok()) else {
        eprintln!("not to be run by hand: a3s-box-shim starts it");
        return ExitCode::FAILURE;
    };
    eprintln!("{}", run(&guest));
    ExitCode::FAILURE
}

#[cfg(krun)]
fn run(guest: &Guest) -> String {
    match super::ffi::configure(guest) {
        Ok(machine) => machine.enter(),
        Err(error) => error,
    }
}

#[cfg(not(krun))]
fn run(_: &Guest) -> String {
    "this build is without libkrun".to_owned()
}
