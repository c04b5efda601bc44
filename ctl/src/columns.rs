//! Plain text tables: one row a line, columns padded to their widest cell, two spaces between, nothing after the last.
//!
//! No frames and no dependence on a terminal, so that a serial console, a log file and `grep` see the same. A cell may carry a colour, which
//! the output stream drops where nobody wants it (no terminal, `NO_COLOR`).

use anstyle::{AnsiColor, Style};
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// One cell: text that is already fit to print.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// The same cell in colour.
    pub fn coloured(mut self, style: Style) -> Self {
        self.style = style;
        self
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// Something an operator must not overlook.
pub const ALARM: Style = AnsiColor::Red.on_default().bold();
/// Something worth a look.
pub const NOTICE: Style = AnsiColor::Yellow.on_default();
/// As it should be.
pub const FINE: Style = AnsiColor::Green.on_default();
const HEADER: Style = Style::new().bold();

/// Rows under one header. Columns whose header begins with `>` are aligned to the right.
#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    /// Of each column, the widest cell so far.
    widths: Vec<usize>,
}

impl Table {
    /// An empty table.
    pub fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new(), widths: Vec::new() }
    }

    /// Adds a row of as many cells as the header has.
    pub fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.header.len(), "one cell per column");
        self.rows.push(cells.into());
    }

    /// Writes the rows that were added since the last time, the first time below the header. Columns never get narrower, so that a
    /// stream of rows stays one table as far as it can.
    pub fn write_rows(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let titles: Vec<Cell> = self.header.iter().map(|title| Cell::from(title.trim_start_matches('>')).coloured(HEADER)).collect();
        let begun = !self.widths.is_empty();
        self.widths.resize(titles.len(), 0);
        for row in self.rows.iter().chain([&titles]) {
            self.widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.text.width().max(*width));
        }
        if !begun {
            self.write_row(out, &titles)?;
        }
        let rows = std::mem::take(&mut self.rows);
        rows.iter().try_for_each(|row| self.write_row(out, row))
    }

    fn write_row(&self, out: &mut dyn Write, row: &[Cell]) -> io::Result<()> {
        let mut gap = 0;
        for ((cell, &width), title) in row.iter().zip(&self.widths).zip(&self.header) {
            let padding = width - cell.text.width();
            let (before, after) = if title.starts_with('>') { (padding, 0) } else { (0, padding) };
            if !cell.text.is_empty() {
                let Cell { text, style } = cell;
                write!(out, "{:gap$}{:before$}{style}{text}{style:#}", "", "")?;
                gap = 0;
            } else {
                gap += before;
            }
            gap += after + 2;
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(table: &mut Table) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        table.write_rows(&mut out).expect("a vector takes everything");
        String::from_utf8(out.into_inner()).expect("text in, text out")
    }

    #[test]
    fn pads_columns_and_leaves_no_space_at_the_end_of_a_line() {
        let mut table = Table::new(&["KEY", ">SCORE", "WHY"]);
        table.row(["a.test".into(), "90".into(), Cell::from("listed").coloured(ALARM)]);
        table.row(["long.example.test".into(), "5".into(), "".into()]);
        assert_eq!(plain(&mut table), "KEY                SCORE  WHY\na.test                90  listed\nlong.example.test      5\n");
    }

    #[test]
    fn goes_on_where_it_stopped() {
        let mut table = Table::new(&["KEY", "WHY"]);
        table.row(["long.example.test".into(), "x".into()]);
        plain(&mut table);
        table.row(["a.test".into(), "y".into()]);
        assert_eq!(plain(&mut table), "a.test             y\n");
    }

    #[test]
    fn counts_wide_characters_as_a_terminal_does() {
        let mut table = Table::new(&["KEY", "WHY"]);
        table.row(["例え.test".into(), "x".into()]);
        table.row(["abcdefgh".into(), "y".into()]);
        assert_eq!(plain(&mut table), "KEY        WHY\n例え.test  x\nabcdefgh   y\n");
    }
}
