//! The log of a process: records in files that are kept short, of which the oldest goes when there are too many.

use crate::status::now;
use a3s_box_core::{LogConfig, LogRecord, LogStream};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};

/// A log. One that cannot be written does not stop the process.
pub(crate) struct Log {
    /// The oldest first.
    names: Vec<String>,
    most: u64,
    file: Option<File>,
    written: u64,
}

impl Log {
    /// Goes on where the log `stem` ended, such as that of the last run.
    pub(crate) fn open(stem: &str, config: LogConfig) -> io::Result<Self> {
        let mut log = Self { names: config.files(stem), most: config.max_size.0, file: None, written: 0 };
        log.reopen()?;
        Ok(log)
    }

    /// Adds a record of `bytes`.
    pub(crate) fn write(&mut self, stream: LogStream, bytes: &[u8]) {
        let Ok(mut line) = serde_json::to_vec(&LogRecord::new(now(), stream, bytes)) else { return };
        line.push(b'\n');
        if let Err(error) = self.append(&line) {
            tracing::warn!(%error, "the log cannot be written");
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.written > 0 && self.written + line.len() as u64 > self.most {
            self.file = None;
            self.rotate()?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line)?;
            self.written += line.len() as u64;
        }
        Ok(())
    }

    /// Every file takes the place of the one before it.
    fn rotate(&self) -> io::Result<()> {
        for pair in self.names.windows(2) {
            match std::fs::rename(&pair[1], &pair[0]) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        match self.names.as_slice() {
            [only] => std::fs::remove_file(only),
            _ => Ok(()),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let Some(name) = self.names.last() else { return Ok(()) };
        let file = OpenOptions::new().create(true).append(true).open(name)?;
        self.written = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use a3s_box_core::Bytes;

    #[test]
    fn a_log_is_kept_short() {
        let dir = tempfile::tempdir().unwrap();
        let stem = dir.path().join("log").display().to_string();
        for count in [1, 2, 4] {
            let config = LogConfig { max_size: Bytes(4 << 10), max_file: count };
            let mut log = Log::open(&stem, config).unwrap();
            for n in 0..500 {
                log.write(LogStream::Stdout, format!("line {n}\n").as_bytes());
            }
            let sizes = |count: u32| -> Vec<u64> {
                let files = LogConfig { max_file: count, ..config }.files(&stem);
                files.iter().flat_map(std::fs::metadata).map(|data| data.len()).collect()
            };
            assert!(sizes(count).iter().all(|size| *size <= 4 << 10));
            assert_eq!(sizes(count).len(), usize::try_from(count).unwrap());
            assert_eq!(sizes(count + 1).len(), sizes(count).len(), "no further file");
            let newest = std::fs::read_to_string(format!("{stem}.jsonl")).unwrap();
            assert!(newest.lines().last().unwrap().contains("line 499"));
        }
    }
}
