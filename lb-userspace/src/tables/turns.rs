//! In which order weighted backends take turns.
//!
//! A backend of weight w takes its turn number k (from 0) at the time (k + ½) / w, and at equal times the earlier in
//! the list goes first. So turns are interleaved as smoothly as they can be (2:1 gives a, b, a), equal weights go
//! round, and who is before whom does not depend on who else is there: when one leaves, the others keep their order.
//!
//! After any number of turns a backend has had w·t of them, rounded, with the same t for all: Webster's method of
//! apportionment. With n backends and S turns its count is therefore at most ½ + n·w / 2W from its exact share S·w / W,
//! W being the sum of the weights.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

/// An endless sequence of positions in a list of weights; it ends at once where there are none.
pub(super) struct Turns {
    next: BinaryHeap<Reverse<Turn>>,
}

impl Turns {
    /// The turns of backends with these weights, none of them 0.
    pub(super) fn new(weights: impl Iterator<Item = u16>) -> Self {
        let turn = |(position, weight)| Reverse(Turn { halves: 1, weight: u64::from(weight), position });
        Self { next: weights.enumerate().map(turn).collect() }
    }
}

impl Iterator for Turns {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let mut turn = self.next.peek_mut()?;
        turn.0.halves += 2;
        Some(turn.0.position)
    }
}

/// After how many turns the sequence repeats.
pub(super) fn period(weights: impl Iterator<Item = u16> + Clone) -> usize {
    let divisor = weights.clone().map(usize::from).fold(0, greatest_common_divisor);
    weights.map(usize::from).sum::<usize>().checked_div(divisor).unwrap_or(0)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The next turn of one backend, at the time `halves` / (2 · `weight`).
#[derive(Debug)]
struct Turn {
    halves: u64,
    weight: u64,
    position: usize,
}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        // The fractions are compared without division: balancers must agree to the last bit.
        let times = (self.halves * other.weight).cmp(&(other.halves * self.weight));
        times.then(self.position.cmp(&other.position))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first(count: usize, weights: &[u16]) -> Vec<usize> {
        Turns::new(weights.iter().copied()).take(count).collect()
    }

    #[test]
    fn turns_are_interleaved() {
        let cases: [(&[u16], &[usize]); 6] = [
            (&[], &[]),
            (&[7], &[0]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[4, 2], &[0, 1, 0]),
            (&[1, 3], &[1, 0, 1, 1]),
            (&[3, 2, 1], &[0, 1, 0, 2, 1, 0]),
        ];
        for (weights, expected) in cases {
            let period = period(weights.iter().copied());
            assert_eq!(first(period, weights), expected, "one period of the weights {weights:?}");
        }
    }

    proptest! {
        #[test]
        fn shares_are_proportional_after_any_number_of_turns(
            weights in prop::collection::vec(1..=2550_u16, 1..50),
            turns in 0..5_000_usize,
        ) {
            let turns_taken = first(turns, &weights);
            let total: usize = weights.iter().copied().map(usize::from).sum();
            for (position, weight) in weights.iter().copied().map(usize::from).enumerate() {
                let count = turns_taken.iter().filter(|turn| **turn == position).count();
                // The bound of the module's documentation, times 2W.
                let deviation = (2 * total * count).abs_diff(2 * turns * weight);
                let bound = total + weights.len() * weight;
                prop_assert!(deviation <= bound, "{count} turns of {turns}, weight {weight} of {total}");
            }
        }

        #[test]
        fn a_period_gives_each_its_weight_exactly(weights in prop::collection::vec(1..=2550_u16, 1..50)) {
            let period = period(weights.iter().copied());
            let turns_taken = first(period, &weights);
            let total: usize = weights.iter().copied().map(usize::from).sum();
            for (position, weight) in weights.iter().copied().map(usize::from).enumerate() {
                let count = turns_taken.iter().filter(|turn| **turn == position).count();
                prop_assert_eq!(count * total, weight * period);
            }
        }

        #[test]
        fn the_others_keep_their_order_when_one_leaves(weights in prop::collection::vec(1..=2550_u16, 2..20)) {
            let leaver = weights.len() - 1;
            let with: Vec<usize> = first(1_000, &weights).into_iter().filter(|turn| *turn != leaver).collect();
            let without = first(with.len(), &weights[..leaver]);
            prop_assert_eq!(with, without);
        }
    }
}
