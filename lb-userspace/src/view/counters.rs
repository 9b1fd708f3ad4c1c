//! `xdplb counters`.

use super::style::{Paint, Style};
use super::table::{Cell, Column, Table};
use crate::control::types::Counters;

/// Every counter, those at zero faint and drops that happened marked.
pub fn counters(counters: &Counters, style: &Style) -> String {
    if counters.is_empty() {
        return "no counters\n".to_owned();
    }
    let rows: Vec<Vec<Cell>> = counters
        .iter()
        .map(|(name, value)| {
            let paint = match value {
                0 => Paint::Faint,
                _ if name.starts_with("drop_") => Paint::Caution,
                _ => Paint::Plain,
            };
            vec![Cell::painted(&name, paint), Cell::painted(&value, paint)]
        })
        .collect();
    Table::whole(vec![Column::left("counter"), Column::right("packets")], &rows, style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::samples;

    #[test]
    fn names_left_and_numbers_right() {
        let expected = "\
counter            packets
drop_fragment            2
drop_orphan_reply       15
forwarded            51234
passed_not_ours      90321
";
        let style = Style::plain(samples::moment(0).time());
        assert_eq!(counters(&samples::counters(), &style), expected, "aligned");
    }
}
