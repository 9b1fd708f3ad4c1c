//! Aligned columns, two spaces apart, no lines; the least important columns give way on a narrow terminal.

use super::style::{Paint, Style, clean};

/// Between two columns.
const GAP: &str = "  ";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// One column's name and manners.
#[derive(Debug, Clone)]
pub(super) struct Column {
    name: String,
    align: Align,
    /// Columns with a rank give way on a narrow terminal, the highest first; those without never do.
    rank: u8,
}

impl Column {
    pub(super) fn left(name: &str) -> Self {
        Self { name: clean(name), align: Align::Left, rank: 0 }
    }

    pub(super) fn right(name: &str) -> Self {
        Self { align: Align::Right, ..Self::left(name) }
    }

    /// May be left out, before those of lower rank.
    pub(super) fn optional(self, rank: u8) -> Self {
        Self { rank, ..self }
    }
}

/// One cell's text and colour.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    pub(super) fn painted(text: &impl ToString, paint: Paint) -> Self {
        Self { text: clean(&text.to_string()), paint }
    }

    pub(super) fn new(text: &impl ToString) -> Self {
        Self::painted(text, Paint::Plain)
    }
}

/// A table that may grow while it is written: widths only ever grow, and the columns shown are settled by the
/// first rows.
#[derive(Debug, Clone)]
pub(super) struct Table {
    columns: Vec<Column>,
    widths: Vec<usize>,
    /// `None` until the first rows have settled it.
    shown: Option<Vec<usize>>,
}

impl Table {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let widths = columns.iter().map(|column| length(&column.name)).collect();
        Self { columns, widths, shown: None }
    }

    /// Heading and rows, once.
    pub(super) fn whole(columns: Vec<Column>, rows: &[Vec<Cell>], style: &Style) -> String {
        Self::new(columns).rows(rows, style)
    }

    /// Whether heading and rows with every column fit the terminal.
    pub(super) fn fits(columns: &[Column], rows: &[Vec<Cell>], style: &Style) -> bool {
        let mut table = Self::new(columns.to_vec());
        table.measure(rows);
        let all: Vec<usize> = (0..table.columns.len()).collect();
        style.width.is_none_or(|width| table.width(&all) <= width)
    }

    /// The next rows, with the heading before the first.
    pub(super) fn rows(&mut self, rows: &[Vec<Cell>], style: &Style) -> String {
        self.measure(rows);
        let mut text = String::new();
        if self.shown.is_none() {
            self.shown = Some(self.settle(style.width));
            let heading: Vec<Cell> =
                self.columns.iter().map(|column| Cell::painted(&column.name, Paint::Heading)).collect();
            text.push_str(&self.line(&heading, style));
        }
        for row in rows {
            text.push_str(&self.line(row, style));
        }
        text
    }

    /// The names of the columns that gave way.
    pub(super) fn left_out(&self) -> Vec<&str> {
        let shown = self.shown.as_deref().unwrap_or_default();
        let hidden = |index: &usize| self.shown.is_some() && !shown.contains(index);
        (0..self.columns.len()).filter(hidden).map(|index| self.columns[index].name.as_str()).collect()
    }

    fn measure(&mut self, rows: &[Vec<Cell>]) {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(length(&cell.text));
            }
        }
    }

    fn width(&self, shown: &[usize]) -> usize {
        let cells: usize = shown.iter().map(|index| self.widths[*index]).sum();
        cells + GAP.len() * shown.len().saturating_sub(1)
    }

    fn settle(&self, terminal: Option<usize>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        while terminal.is_some_and(|terminal| self.width(&shown) > terminal) {
            let rank = |index: &usize| self.columns[*index].rank;
            let Some(last) = shown.iter().copied().filter(|index| rank(index) > 0).max_by_key(rank) else {
                break;
            };
            shown.retain(|index| *index != last);
        }
        shown
    }

    fn line(&self, cells: &[Cell], style: &Style) -> String {
        let mut line = String::new();
        let shown = self.shown.as_deref().unwrap_or_default();
        for (place, index) in shown.iter().enumerate() {
            let Some(cell) = cells.get(*index) else { break };
            if place > 0 {
                line.push_str(GAP);
            }
            // Padded outside the colour, so that escape codes do not count as columns.
            let padding = " ".repeat(self.widths[*index].saturating_sub(length(&cell.text)));
            let text = style.paint(cell.paint, &cell.text);
            match self.columns[*index].align {
                Align::Left => line.extend([text, padding]),
                Align::Right => line.extend([padding, text]),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn columns() -> Vec<Column> {
        vec![Column::left("name"), Column::right("flows").optional(1), Column::left("note").optional(2)]
    }

    fn row(name: &str, flows: u64, note: &str) -> Vec<Cell> {
        vec![Cell::new(&name), Cell::painted(&flows, Paint::Good), Cell::new(&note)]
    }

    #[test]
    fn columns_are_aligned_and_lines_end_clean() {
        let style = Style::plain(SystemTime::UNIX_EPOCH);
        let text = Table::whole(columns(), &[row("a", 7, ""), row("longer", 12_345, "x")], &style);
        assert_eq!(text, "name    flows  note\na           7\nlonger  12345  x\n", "left, right, left");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let style = Style { color: true, ..Style::plain(SystemTime::UNIX_EPOCH) };
        let text = Table::whole(columns(), &[row("a", 7, "x")], &style);
        let last = text.lines().last().expect("a row");
        assert_eq!(last, "a         \x1b[32m7\x1b[0m  x", "padded outside the colour");
    }

    #[test]
    fn the_highest_rank_gives_way_first_and_no_rank_never() {
        let narrow = Style { width: Some(12), ..Style::plain(SystemTime::UNIX_EPOCH) };
        let mut table = Table::new(columns());
        assert_eq!(table.rows(&[row("a", 7, "x")], &narrow), "name  flows\na         7\n", "note gives way");
        assert_eq!(table.left_out(), ["note"], "and is named");
        let tiny = Style { width: Some(1), ..narrow };
        assert_eq!(Table::whole(columns(), &[row("a", 7, "x")], &tiny), "name\na\n", "the name stays");
    }

    #[test]
    fn what_could_steer_a_terminal_is_taken_out() {
        let style = Style::plain(SystemTime::UNIX_EPOCH);
        let text = Table::whole(columns(), &[row("a\x1b[2J\nb", 1, "")], &style);
        assert!(text.contains("a?[2J?b"), "no escape and no new line from outside: {text:?}");
    }
}
