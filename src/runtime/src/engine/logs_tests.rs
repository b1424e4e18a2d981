use super::*;
use crate::Home;
use crate::home::BoxFolder;
use a3s_box_core::{BoxId, LogStream};

fn log(chunks: &[&[u8]]) -> (tempfile::TempDir, BoxFolder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Home::at(dir.path()).unwrap().folder(&BoxId::from_bytes([1; 16]));
    std::fs::create_dir(folder.path()).unwrap();
    let mut count = 0;
    let mut time = || {
        count += 1;
        count
    };
    let text: String = chunks
        .iter()
        .map(|bytes| serde_json::to_string(&LogRecord::new(time(), LogStream::Stdout, bytes)).unwrap() + "\n")
        .collect();
    std::fs::write(folder.path().join("log.jsonl"), text).unwrap();
    (dir, folder)
}

fn cursor(folder: &BoxFolder) -> Cursor<LogRecord> {
    Cursor::new(folder.logs("log", LogConfig::default()), folder)
}

fn collect(run: impl FnOnce(Sink<'_, LogRecord>) -> io::Result<()>) -> String {
    let mut all = Vec::new();
    run(&mut |record| {
        all.extend(record.bytes().unwrap());
        Ok(())
    })
    .unwrap();
    String::from_utf8(all).unwrap()
}

#[test]
fn the_tail_is_counted_in_lines_wherever_the_chunks_break() {
    for chunks in [&[&b"one\ntwo\nthree\nfour"[..]][..], &[b"on", b"e\ntw", b"o\nthree\nfo", b"ur"]] {
        let (_dir, folder) = log(chunks);
        for (lines, text) in [(0, ""), (1, "four"), (2, "three\nfour"), (9, "one\ntwo\nthree\nfour")] {
            let tail = collect(|sink| last(&mut cursor(&folder), lines, &LogRange::default(), sink));
            assert_eq!(tail, text, "{lines} lines of {chunks:?}");
        }
    }
}

#[test]
fn rotation_and_a_half_written_record_lose_nothing() {
    let (_dir, folder) = log(&[b"a\n", b"b\n"]);
    let [old, new] = ["log.1.jsonl", "log.jsonl"].map(|name| folder.path().join(name));
    std::fs::rename(&new, &old).unwrap();
    let record = serde_json::to_string(&LogRecord::new(1, LogStream::Stderr, b"c\n")).unwrap() + "\n";
    std::fs::write(&new, &record[..10]).unwrap();
    let mut cursor = cursor(&folder);
    assert_eq!(collect(|sink| cursor.read(sink)), "a\nb\n");
    std::fs::OpenOptions::new()
        .append(true)
        .open(&new)
        .and_then(|mut file| io::Write::write_all(&mut file, &record.as_bytes()[10..]))
        .unwrap();
    assert_eq!(collect(|sink| cursor.read(sink)), "c\n");
}

#[test]
fn the_end_of_a_long_log_is_found_in_any_of_its_files() {
    let (_dir, folder) = log(&[]);
    let config = LogConfig { max_file: 4, ..LogConfig::default() };
    for (name, range) in [("log.3", 0..100), ("log.2", 100..105), ("log.1", 105..106), ("log", 106..108)] {
        let lines = range.map(|n| {
            let record = LogRecord::new(n, LogStream::Stdout, format!("{n}\n").as_bytes());
            serde_json::to_string(&record).unwrap() + "\n"
        });
        std::fs::write(folder.path().join(format!("{name}.jsonl")), lines.collect::<String>()).unwrap();
    }
    let shown = |range: LogRange| {
        let text = collect(|sink| show(&folder, "log", config, &|| Ok(true), range, sink));
        text.lines().map(|line| line.parse().unwrap()).collect::<Vec<u64>>()
    };
    let all = LogRange::default();
    assert_eq!(shown(all), (0..108).collect::<Vec<_>>());
    for tail in [0, 1, 2, 3, 5, 8, 50, 108, 1000] {
        let first = 108u64.saturating_sub(tail);
        let tail = usize::try_from(tail).ok();
        assert_eq!(shown(LogRange { tail, ..all }), (first..108).collect::<Vec<_>>(), "{tail:?}");
    }
    let (since, until) = (Some(99), Some(104));
    assert_eq!(shown(LogRange { since, ..all }), (99..108).collect::<Vec<_>>());
    assert_eq!(shown(LogRange { since, until, ..all }), (99..105).collect::<Vec<_>>());
    assert_eq!(shown(LogRange { since, until, tail: Some(2), ..all }), [103, 104]);
    assert_eq!(shown(LogRange { since, until, tail: Some(20), ..all }), (99..105).collect::<Vec<_>>());
}
