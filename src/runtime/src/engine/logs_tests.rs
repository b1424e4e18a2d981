use super::*;
use crate::Home;
use crate::home::BoxFolder;
use a3s_box_core::{BoxId, LogStream};

fn log(chunks: &[&[u8]]) -> (tempfile::TempDir, BoxFolder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = Home::at(dir.path()).unwrap().folder(&BoxId::from_bytes([1; 16]));
    std::fs::create_dir(folder.path()).unwrap();
    let text: String = chunks
        .iter()
        .map(|bytes| serde_json::to_string(&LogRecord::new(1, LogStream::Stdout, bytes)).unwrap() + "\n")
        .collect();
    std::fs::write(&folder.logs()[1], text).unwrap();
    (dir, folder)
}

fn cursor(folder: &BoxFolder) -> Cursor<LogRecord> {
    Cursor::new(folder.logs(), folder)
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
            let tail = collect(|sink| last(&mut cursor(&folder), lines, sink));
            assert_eq!(tail, text, "{lines} lines of {chunks:?}");
        }
    }
}

#[test]
fn rotation_and_a_half_written_record_lose_nothing() {
    let (_dir, folder) = log(&[b"a\n", b"b\n"]);
    let [old, new] = folder.logs();
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
