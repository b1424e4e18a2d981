//! The options that say what follows the end of a box, when it has to end, and what it is labelled.

use crate::file::read_text;
use a3s_box_core::{RestartPolicy, Result, RunPolicy};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A label file longer than this is none.
const MAX_LABELS: u64 = 1 << 20;

#[derive(Args, Clone)]
pub(crate) struct PolicyArgs {
    /// Whether to start the box again when it has ended: no, on-failure, on-failure:N, always or unless-stopped
    #[arg(long, value_name = "POLICY", default_value = "no")]
    restart: RestartPolicy,
    /// Seconds after which the box is stopped
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Seconds without exec, job, attach, output or input after which the box is stopped
    #[arg(long, value_name = "SECONDS")]
    idle_timeout: Option<u32>,
    /// Label the box
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Read labels from a file, one KEY=VALUE a line
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
}

impl PolicyArgs {
    /// The policy, and the labels: those of files first, single ones over them.
    pub(crate) fn read(self) -> Result<(RunPolicy, BTreeMap<String, String>)> {
        let mut labels = BTreeMap::new();
        let mut add = |text: &str| {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            labels.insert(key.to_owned(), value.to_owned());
        };
        for file in &self.label_file {
            for line in read_text("label file", file, MAX_LABELS)?.lines() {
                let line = line.trim_start();
                if !line.is_empty() && !line.starts_with('#') {
                    add(line);
                }
            }
        }
        self.label.iter().for_each(|text| add(text));
        let policy =
            RunPolicy { restart: self.restart, timeout: self.timeout, idle_timeout: self.idle_timeout };
        Ok((policy, labels))
    }
}
