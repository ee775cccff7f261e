//! Tables on the terminal: aligned columns, the last one cut to the width of a terminal and never in a pipe.

use crate::error::one_line;

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// How a cell is painted; the width is measured without it.
type Paint<'a> = Box<dyn Fn(&str) -> String + 'a>;

/// Rows under a header.
pub struct Table<'a> {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<(Vec<String>, Option<Paint<'a>>)>,
}

impl<'a> Table<'a> {
    /// A table with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row: as many cells as there are columns.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push((cells.iter().map(|c| printable(c)).collect(), None));
    }

    /// Adds a row that is painted as a whole.
    pub fn painted(&mut self, cells: Vec<String>, paint: impl Fn(&str) -> String + 'a) {
        self.rows.push((cells.iter().map(|c| printable(c)).collect(), Some(Box::new(paint))));
    }

    /// The text, a line a row. `columns` is the width of the terminal.
    pub fn render(&self, columns: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.columns.iter().map(|(h, _)| width(h)).collect();
        for (cells, _) in &self.rows {
            for (w, cell) in widths.iter_mut().zip(cells) {
                *w = (*w).max(width(cell));
            }
        }
        let mut out = String::new();
        let headers: Vec<String> = self.columns.iter().map(|(h, _)| (*h).to_owned()).collect();
        self.line(&mut out, &headers, &widths, columns, None);
        for (cells, paint) in &self.rows {
            self.line(&mut out, cells, &widths, columns, paint.as_ref());
        }
        out
    }

    fn line(
        &self,
        out: &mut String,
        cells: &[String],
        widths: &[usize],
        columns: Option<usize>,
        paint: Option<&Paint<'a>>,
    ) {
        let mut line = String::new();
        let last = self.columns.len().saturating_sub(1);
        for (i, ((cell, (_, align)), w)) in cells.iter().zip(&self.columns).zip(widths).enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            let pad = " ".repeat(w.saturating_sub(width(cell)));
            match align {
                Align::Right => line.extend([pad.as_str(), cell]),
                Align::Left if i == last => line.push_str(cell),
                Align::Left => line.extend([cell.as_str(), &pad]),
            }
        }
        let line = fit(line.trim_end(), columns);
        out.push_str(&match paint {
            Some(paint) => paint(&line),
            None => line,
        });
        out.push('\n');
    }
}

/// Cuts a line to the terminal's width, with an ellipsis.
pub fn fit(line: &str, columns: Option<usize>) -> String {
    match columns {
        Some(limit) if width(line) > limit => {
            let mut cut: String = line.chars().take(limit.saturating_sub(1)).collect();
            cut.push('…');
            cut
        }
        _ => line.to_owned(),
    }
}

/// Names come from files: without control characters and line breaks, leading blanks kept.
fn printable(cell: &str) -> String {
    if cell.chars().any(char::is_control) { one_line(cell) } else { cell.to_owned() }
}

/// Columns a text takes. Every character counts as one: wide scripts in symbol names are rare.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_only_terminals_cut() {
        let mut t = Table::new(&[("value", Align::Right), ("function", Align::Left)]);
        t.row(vec!["1.0 KiB".into(), "a::long::name\n\u{1b}[2J".into()]);
        t.row(vec!["3 B".into(), "b".into()]);
        assert_eq!(t.render(None), "  value  function\n1.0 KiB  a::long::name [2J\n    3 B  b\n");
        assert_eq!(t.render(Some(12)), "  value  fu…\n1.0 KiB  a:…\n    3 B  b\n");
    }
}
