//! The commands, one a file.

mod attach;
mod boot;
mod commit;
mod completion;
mod cp;
mod create;
mod df;
mod diff;
mod doctor;
mod events;
mod exec;
mod export;
mod history;
mod hook;
mod image;
mod images;
mod import;
mod info;
mod inspect;
mod jobs;
mod kill;
mod load;
mod login;
mod logout;
mod logs;
mod net;
mod network;
mod pause;
mod port;
mod prune;
mod ps;
mod pull;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod shell;
mod signal;
mod start;
mod stats;
mod stop;
mod tag;
mod top;
mod unpause;
mod update;
mod version;
mod volume;
mod wait;

use a3s_box_core::{BoxError, Result};
use a3s_box_runtime::{Engine, Home};
use clap::Subcommand;
use futures_util::StreamExt;
use std::future::Future;
use std::pin::pin;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create a box and run a command in it
    Run(run::Run),
    /// Create a box without starting it
    Create(create::Create),
    /// Start boxes that do not run
    Start(start::Start),
    /// Join the command of a running box, or a job
    Attach(attach::Attach),
    /// Run a command in a running box
    Exec(exec::Exec),
    /// Open a shell in a running box
    Shell(shell::Shell),
    /// List what was left running in boxes with `exec -d`
    Jobs(jobs::Jobs),
    /// Send a signal to jobs
    Signal(signal::SignalJob),
    /// Copy files between here and a running box
    Cp(cp::Cp),
    /// List boxes
    Ps(ps::Ps),
    /// Show what a box or a job has written
    Logs(logs::Logs),
    /// Stop boxes
    Stop(stop::Stop),
    /// Stop boxes and start them again
    Restart(restart::Restart),
    /// Wait until boxes or jobs have ended, and print their exit codes
    Wait(wait::Wait),
    /// Send a signal to boxes
    Kill(kill::Kill),
    /// Make boxes stand still
    Pause(pause::Pause),
    /// Let boxes go on that stand still
    Unpause(unpause::Unpause),
    /// Change what holds for boxes
    Update(update::Update),
    /// Give a box another name
    Rename(rename::Rename),
    /// Remove boxes
    Rm(rm::Rm),
    /// Remove the boxes that do not run
    Prune(prune::Prune),
    /// Start the boxes that are to run when the host has started
    Boot(boot::Boot),
    /// Show what happens to boxes
    Events(events::Events),
    /// Show everything known about boxes, as JSON
    Inspect(inspect::Inspect),
    /// List the processes in a box
    Top(top::Top),
    /// Show what boxes use
    Stats(stats::Stats),
    /// List what was changed in a running box since its image
    Diff(diff::Diff),
    /// Write the root of a running box as a tar
    Export(export::Export),
    /// Make an image of what was changed in a running box
    Commit(commit::Commit),
    /// Show where the published ports of a box are
    Port(port::Port),
    /// Say what a box may reach, and what it did on the network
    Net(net::Net),
    /// Make and remove networks on which boxes meet
    Network(network::Network),
    /// Make and remove volumes, which outlive boxes
    Volume(volume::Volume),
    /// List images
    Images(images::Images),
    /// Pull an image from a registry
    Pull(pull::Pull),
    /// Load images from an OCI layout or a `docker save` archive
    Load(load::Load),
    /// Save images as an archive
    Save(save::Save),
    /// Make an image of a root file system's tar
    Import(import::Import),
    /// Give an image a further name
    Tag(tag::Tag),
    /// Show how an image was made
    History(history::History),
    /// Look into images, and take care of them
    Image(image::Image),
    /// Remove images
    Rmi(rmi::Rmi),
    /// Log in to a registry
    Login(login::Login),
    /// Log out of a registry
    Logout(logout::Logout),
    /// Show what takes up the disk
    Df(df::Df),
    /// Show the version
    Version(version::Version),
    /// Show what this host has to run boxes with
    Info(info::Info),
    /// Find out what is wrong with this host, and what to do about it
    Doctor(doctor::Doctor),
    /// Print the script that completes command lines in a shell
    Completion(completion::Completion),
    /// Say what can come next on a command line
    #[command(hide = true, name = "__complete")]
    Complete(completion::Complete),
    /// Post an event to the URL of a hook
    #[command(hide = true)]
    Hook(hook::Hook),
}

impl Command {
    /// Carries the command out. `begin` is when this program began.
    pub(crate) fn run(self, begin: u64) -> Result<u8> {
        match self {
            Self::Version(version) => return version.run(),
            Self::Completion(completion) => return completion.run(),
            _ => {}
        }
        let engine = Engine::new(Home::from_env()?);
        match self {
            Self::Run(command) => block_on(command.run(&engine, begin)),
            Self::Create(command) => command.run(&engine),
            Self::Start(command) => block_on(command.run(&engine)),
            Self::Attach(command) => block_on(command.run(&engine)),
            Self::Exec(command) => block_on(command.run(&engine)),
            Self::Shell(command) => block_on(command.run(&engine)),
            Self::Jobs(command) => command.run(&engine),
            Self::Signal(command) => block_on(command.run(&engine)),
            Self::Stats(command) => block_on(command.run(&engine)),
            Self::Diff(command) => block_on(command.run(&engine)),
            Self::Export(command) => block_on(command.run(&engine)),
            Self::Commit(command) => block_on(command.run(&engine)),
            Self::Cp(command) => block_on(command.run(&engine)),
            Self::Ps(command) => command.run(&engine),
            Self::Logs(command) => command.run(&engine),
            Self::Stop(command) => block_on(command.run(&engine)),
            Self::Restart(command) => block_on(command.run(&engine)),
            Self::Wait(command) => block_on(command.run(&engine)),
            Self::Pause(command) => block_on(command.run(&engine)),
            Self::Unpause(command) => block_on(command.run(&engine)),
            Self::Update(command) => block_on(command.run(&engine)),
            Self::Prune(command) => command.run(&engine),
            Self::Boot(command) => block_on(command.run(&engine)),
            Self::Events(command) => command.run(&engine),
            Self::Hook(command) => command.run(&engine),
            Self::Rename(command) => block_on(command.run(&engine)),
            Self::Kill(command) => block_on(command.run(&engine)),
            Self::Rm(command) => block_on(command.run(&engine)),
            Self::Inspect(command) => command.run(&engine),
            Self::Top(command) => block_on(command.run(&engine)),
            Self::Images(command) => command.run(&engine),
            Self::Pull(command) => command.run(&engine),
            Self::Load(command) => command.run(&engine),
            Self::Save(command) => command.run(&engine),
            Self::Import(command) => command.run(&engine),
            Self::Tag(command) => command.run(&engine),
            Self::History(command) => command.run(&engine),
            Self::Image(command) => command.run(&engine),
            Self::Rmi(command) => command.run(&engine),
            Self::Login(command) => command.run(&engine),
            Self::Logout(command) => command.run(&engine),
            Self::Port(command) => command.run(&engine),
            Self::Net(command) => command.run(&engine),
            Self::Network(command) => block_on(command.run(&engine)),
            Self::Volume(command) => block_on(command.run(&engine)),
            Self::Df(command) => command.run(&engine),
            Self::Version(command) => command.run(),
            Self::Completion(command) => command.run(),
            Self::Complete(command) => command.run(&engine),
            Self::Info(command) => command.run(&engine),
            Self::Doctor(command) => command.run(&engine),
        }
    }
}

fn block_on(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| BoxError::io("cannot start", e))?
        .block_on(work)
}

/// Does `work` for each of `names`, several at once, goes on after a failure, and reports the last one at the end. What
/// is told comes in the order of the names.
async fn for_each(names: &[String], work: impl AsyncFn(String) -> Result<()>) -> Result<u8> {
    const AT_ONCE: usize = 32;
    let mut failure = None;
    let each = names.iter().map(async |name| (name, work(name.clone()).await));
    let mut done = pin!(futures_util::stream::iter(each).buffered(AT_ONCE));
    while let Some((name, came)) = done.next().await {
        match came {
            Ok(()) => crate::stream::line(name)?,
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    crate::failure::report(&earlier);
                }
            }
        }
    }
    failure.map_or(Ok(0), Err)
}
