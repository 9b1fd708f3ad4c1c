//! Printing flows as they come.

use super::put;
use crate::{
    control::types::Flow,
    view::{FlowTable, Style},
};

/// Flows that are gathered before the first are printed, so that short lists are aligned as a whole.
const GATHERED: usize = 1000;

/// Prints flows as they come, as a table or as one JSON array.
pub(super) struct FlowPrinter {
    table: Option<FlowTable>,
    gathered: Vec<Flow>,
    first: bool,
}

impl FlowPrinter {
    pub(super) fn new(json: bool) -> Self {
        if json {
            put("[");
        }
        Self { table: (!json).then(|| FlowTable::new(&Style::stdout())), gathered: Vec::new(), first: true }
    }

    pub(super) fn take(&mut self, flows: Vec<Flow>) -> anyhow::Result<()> {
        self.gathered.extend(flows);
        if self.gathered.len() >= GATHERED { self.print() } else { Ok(()) }
    }

    fn print(&mut self) -> anyhow::Result<()> {
        let flows = std::mem::take(&mut self.gathered);
        if let Some(table) = &mut self.table {
            put(&table.rows(&flows));
            return Ok(());
        }
        let mut text = String::new();
        for flow in flows {
            let comma = if std::mem::take(&mut self.first) { "\n  " } else { ",\n  " };
            text.push_str(comma);
            text.push_str(&serde_json::to_string(&flow)?);
        }
        put(&text);
        Ok(())
    }

    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        self.print()?;
        match &mut self.table {
            Some(table) => put(&table.end()),
            None => put("\n]\n"),
        }
        Ok(())
    }
}
