//! `xdplb flows`, chunk by chunk: a million flows never lie in memory at once.

use std::time::Duration;

use super::style::{Paint, Style, duration};
use super::table::{Cell, Column, Table};
use crate::control::types::Flow;

/// A table of flows that grows: print what [`rows`](Self::rows) returns for every chunk, then
/// [`end`](Self::end).
#[derive(Debug, Clone)]
pub struct FlowTable {
    table: Table,
    style: Style,
    empty: bool,
}

impl FlowTable {
    /// An empty table.
    pub fn new(style: &Style) -> Self {
        // Client, backend and state always stay; the sums give way first, then what the configuration tells too.
        let columns = vec![
            Column::left("client"),
            Column::left("vip").optional(4),
            Column::left("snat").optional(1),
            Column::left("backend"),
            Column::left("backend address").optional(5),
            Column::left("state"),
            Column::right("age").optional(3),
            Column::right("idle").optional(2),
            Column::right("packets").optional(6),
            Column::right("bytes").optional(7),
        ];
        Self { table: Table::new(columns), style: style.clone(), empty: true }
    }

    /// The next flows, with the heading before the first.
    pub fn rows(&mut self, flows: &[Flow]) -> String {
        if flows.is_empty() {
            return String::new();
        }
        self.empty = false;
        let rows: Vec<Vec<Cell>> = flows.iter().map(row).collect();
        self.table.rows(&rows, &self.style)
    }

    /// What is to be said after the last.
    pub fn end(&self) -> String {
        if self.empty {
            return "no flows\n".to_owned();
        }
        let left_out = self.table.left_out();
        if left_out.is_empty() {
            return String::new();
        }
        let text = format!("left out on a narrow terminal: {}; --json has everything", left_out.join(", "));
        self.style.paint(Paint::Faint, &text) + "\n"
    }
}

/// All flows in one table.
pub fn flows(flows: &[Flow], style: &Style) -> String {
    let mut table = FlowTable::new(style);
    table.rows(flows) + &table.end()
}

fn row(flow: &Flow) -> Vec<Cell> {
    vec![
        Cell::new(&flow.client),
        Cell::new(&flow.vip),
        flow.snat.map_or_else(|| Cell::painted(&"-", Paint::Faint), |snat| Cell::new(&snat)),
        Cell::new(&flow.backend),
        Cell::new(&flow.backend_address),
        Cell::new(&flow.state),
        Cell::new(&duration(Duration::from_secs(flow.age_s))),
        Cell::new(&duration(Duration::from_secs(flow.idle_s))),
        Cell::new(&flow.packets),
        Cell::new(&flow.bytes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::types::samples;

    fn style() -> Style {
        Style::plain(samples::moment(0).time())
    }

    #[test]
    fn both_families_and_dsr() {
        let direct = Flow { snat: None, ..samples::flow() };
        let expected = "\
client                  vip                  snat                  backend       backend address        state          age  idle  packets   bytes
10.0.1.20:51324         192.0.2.10:6443      192.0.2.10:20417      controller-1  10.0.0.11:6443         established  4m12s    3s     1204  310220
[2001:db8:1::20]:51324  [2001:db8::10]:6443  [2001:db8::10]:20418  controller-1  [2001:db8:2::11]:6443  established  4m12s    3s     1204  310220
10.0.1.20:51324         192.0.2.10:6443      -                     controller-1  10.0.0.11:6443         established  4m12s    3s     1204  310220
";
        assert_eq!(flows(&[samples::flow(), samples::flow_ipv6(), direct], &style()), expected, "aligned");
    }

    #[test]
    fn a_narrow_terminal_keeps_who_talks_to_whom() {
        let narrow = Style { width: Some(80), ..style() };
        let expected = "\
client           snat              backend       state          age  idle
10.0.1.20:51324  192.0.2.10:20417  controller-1  established  4m12s    3s
left out on a narrow terminal: vip, backend address, packets, bytes; --json has everything
";
        assert_eq!(flows(&[samples::flow()], &narrow), expected, "the least important columns give way");
    }

    #[test]
    fn chunks_share_one_heading() {
        let mut table = FlowTable::new(&style());
        let first = table.rows(&[samples::flow()]);
        let second = table.rows(&[samples::flow()]);
        assert_eq!(first.lines().count(), 2, "heading and row");
        assert_eq!(first.lines().last(), second.lines().last(), "the same columns");
        assert_eq!(FlowTable::new(&style()).end(), "no flows\n", "nothing is said to be nothing");
    }
}
