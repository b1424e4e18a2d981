//! `run`: create, start, and stay with the box until it ends.

use super::pull;
use crate::box_args::BoxArgs;
use crate::console::{self, Detached, RawMode};
use crate::detach::{self, DetachKeys};
use crate::failure::{OURS, exit_code};
use crate::stream::{self, Target};
use crate::{boundary, time, trace};
use a3s_box_core::{BoxConfig, BoxError, ErrorKind, ExitReason, Result};
use a3s_box_runtime::{Attachment, BoxRecord, Engine, RunEnd, RunEvent};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Args)]
#[command(override_usage = "a3s-box run [OPTIONS] IMAGE [COMMAND] [ARG]...")]
pub(crate) struct Run {
    /// Leave the box running and print its id
    #[arg(short, long)]
    detach: bool,
    /// Keys that leave the box running
    #[arg(long, default_value = detach::DEFAULT, value_name = "KEYS")]
    detach_keys: DetachKeys,
    /// Tell on standard error where the time went
    #[arg(long)]
    trace_boot: bool,
    /// Write to a file, once the box has ended, the narrowest policy with which it could have done what it did, for
    /// --net-policy
    #[arg(long, value_name = "FILE", conflicts_with = "detach")]
    net_learn: Option<PathBuf>,
    #[command(flatten)]
    of: BoxArgs,
}

impl Run {
    pub(crate) async fn run(self, engine: &Engine, begin: u64) -> Result<u8> {
        refuse_tty_without_terminal(&self.of, self.detach)?;
        let (config, name) = pull::configure(engine, self.of)?;
        if let Some(file) = &self.net_learn {
            // A file that cannot be written is told before the box has run for it.
            let begun = std::fs::File::options().create(true).append(true).open(file);
            begun.map_err(|e| BoxError::io(format!("cannot write {}", file.display()), e))?;
        }
        let record = engine.create(config, name)?;
        boundary::announce(&record);
        let created = time::now();
        let end = drive(engine, &record, self.detach, self.detach_keys).await;
        let traced = if self.trace_boot { engine.inspect(record.id.as_str()).ok() } else { None };
        let learned = self.net_learn.map(|file| learn(engine, &record, &file));
        // A detached box is removed by the next command after its end.
        let ended = !matches!(end, Ok(None));
        if record.config.auto_remove && ended {
            remove(engine, &record).await?;
        }
        if let Some(run) = traced.and_then(|view| view.run) {
            trace::print(begin, created, &run.trace, time::now());
        }
        let end = end?;
        learned.transpose()?;
        match end {
            None if self.detach => stream::line(record.id.as_str()).map(|()| 0),
            None => Ok(0),
            Some(end) => report(&record, &end),
        }
    }
}

/// Writes down what the run of a box needed of the network.
fn learn(engine: &Engine, record: &BoxRecord, file: &Path) -> Result<()> {
    let policy = engine.learned(record.id.as_str())?.to_string();
    std::fs::write(file, policy).map_err(|e| BoxError::io(format!("cannot write {}", file.display()), e))
}

/// Starts the box and stays with it until its end; none where it is left running.
async fn drive(
    engine: &Engine,
    record: &BoxRecord,
    detach: bool,
    keys: DetachKeys,
) -> Result<Option<RunEnd>> {
    engine.start(record.id.as_str(), record.config.tty.then(|| console::size().unwrap_or_default()))?;
    let attachment = engine.attach(record.id.as_str()).await?;
    if detach { until_running(attachment).await } else { stay(attachment, &record.config, keys).await }
}

/// Waits until the container process runs; its end, where it did not come that far.
async fn until_running(mut attachment: Attachment) -> Result<Option<RunEnd>> {
    loop {
        match attachment.next().await? {
            RunEvent::Running => return Ok(None),
            RunEvent::Ended(end) => return Ok(Some(end)),
            RunEvent::Stdout(_) | RunEvent::Stderr(_) | RunEvent::Exited(_) => {}
        }
    }
}

/// Passes input and output on until the box is gone; none where the user leaves it before.
pub(super) async fn stay(
    attachment: Attachment,
    config: &BoxConfig,
    keys: DetachKeys,
) -> Result<Option<RunEnd>> {
    stay_with(attachment, config.interactive, config.tty, keys).await
}

/// As [`stay`], with a process that may have a terminal and take input.
pub(super) async fn stay_with(
    mut attachment: Attachment,
    interactive: bool,
    tty: bool,
    keys: DetachKeys,
) -> Result<Option<RunEnd>> {
    let mut raw = if tty && interactive { Some(RawMode::enter()?) } else { None };
    let mut feed = tokio::spawn(console::feed(attachment.input(), interactive, tty, Some(keys)));
    let end = loop {
        let event = tokio::select! {
            event = attachment.next() => event?,
            Ok(Detached) = &mut feed => {
                drop(raw);
                eprintln!("read escape sequence");
                return Ok(None);
            }
        };
        let reading = match event {
            RunEvent::Stdout(bytes) => stream::write(Target::Stdout, &bytes)?,
            RunEvent::Stderr(bytes) => stream::write(Target::Stderr, &bytes)?,
            RunEvent::Running => true,
            RunEvent::Exited(_) => {
                raw.take();
                true
            }
            RunEvent::Ended(end) => break end,
        };
        if !reading {
            // Nobody reads any more. A box that would be removed anyway has no purpose left.
            let message = None;
            break RunEnd { code: stream::BROKEN_PIPE.into(), reason: ExitReason::Exited, message };
        }
    };
    feed.abort();
    Ok(Some(end))
}

/// Removes a box after its run; another command may have swept it already.
async fn remove(engine: &Engine, record: &BoxRecord) -> Result<()> {
    match engine.rm(record.id.as_str(), true).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The exit code for `end`, after saying what failed, where something did.
pub(super) fn report(record: &BoxRecord, end: &RunEnd) -> Result<u8> {
    let Some(message) = &end.message else { return Ok(exit_code(end.code)) };
    match end.reason {
        ExitReason::BootTimeout | ExitReason::BootFailed | ExitReason::VmmCrashed => {
            eprintln!("error: box {} failed: {message}", record.name);
            Ok(OURS)
        }
        ExitReason::StartFailed => {
            eprintln!("error: box {}: {message}", record.name);
            Ok(exit_code(end.code))
        }
        _ => Ok(exit_code(end.code)),
    }
}

/// As Docker does: a terminal in the box makes sense only with a terminal here, unless nobody types into it.
fn refuse_tty_without_terminal(asked: &BoxArgs, detach: bool) -> Result<()> {
    if asked.wants_terminal() && !detach && !console::stdin_is_terminal() {
        return Err(BoxError::new(ErrorKind::InvalidInput, "standard input is not a terminal")
            .with_hint("leave -t out where input comes from a file or a pipe"));
    }
    Ok(())
}
