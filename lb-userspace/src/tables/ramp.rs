//! Slow start: the weights of a service's members while some of them have just come back.
//!
//! A member that came back `age` ago has the part `age / duration` of its share, in [`STEPS`] steps, the first of them
//! from the beginning: a backend of which nothing is asked does not warm up. Weights are whole numbers, so those of all
//! members are multiplied by the number of steps; the tables are made of their proportions.
//!
//! Where all have just come back, nobody is warm and somebody has to carry the connections. Then the one that came back
//! first has its full share, and the others the part of it that is their age in its age. That needs no memory, and passes
//! into the first rule without a jump when the first of them has warmed up. The last step begins at nine tenths.

use std::time::{Duration, Instant};

use super::Member;

/// In how many steps a share grows: each makes the service's table anew, which takes milliseconds.
pub const STEPS: u16 = 10;

/// A member, and when it came back, if it was down before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returning {
    /// The member, with its full weight.
    pub member: Member,
    /// When it came back; `None` where it was never down.
    pub since: Option<Instant>,
}

/// On which of [`STEPS`] steps each member is now, in their order; all on the last when the slow start is over.
pub fn steps(members: &[Returning], duration: Duration, now: Instant) -> Vec<u16> {
    let age = |member: &Returning| match member.since {
        Some(since) => now.saturating_duration_since(since).min(duration),
        None => duration,
    };
    let oldest = members.iter().map(age).max().unwrap_or(duration);
    members.iter().map(|member| step(age(member), oldest)).collect()
}

/// The members with their weights now. When the slow start is over, these are the full ones again.
pub fn members(members: &[Returning], duration: Duration, now: Instant) -> Vec<Member> {
    let steps = steps(members, duration, now);
    let is_over = steps.iter().all(|step| *step == STEPS);
    let scaled = |(returning, step): (&Returning, u16)| {
        let full = returning.member;
        Member { weight: if is_over { full.weight } else { full.weight * step }, ..full }
    };
    members.iter().zip(steps).map(scaled).collect()
}

/// The step of one of this age beside one that has the whole.
fn step(age: Duration, whole: Duration) -> u16 {
    if age >= whole {
        return STEPS;
    }
    let passed = age.as_nanos() * u128::from(STEPS) / whole.as_nanos();
    u16::try_from(passed).map_or(STEPS, |passed| (passed + 1).min(STEPS))
}

#[cfg(test)]
mod tests;
