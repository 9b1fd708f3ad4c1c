//! What was seen, each with whether it is as promised.

use crate::screen::{Screen, line};

/// Something that was measured.
pub(crate) struct Fact {
    good: bool,
    text: String,
}

impl Fact {
    pub(crate) fn new(good: bool, text: String) -> Self {
        Self { good, text }
    }
}

/// Prints all of them; tells whether everything is as promised.
pub(crate) fn print(screen: &Screen, facts: &[Fact]) -> bool {
    screen.scene("what was seen");
    for fact in facts {
        line(&format!("   {} {}", screen.verdict(fact.good), fact.text));
    }
    facts.iter().all(|fact| fact.good)
}
