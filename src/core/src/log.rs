//! The process log of a box: how much of it is kept, and its records, a JSON object a line.

use crate::{BoxError, Bytes, ErrorKind, Result};
use serde::{Deserialize, Serialize};

const MIN_FILE: Bytes = Bytes(4 << 10);
const MAX_FILES: u32 = 100;

/// How much of what the container process writes is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// How long a file may grow.
    pub max_size: Bytes,
    /// How many files there may be, the one that is written to included.
    pub max_file: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { max_size: Bytes::mib(16), max_file: 2 }
    }
}

impl LogConfig {
    /// What `options` (`max-size=10m`, `max-file=3`) ask for, over this.
    ///
    /// # Errors
    /// `InvalidInput` for an option that is none, and a value that makes no sense.
    pub fn with(mut self, options: &[String]) -> Result<Self> {
        let refuse = |what: String| {
            BoxError::new(ErrorKind::InvalidInput, what)
                .with_hint("the options there are: max-size=SIZE, such as 10m, and max-file=COUNT")
        };
        for option in options {
            match option.split_once('=') {
                Some(("max-size", size)) => self.max_size = size.parse()?,
                Some(("max-file", count)) => {
                    self.max_file = count
                        .parse()
                        .map_err(|_| refuse(format!("invalid number of log files {count:?}")))?;
                }
                _ => return Err(refuse(format!("unknown log option {option:?}"))),
            }
        }
        self.validate().map(|()| self)
    }

    /// Refuses figures that make no sense.
    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |what, hint| Err(BoxError::new(ErrorKind::InvalidInput, what).with_hint(hint));
        if self.max_size < MIN_FILE {
            return refuse(
                format!("invalid log size {}", self.max_size),
                format!("give it at least {MIN_FILE}"),
            );
        }
        if !(1..=MAX_FILES).contains(&self.max_file) {
            return refuse(
                format!("invalid number of log files {}", self.max_file),
                format!("ask for 1 to {MAX_FILES}"),
            );
        }
        Ok(())
    }

    /// The names of the files of the log `stem`, the oldest first and the one that is written to last.
    pub fn files(&self, stem: &str) -> Vec<String> {
        let older = (1..self.max_file).rev().map(|n| format!("{stem}.{n}.jsonl"));
        older.chain([format!("{stem}.jsonl")]).collect()
    }
}

/// Which stream of the container process a record came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One chunk of output, as the shim writes it to `log.jsonl` and `logs` reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When the host received it, in microseconds since the UNIX epoch.
    pub time: u64,
    /// Where from.
    pub stream: LogStream,
    /// The bytes, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The bytes, where they are not: two hexadecimal digits each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_hex: Option<String>,
}

impl LogRecord {
    /// A record of `bytes`; no byte is lost or changed.
    pub fn new(time: u64, stream: LogStream, bytes: &[u8]) -> Self {
        let (log, log_hex) = match std::str::from_utf8(bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(bytes.iter().map(|b| format!("{b:02x}")).collect())),
        };
        Self { time, stream, log, log_hex }
    }

    /// The bytes that were logged; none where the record is damaged.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match (&self.log, &self.log_hex) {
            (Some(text), None) => Some(text.clone().into_bytes()),
            (None, Some(hex)) if hex.is_ascii() && hex.len().is_multiple_of(2) => {
                (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).ok()).collect()
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_say_how_much_is_kept() {
        let with = |options: &[&str]| {
            let options: Vec<_> = options.iter().map(|&o| o.to_owned()).collect();
            LogConfig::default().with(&options)
        };
        let config = with(&["max-size=10m", "max-file=3"]).unwrap();
        assert_eq!(config, LogConfig { max_size: Bytes::mib(10), max_file: 3 });
        assert_eq!(config.files("log"), ["log.2.jsonl", "log.1.jsonl", "log.jsonl"]);
        for bad in ["max-size=1", "max-size=x", "max-file=0", "max-file=x", "max-file=1000", "mode=fast", "x"]
        {
            assert_eq!(with(&[bad]).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
    }

    #[test]
    fn every_byte_survives_a_record() {
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [&b""[..], b"plain\n", "äöü".as_bytes(), &all] {
            let record = LogRecord::new(1, LogStream::Stderr, bytes);
            let line = serde_json::to_string(&record).unwrap();
            assert!(!line.contains('\n'));
            let back: LogRecord = serde_json::from_str(&line).unwrap();
            assert_eq!(back.bytes().unwrap(), bytes);
        }
    }
}
