//! The report, as tables that read well on a terminal and in Markdown alike.
//!
//! comfy-table's Markdown has no alignment row, so that numbers would not be aligned to the right where it is rendered.

use std::{fmt, time::Duration};

use indicatif::HumanCount;

/// One part of the report.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// The method, a paragraph each.
    pub(crate) method: Vec<String>,
    pub(crate) tables: Vec<Table>,
    /// The bounds that do not hold. They are no timings: each fails the run.
    pub(crate) broken: Vec<String>,
}

/// A table: its first row is the header.
#[derive(Debug)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self(vec![header.map(str::to_owned).into()])
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.first().map_or(0, Vec::len);
        let cells = |column: usize| self.0.iter().filter_map(move |row| row.get(column));
        let width = |column| cells(column).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (index, row) in self.0.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Names to the left, numbers to the right.
                if column == 0 {
                    write!(f, "| {cell:<width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            f.write_str("|\n")?;
            if index == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let end = if column == 0 { '-' } else { ':' };
                    write!(f, "|{}{end}", "-".repeat(width + 1))?;
                }
                f.write_str("|\n")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n", self.title)?;
        for paragraph in &self.method {
            writeln!(f, "{}\n", wrapped(paragraph))?;
        }
        for (index, table) in self.tables.iter().enumerate() {
            write!(f, "{}{table}", if index == 0 { "" } else { "\n" })?;
        }
        for broken in &self.broken {
            writeln!(f, "\n**Broken: {broken}**")?;
        }
        Ok(())
    }
}

/// Lines of at most 120 characters.
fn wrapped(paragraph: &str) -> String {
    let options = textwrap::Options::new(120).word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(paragraph, options)
}

/// A goal beside what was measured. Missing one is no failure of the run: a slow machine may.
pub(crate) fn goal(text: &str, reached: bool) -> String {
    format!("{text} {}", if reached { "✓" } else { "✗" })
}

/// A short time as people read it.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Bytes as people read them.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A count with separators of thousands.
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_markdown() {
        let mut table = Table::new(["what", "time"]);
        table.row(["a".to_owned(), "1.25 s".to_owned()]);
        assert_eq!(table.to_string(), "| what |   time |\n|------|-------:|\n| a    | 1.25 s |\n");
    }

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1000, 5_000_000].map(count), ["0", "999", "1,000", "5,000,000"]);
    }

    #[test]
    fn paragraphs_are_wrapped_between_words() {
        let text = wrapped(&"word ".repeat(60));
        assert!(text.lines().count() == 3 && text.lines().all(|line| line.len() <= 120), "{text}");
    }
}
