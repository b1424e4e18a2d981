//! Jobs: processes that were left running in a box, how they are named, and what the shim writes down of each.

use crate::{BoxError, Bytes, ErrorKind, LogConfig, Result};
use serde::{Deserialize, Serialize};

/// What is kept of a job's output.
pub const JOB_LOG: LogConfig = LogConfig { max_size: Bytes::mib(1), max_file: 2 };

/// What stands between a box and the number of its job. No box's name holds it.
const MARK: char = '%';

/// A job as it is named: `BOX%NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobName {
    /// The box, by name, id, or a prefix of that.
    pub of: String,
    /// The job's number in it.
    pub number: u32,
}

impl JobName {
    /// The job that `text` names; none where it can only be a box.
    ///
    /// # Errors
    /// `InvalidInput` for a job without a number.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let Some((of, number)) = text.split_once(MARK) else { return Ok(None) };
        match number.parse() {
            Ok(number) if !of.is_empty() => Ok(Some(Self { of: of.to_owned(), number })),
            _ => Err(BoxError::new(ErrorKind::InvalidInput, format!("invalid job {text:?}"))
                .with_hint("write BOX%NUMBER; see `a3s-box jobs`")),
        }
    }

    /// The name of the job `number` of the box `of`.
    pub fn text(of: &str, number: u32) -> String {
        format!("{of}{MARK}{number}")
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobExit {
    /// The exit code as a shell would report it: 128+n for a death by signal n.
    pub code: i32,
    /// When, in microseconds since the UNIX epoch.
    pub at: u64,
    /// What failed, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// `job.N.json`: a job, written by the shim alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobRecord {
    /// Its number. A box never uses one again.
    pub number: u32,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its process's id inside the box.
    pub pid: i32,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input is open to whoever attaches.
    pub stdin: bool,
    /// When it began, in microseconds since the UNIX epoch.
    pub started_at: u64,
    /// Its end, once it came.
    pub exit: Option<JobExit>,
}

impl JobRecord {
    /// The stem of the names of the files that a job has in its box's folder.
    pub fn stem(number: u32) -> String {
        format!("job.{number}")
    }

    /// The name of the file of a job.
    pub fn file(number: u32) -> String {
        format!("job.{number}.json")
    }

    /// The number of the job whose file is called `name`.
    pub fn number_of(name: &str) -> Option<u32> {
        name.strip_prefix("job.")?.strip_suffix(".json")?.parse().ok()
    }

    /// What becomes of a job whose box ended without a word of it.
    pub fn lost(&mut self, at: u64) {
        if self.exit.is_none() {
            self.exit = Some(JobExit { code: 137, at, message: Some("the box ended".to_owned()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_no_box() {
        let job = JobName::parse("web%12").unwrap().unwrap();
        assert_eq!((job.of.as_str(), job.number), ("web", 12));
        assert_eq!(JobName::text(&job.of, job.number), "web%12");
        assert_eq!(JobName::parse("web.1-x").unwrap(), None);
        for bad in ["%1", "web%", "web%x", "web%-1", "web%1%2"] {
            assert_eq!(JobName::parse(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
            assert!(bad.parse::<crate::BoxName>().is_err());
        }
        assert_eq!(JobRecord::number_of(&JobRecord::file(7)), Some(7));
        assert_eq!(JobRecord::number_of("job.7.1.jsonl"), None);
    }
}
