//! Whom the new connections of one service go to: the table that the data plane reads, built whole.

use lb_common::{
    abi::{BackendId, Choice},
    limits::MAGLEV_SLOTS,
};

use super::{
    maglev,
    member::{Member, in_order},
    turns::{Turns, period},
};
use crate::config::Policy;

/// Builds the choice among the members of one service; `key` is the cluster's.
///
/// Without members both counts are 0, and the data plane refuses. A turn of `spread` that is longer than the slots
/// (hundreds of backends whose weights have no common divisor) is cut off there, with the shares still in proportion; of
/// more than [`ROTATION_SLOTS`](lb_common::limits::ROTATION_SLOTS) backends the first by address are alternatives.
pub fn build(members: &[Member], policy: Policy, key: [u64; 2]) -> Box<Choice> {
    let members = in_order(members);
    let mut choice = nobody();
    choice.rotation_count = copy(members.iter().map(|member| member.id), &mut choice.rotation);
    choice.slot_count = match policy {
        Policy::Maglev => table(&members, key, &mut choice.slots),
        Policy::Spread => turn(&members, &mut choice.slots),
    };
    choice
}

/// The choice of a service without members: all zeros.
fn nobody() -> Box<Choice> {
    let mut choice = Box::<Choice>::new_uninit();
    // SAFETY: all bytes are written before the value is taken to be one, and `Choice` is plain data (zerocopy's
    // `FromBytes`), of which zeros are a value. Made in place: 131 KB do not belong on the stack of a task.
    unsafe {
        choice.as_mut_ptr().write_bytes(0, 1);
        choice.assume_init()
    }
}

/// Fills the look-up table and tells its length.
fn table(members: &[Member], key: [u64; 2], slots: &mut [BackendId; MAGLEV_SLOTS]) -> u32 {
    maglev::fill(members, key, slots);
    if members.is_empty() { 0 } else { MAGLEV_SLOTS as u32 }
}

/// Fills in one round of turns and tells its length.
fn turn(members: &[Member], slots: &mut [BackendId; MAGLEV_SLOTS]) -> u32 {
    let weights = members.iter().map(|member| member.weight);
    let round = Turns::new(weights.clone()).take(period(weights));
    copy(round.map(|position| members[position].id), slots)
}

/// Writes as many ids as there are and fit, and tells how many.
fn copy(ids: impl Iterator<Item = BackendId>, places: &mut [BackendId]) -> u32 {
    let mut count = 0;
    for (place, id) in places.iter_mut().zip(ids) {
        *place = id;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests;
