//! A log of lines that several processes append to: whole lines or none, and never more than two files.

use a3s_box_files::Lock;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Each holds the lock for as long as a write takes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The files of the log at `path`, the older part first.
pub fn files(path: &Path) -> [PathBuf; 2] {
    [path.with_extension("1.jsonl"), path.to_owned()]
}

/// Appends `line` and its end to the log at `path`, which becomes the older part when it has grown to `most` bytes.
///
/// # Errors
/// Those of open(2), write(2) and rename(2); `TimedOut` where another process holds the log.
pub fn append(path: &Path, most: u64, line: &[u8]) -> io::Result<()> {
    let _lock = Lock::exclusive(&path.with_extension("lock"), PATIENCE)?;
    let mut file = open(path)?;
    let mut length = file.metadata()?.len();
    if length > 0 && length + line.len() as u64 >= most {
        std::fs::rename(path, &files(path)[0])?;
        file = open(path)?;
        length = 0;
    }
    let mut bytes = Vec::with_capacity(line.len() + 2);
    // A writer that was killed may have left half a line; ours must not become a part of it.
    if length > 0 && last_byte(&mut file)? != b'\n' {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
    file.write_all(&bytes).inspect_err(|_| drop(file.set_len(length)))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_many_writers_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        std::fs::write(&path, "half a li").unwrap();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    for n in 0..50 {
                        append(path, 1 << 20, format!("{writer}:{n}").as_bytes()).unwrap();
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 401);
        assert_eq!(text.lines().next(), Some("half a li"));
        assert!(text.lines().skip(1).all(|line| line.split(':').count() == 2 && line.len() <= 4));
    }

    #[test]
    fn the_log_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        for n in 0..1000 {
            append(&path, 1000, format!("event {n}").as_bytes()).unwrap();
        }
        let [older, newer] = files(&path).map(|file| std::fs::read_to_string(file).unwrap());
        assert!(older.len() <= 1000 && newer.len() <= 1000);
        assert!(newer.ends_with("event 999\n"), "{newer}");
        let last = older.lines().next_back().unwrap();
        let first = newer.lines().next().unwrap();
        let number = |line: &str| line[6..].parse::<u32>().unwrap();
        assert_eq!(number(last) + 1, number(first), "nothing is lost between the two");
    }
}
