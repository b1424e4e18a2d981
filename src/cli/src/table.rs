//! Tables: columns as wide as their widest cell, three spaces between them, as Docker prints them. On a terminal no row
//! is wider than that: what can be cut short is.

use crate::console;
use std::io::{self, BufWriter, Write};

const GAP: usize = 3;
/// Columns that still say something when they are cut short, by their heads.
const SHORTENED: [&str; 19] = [
    "BOX",
    "BOXES",
    "COMMAND",
    "COMMENT",
    "CREATED BY",
    "DIGEST",
    "IMAGE",
    "LABELS",
    "MOUNTPOINT",
    "MOUNTS",
    "NAME",
    "NAMES",
    "NETWORK",
    "NETWORKS",
    "PORTS",
    "REPOSITORY",
    "STATUS",
    "TAG",
    "VOLUME NAME",
];
/// What these columns are left with, and what all the others are where that does not do.
const LEAST: [usize; 2] = [8, 3];

/// Whether a table is cut to the terminal's width, where it goes to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It is.
    Terminal,
    /// It is not: the user wants all of it.
    Whole,
}

impl Fit {
    /// What `--no-trunc` asks for.
    pub(crate) fn unless(no_trunc: bool) -> Self {
        if no_trunc { Self::Whole } else { Self::Terminal }
    }
}

/// Prints `rows` under `head`.
pub(crate) fn print(head: &[&str], rows: &[Vec<String>], fit: Fit) -> io::Result<()> {
    let room = match fit {
        Fit::Terminal if console::stdout_is_terminal() => console::size().map(|size| usize::from(size.cols)),
        _ => None,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    for line in lines(head, rows, room) {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// The lines of the table, none of them wider than `room`.
fn lines(head: &[&str], rows: &[Vec<String>], room: Option<usize>) -> Vec<String> {
    let top: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&top).chain(rows).collect();
    let widest =
        |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| width(cell)).max();
    let mut widths: Vec<usize> = (0..head.len()).map(|column| widest(column).unwrap_or(0)).collect();
    if let Some(room) = room {
        shrink(&mut widths, head, room);
    }
    let line = |cells: &&Vec<String>| {
        let mut text = String::new();
        for (cell, width_of) in cells.iter().zip(&widths) {
            let cell = cut(cell, *width_of);
            text.push_str(&cell);
            text.extend(std::iter::repeat_n(' ', width_of - width(&cell).min(*width_of) + GAP));
        }
        let text = text.trim_end();
        room.map_or_else(|| text.to_owned(), |room| cut(text, room))
    };
    lines.iter().map(line).collect()
}

/// Takes from the widest columns, first of those that bear it, until a row fits into `room`.
fn shrink(widths: &mut [usize], head: &[&str], room: usize) {
    let mut over = (widths.iter().sum::<usize>() + GAP * head.len().saturating_sub(1)).saturating_sub(room);
    for (round, least) in LEAST.into_iter().enumerate() {
        while over > 0 {
            let bears =
                |column: &usize| widths[*column] > least && (round > 0 || SHORTENED.contains(&head[*column]));
            let Some(column) = (0..widths.len()).filter(bears).max_by_key(|column| widths[*column]) else {
                break;
            };
            widths[column] -= 1;
            over -= 1;
        }
    }
}

/// How many columns of a terminal `text` takes: East Asian letters and pictures are twice as wide.
fn width(text: &str) -> usize {
    text.chars().map(wide).sum()
}

fn wide(c: char) -> usize {
    if matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
    {
        2
    } else {
        1
    }
}

/// `text`, or its begin and `…` where it is wider than `room`.
fn cut(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut taken = 1;
    for c in text.chars() {
        taken += wide(c);
        if taken > room {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

/// `text` without control characters, and cut to `width` letters.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= width {
        return clean;
    }
    clean.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_wider_than_the_room() {
        let rows = vec![
            vec![
                "0123456789ab".to_owned(),
                "registry.example/some/image:tag".into(),
                "Up 3 minutes".into(),
                "web".into(),
            ],
            vec![
                "ba9876543210".into(),
                "図書館の画像".into(),
                "Exited (0)".into(),
                "a-name-that-goes-on-and-on".into(),
            ],
        ];
        let head = ["BOX ID", "IMAGE", "STATUS", "NAMES"];
        let whole = lines(&head, &rows, None);
        assert!(
            whole[1].contains("some/image:tag   Up") && whole[2].ends_with("goes-on-and-on"),
            "{whole:?}"
        );
        for room in (1..120).rev() {
            let table = lines(&head, &rows, Some(room));
            assert!(table.iter().all(|line| width(line) <= room), "{room}: {table:?}");
            // What is not cut comes first.
            assert!(room < 60 || table[1].starts_with("0123456789ab   registry"), "{room}: {table:?}");
        }
        assert_eq!(lines(&head, &rows, Some(120)), whole);
        assert!(lines(&head, &rows, Some(60))[2].ends_with('…'));
    }
}
