//! Tables: columns as wide as their widest cell, three spaces between them, as Docker prints them.

use std::io::{self, BufWriter, Write};

/// Prints `rows` under `head`.
pub(crate) fn print(head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    for line in lines {
        let padded: String =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}   ")).collect();
        writeln!(out, "{}", padded.trim_end())?;
    }
    out.flush()
}

/// `text` without control characters, and cut to `width` letters.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= width {
        return clean;
    }
    clean.chars().take(width - 1).chain(['…']).collect()
}
