//! `diff`: what was added, changed and deleted in a box since its image.

use super::Engine;
use super::files::Incoming;
use a3s_box_agent::proto::agent::{Changes, files_request::Work};
use a3s_box_core::{BoxError, ErrorKind, Result};
use std::io::{BufRead, Read};

/// The most changes that are listed, and their bytes.
const MAX_CHANGES: usize = 4 << 20;
const MAX_BYTES: u64 = 512 << 20;
/// The longest path that Linux takes, its kind and its end.
const MAX_LINE: u64 = 4096 + 2;

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is not in the image.
    Added,
    /// It is another than in the image.
    Changed,
    /// It is in the image alone.
    Deleted,
}

impl Engine {
    /// The changes in the live box that `name` means, in the order of their paths.
    ///
    /// # Errors
    /// `NotFound` for no such box, `WrongState` for one that does not run, `Corrupt` for a list that makes no sense.
    pub async fn diff(&self, name: &str) -> Result<Vec<(Change, Vec<u8>)>> {
        let record = self.running(name)?;
        let what = format!("the list of changes of box {} is damaged", record.name);
        let take = move |input: Incoming| {
            let mut changes =
                parse(input).map_err(|why| BoxError::new(ErrorKind::Corrupt, what).caused_by(why))?;
            changes.sort_by(|(_, a), (_, b)| a.cmp(b));
            Ok(changes)
        };
        self.download(record.id.as_str(), "compare", Work::Changes(Changes {}), take).await
    }
}

fn parse(input: impl BufRead) -> Result<Vec<(Change, Vec<u8>)>, String> {
    let mut input = input.take(MAX_BYTES);
    let mut changes = Vec::new();
    loop {
        let mut line = Vec::new();
        input.by_ref().take(MAX_LINE).read_until(0, &mut line).map_err(|e| e.to_string())?;
        let change = match line.split_last() {
            None => return Ok(changes),
            Some((0, [b'A', path @ ..])) => (Change::Added, path),
            Some((0, [b'C', path @ ..])) => (Change::Changed, path),
            Some((0, [b'D', path @ ..])) => (Change::Deleted, path),
            Some(_) => return Err("a line is none".to_owned()),
        };
        if !change.1.starts_with(b"/") {
            return Err("a path does not begin at the root".to_owned());
        }
        if changes.len() == MAX_CHANGES {
            return Err(format!("there are more than {MAX_CHANGES} changes"));
        }
        changes.push((change.0, change.1.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_parsed_strictly() {
        let list = b"C/etc\0A/etc/new\nline\0D/etc/old\0";
        let changes = parse(&list[..]).unwrap();
        let kinds: Vec<_> = changes.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Change::Changed, Change::Added, Change::Deleted]);
        assert_eq!(changes[1].1, b"/etc/new\nline");
        let long = [&b"A/"[..], &[b'x'; 5000], b"\0"].concat();
        for bad in [&b"A/x"[..], b"X/x\0", b"Ax\0", b"\0", &long] {
            assert!(parse(bad).is_err());
        }
    }
}
