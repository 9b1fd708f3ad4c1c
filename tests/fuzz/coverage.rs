//! What the packets have reached: verdicts and counters; and what they cannot reach, with the reason.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter},
};

use lb_common::{
    abi::{EVIDENCE_KINDS, Evidence},
    counters::{self, Counter},
};

use crate::program::Ran;

/// Counters that no packet can move here.
const OUT_OF_REACH: &[(Counter, &str)] =
    &[(Counter::DropInternal, "a map is missing or refuses an insertion: a defect of ours")];

/// Why a counter was not reached.
fn why_not(counter: Counter) -> &'static str {
    OUT_OF_REACH.iter().find(|(other, _)| *other == counter).map_or("by chance", |(_, why)| why)
}

/// How often each thing was reached.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Frames that were run.
    pub frames: u64,
    /// Stories that they were of.
    pub stories: u64,
    verdicts: BTreeMap<String, u64>,
    counted: BTreeMap<&'static str, u64>,
    told: BTreeMap<String, u64>,
}

impl Coverage {
    /// Notes a run.
    pub fn note(&mut self, ran: &Ran) {
        self.frames += 1;
        *self.verdicts.entry(format!("{:?}", ran.verdict)).or_default() += 1;
        for (_, kind) in &ran.told {
            *self.told.entry(format!("{kind:?}")).or_default() += 1;
        }
        for counter in &ran.counted {
            *self.counted.entry(counter.name()).or_default() += 1;
        }
    }

    /// All of it in a line.
    pub fn summary(&self) -> String {
        let missing = counters::ALL.iter().filter(|counter| !self.counted.contains_key(counter.name()));
        let missing: Vec<String> =
            missing.map(|counter| format!("{} ({})", counter.name(), why_not(*counter))).collect();
        format!(
            "{} packets in {} stories: {} verdicts, {} of {} counters, {} of {EVIDENCE_KINDS} kinds of evidence; not reached: {}",
            self.frames,
            self.stories,
            self.verdicts.len(),
            self.counted.len(),
            counters::ALL.len(),
            self.told.len(),
            missing.join(", ")
        )
    }

    /// Counters that should have been reached and were not, and those that should not and were.
    pub fn surprises(&self) -> Vec<String> {
        let out_of_reach = |counter: Counter| OUT_OF_REACH.iter().any(|(other, _)| *other == counter);
        let is_surprise =
            |counter: &&Counter| self.counted.contains_key(counter.name()) == out_of_reach(**counter);
        let counters = counters::ALL.iter().filter(is_surprise).map(|counter| counter.name().to_owned());
        let kinds =
            (0..EVIDENCE_KINDS as u8).filter_map(Evidence::from_number).map(|kind| format!("{kind:?}"));
        counters.chain(kinds.filter(|kind| !self.told.contains_key(kind))).collect()
    }
}

impl Display for Coverage {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} packets in {} stories", self.frames, self.stories)?;
        for (verdict, times) in &self.verdicts {
            writeln!(formatter, "  {verdict:30} {times:>10}")?;
        }
        writeln!(formatter, "told of backends:")?;
        for (kind, times) in &self.told {
            writeln!(formatter, "  {kind:30} {times:>10}")?;
        }
        writeln!(formatter, "counters:")?;
        for counter in counters::ALL {
            let times = self.counted.get(counter.name());
            let times = times.map_or_else(|| format!("- {}", why_not(*counter)), u64::to_string);
            writeln!(formatter, "  {:30} {times:>10}", counter.name())?;
        }
        Ok(())
    }
}
