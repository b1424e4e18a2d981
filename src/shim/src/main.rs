//! `a3s-box-shim`: one process a box, which starts its MicroVM and stays with it.
//!
//! Owns the VMM process, the box's two sockets, its logs and its status file, all in the folder it is started
//! in, and the restarts that its policy asks for. It knows nothing of other boxes and never touches `boxes.json`;
//! what happens to its box it tells to the event log. The runtime starts it with the listening
//! `shim.sock` as descriptor 3, the listening `agent.sock` as 4 and the held run lock as 5. Started with a word,
//! this program is the process of the VMM `krun`, or the file server of a box, or tries out what the host is worth.
#![deny(unsafe_code)]
#![cfg_attr(not(krun), allow(dead_code, reason = "what carries and confines libkrun has no other use"))]

mod activity;
#[cfg(target_os = "linux")]
mod binds;
#[cfg(target_os = "macos")]
#[path = "binds/macos.rs"]
mod binds;
mod boot;
mod clock;
mod confine;
mod console;
mod cpio;
mod end;
mod events;
mod health;
mod input;
mod jobs;
mod life;
mod log;
mod network;
mod output;
mod probe;
mod proxy;
mod serve;
mod status;
mod sys;
mod vmm;

use a3s_box_core::ShimSpec;
use a3s_box_net::SecretValues;
use std::io::Read;
use std::process::ExitCode;

/// A spec longer than this is none; environment and arguments may take megabytes.
const MAX_SPEC: u64 = 64 << 20;
/// What a pipe holds.
const MAX_SECRETS: u64 = 64 << 10;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some(vmm::krun::WORD) => return vmm::krun::enter(words.next().as_deref()),
        Some(binds::WORD) => return binds::enter(words.next().as_deref()),
        Some(probe::WORD) => return probe::report(),
        _ => {}
    }
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What goes wrong before the log is open shows only when somebody starts a shim by hand.
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The values of the box's secrets, which come through standard input so that they are in no file and no list of
/// processes. Nothing is left there for whoever inherits it.
fn secrets(spec: &ShimSpec) -> std::io::Result<SecretValues> {
    if spec.network.as_ref().is_none_or(|network| network.secrets.is_empty()) {
        return Ok(SecretValues::default());
    }
    let mut json = Vec::new();
    std::io::stdin().take(MAX_SECRETS).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

fn start() -> std::io::Result<()> {
    let Ok([shim_socket, agent_socket, run_lock]) = <[_; 3]>::try_from(sys::inherited(3)?) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let log = std::fs::OpenOptions::new().create(true).append(true).open("shim.log")?;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_ansi(false)
        .with_writer(std::sync::Mutex::new(log))
        .init();
    let mut json = Vec::new();
    std::fs::File::open("spec.json")?.take(MAX_SPEC).read_to_end(&mut json)?;
    let spec: ShimSpec = serde_json::from_slice(&json)?;
    let secrets = secrets(&spec)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(life::live(spec, secrets, shim_socket.into(), agent_socket.into()))?;
    // Released last: from here on the box may be started again.
    drop(run_lock);
    Ok(())
}
