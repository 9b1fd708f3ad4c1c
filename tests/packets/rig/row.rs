//! A row of a packet table: what comes in, and everything that must follow.

use std::fmt::Write;

use lb_common::counters::Counter;

use super::{Rig, run::Verdict};

/// The counters that a packet moves, each by one unless it is named more often.
pub type Moved<'a> = &'a [Counter];

/// One packet and what must become of it.
pub struct Row<'a> {
    /// What this row shows.
    pub what: &'a str,
    /// The frame.
    pub input: Vec<u8>,
    /// The verdict.
    pub verdict: Verdict,
    /// The frame that leaves; `None` where it does not matter, because it is dropped.
    pub output: Option<Vec<u8>>,
    /// The counters.
    pub moved: Moved<'a>,
}

impl<'a> Row<'a> {
    /// A packet that is nobody's business: it goes to the host as it came.
    pub fn passed(what: &'a str, input: impl Into<Vec<u8>>) -> Self {
        let input = input.into();
        let output = Some(input.clone());
        Self { what, input, verdict: Verdict::Pass, output, moved: &[Counter::PassedNotOurs] }
    }

    /// A packet that is dropped.
    pub fn dropped(what: &'a str, input: impl Into<Vec<u8>>, moved: Moved<'a>) -> Self {
        Self { what, input: input.into(), verdict: Verdict::Drop, output: None, moved }
    }

    /// A packet that leaves by the link it came by.
    pub fn transmitted(
        what: &'a str,
        input: impl Into<Vec<u8>>,
        output: impl Into<Vec<u8>>,
        moved: Moved<'a>,
    ) -> Self {
        let output = Some(output.into());
        Self { what, input: input.into(), verdict: Verdict::Transmit, output, moved }
    }

    /// The same by another link.
    #[must_use]
    pub fn by_another_link(mut self) -> Self {
        self.verdict = Verdict::Redirect;
        self
    }
}

impl Rig {
    /// Runs a row and compares everything.
    #[track_caller]
    pub fn check(&mut self, row: &Row<'_>) {
        let before = self.counters();
        let ran = self.run(&row.input);
        let after = self.counters();
        let what = row.what;
        let moved: Vec<(&str, u64)> = before
            .iter()
            .zip(&after)
            .map(|((name, before), (_, after))| (*name, after - before))
            .filter(|(_, by)| *by != 0)
            .collect();
        let mut expected: Vec<(&str, u64)> = Vec::new();
        for (name, _) in &before {
            let by = row.moved.iter().filter(|counter| counter.name() == *name).count() as u64;
            if by != 0 {
                expected.push((*name, by));
            }
        }
        assert_eq!(ran.verdict, row.verdict, "{what}: the verdict (counters {moved:?})");
        if let Some(output) = &row.output
            && *output != ran.output
        {
            panic!("{what}: the frame that leaves differs\n{}", difference(output, &ran.output));
        }
        assert_eq!(moved, expected, "{what}: the counters");
    }
}

/// The expected and the actual bytes, in lines of 16, those that differ marked.
pub fn difference(expected: &[u8], actual: &[u8]) -> String {
    let mut text = format!("expected {} bytes, got {}\n", expected.len(), actual.len());
    let line = |bytes: &[u8], at: usize| -> String {
        let shown: Vec<String> = bytes.iter().skip(at).take(16).map(|byte| format!("{byte:02x}")).collect();
        shown.join(" ")
    };
    for at in (0..expected.len().max(actual.len())).step_by(16) {
        let (expected, actual) = (line(expected, at), line(actual, at));
        let sign = if expected == actual { ' ' } else { '!' };
        writeln!(text, "{sign} {at:4}  {expected:48} | {actual}").expect("a string can be written to");
    }
    text
}
