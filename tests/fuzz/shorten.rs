//! A story that ends in a difference, with every step left out that is not needed for one.

use crate::{
    duel::{Difference, Duel},
    story::Step,
};

/// Runs a story from the beginning on.
pub fn play(duel: &mut Duel<'_>, steps: &[Step]) -> Result<(), Difference> {
    duel.begin();
    for step in steps {
        duel.step(step)?;
    }
    duel.end()
}

/// The shortest story that is left when steps are left out, many at a time and then one by one, as long as a difference stays;
/// and that difference. `None` where it does not come again.
pub fn shorten(duel: &mut Duel<'_>, steps: &[Step]) -> Option<(Vec<Step>, Difference)> {
    let mut steps = steps.to_vec();
    let mut difference = play(duel, &steps).err()?;
    let mut at_a_time = steps.len().div_ceil(2);
    loop {
        let mut at = steps.len().saturating_sub(at_a_time);
        loop {
            let mut shorter = steps.clone();
            shorter.drain(at..(at + at_a_time).min(steps.len()));
            if let Err(found) = play(duel, &shorter) {
                (steps, difference) = (shorter, found);
            }
            if at == 0 {
                break;
            }
            at = at.saturating_sub(at_a_time);
        }
        if at_a_time <= 1 {
            return Some((steps, difference));
        }
        at_a_time /= 2;
    }
}
