//! Tables as text.

/// The side at which the cells of a column begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Returns a table with a line of headings.
pub(crate) fn table<const N: usize>(columns: [(&str, Align); N], rows: &[[String; N]]) -> String {
    let headings = columns.map(|(heading, _)| heading.to_owned());
    lines(columns.map(|(_, align)| align), &[&[headings], rows].concat())
}

/// Returns names with their values.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let rows: Vec<[String; 2]> = rows.iter().map(|(name, value)| [(*name).to_owned(), value.clone()]).collect();
    lines([Align::Left, Align::Left], &rows)
}

fn lines<const N: usize>(align: [Align; N], rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).zip(align).map(|((cell, width), align)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "1".to_owned()], ["löng".to_owned(), "1000".to_owned()]];
        let text = table([("name", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(text, "name     n\na        1\nlöng  1000");
    }

    #[test]
    fn a_line_has_no_spaces_at_its_end() {
        assert_eq!(pairs(&[("job", "1".to_owned()), ("checksum", String::new())]), "job       1\nchecksum");
    }
}
