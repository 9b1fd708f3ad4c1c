//! What must hold of every run, whatever the model says.

use std::collections::HashSet;

use lb_common::{counters::Counter, tcp::State};

use crate::{
    duel::Difference,
    model::{Model, Tier, Tuple},
    packet::{fold, sum},
    program::{Ran, TIERS},
    rig::Verdict,
};

/// What must hold of a frame.
pub fn of_frame(input: &[u8], ran: &Ran) -> Result<(), Difference> {
    counted_once(ran)?;
    match ran.verdict {
        Verdict::Drop => Ok(()),
        Verdict::Pass if ran.output == input => Ok(()),
        Verdict::Pass => Err("a frame that passes is changed".into()),
        Verdict::Transmit | Verdict::Redirect => {
            to_one_host(input, &ran.output)?;
            no_worse(input, &ran.output)
        }
    }
}

/// What becomes of a packet is counted, under one name.
fn counted_once(ran: &Ran) -> Result<(), Difference> {
    let names = ran.counted.iter().map(|counter| counter.name());
    let ends: Vec<&str> = names
        .filter(|name| {
            let is_answer = name.starts_with("reset_") && *name != Counter::ResetOutOfWindow.name();
            name.starts_with("drop_") || name.starts_with("passed_") || *name == "forwarded" || is_answer
        })
        .collect();
    let fits = |name: &str| match ran.verdict {
        Verdict::Drop => name.starts_with("drop_"),
        Verdict::Pass => name.starts_with("passed_"),
        Verdict::Transmit => name == "forwarded" || name.starts_with("reset_"),
        Verdict::Redirect => name == "forwarded",
    };
    match ends.as_slice() {
        [name] if fits(name) => Ok(()),
        _ => Err(format!("{:?} is counted as {ends:?}", ran.verdict)),
    }
}

/// Never a broadcast, never a guess at a next hop.
fn to_one_host(input: &[u8], output: &[u8]) -> Result<(), Difference> {
    let to = &output[..6];
    let is_answer = *to == input[6..12];
    if to[0] & 1 == 1 || (to.iter().all(|byte| *byte == 0) && !is_answer) {
        return Err(format!("a frame leaves for {to:02x?}"));
    }
    Ok(())
}

/// What the checksums of a frame sum up to: 0xffff where they are right. That of IPv4's header comes first.
struct Sums {
    ip: u16,
    tcp: u16,
    /// The field holds the sum of the pseudo-header.
    is_unfinished: bool,
}

/// Reads a frame as a host would; `None` where it is not a whole TCP segment.
fn sums(frame: &[u8]) -> Option<Sums> {
    let field = |at: usize| Some(usize::from(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?])));
    let (tcp_at, end, addresses, ip) = match field(12)? {
        0x0800 => {
            let tcp_at = 14 + usize::from(frame.get(14)? & 15) * 4;
            (tcp_at, 14 + field(16)?, 26..34, fold(sum(frame.get(14..tcp_at)?)))
        }
        0x86dd => {
            let (mut next, mut at) = (*frame.get(20)?, 54);
            while matches!(next, 0 | 60) {
                next = *frame.get(at)?;
                at += usize::from(*frame.get(at + 1)?) * 8 + 8;
            }
            (at, 54 + field(18)?, 22..54, 0xffff)
        }
        _ => return None,
    };
    let segment = frame.get(tcp_at..end)?;
    let pseudo_header = sum(frame.get(addresses)?) + 6 + segment.len() as u64;
    let is_unfinished = *segment.get(16..18)? == fold(pseudo_header).to_be_bytes();
    Some(Sums { ip, tcp: fold(pseudo_header + sum(segment)), is_unfinished })
}

/// A packet leaves with checksums that are right, or as wrong as they came, or still to be finished.
fn no_worse(input: &[u8], output: &[u8]) -> Result<(), Difference> {
    let Some(after) = sums(output) else {
        return Err("what leaves is no TCP segment".into());
    };
    // What is made of an ICMP error has nothing to be as wrong as.
    let before = sums(input).unwrap_or(Sums { ip: 0xffff, tcp: 0xffff, is_unfinished: false });
    if after.ip != 0xffff && after.ip != before.ip {
        return Err(format!("the checksum of the IP header sums up to {:x}, not {:x}", after.ip, before.ip));
    }
    let may_be_unfinished = before.is_unfinished;
    if after.tcp != 0xffff && after.tcp != before.tcp && !may_be_unfinished {
        return Err(format!("the checksum of TCP sums up to {:x}, not {:x}", after.tcp, before.tcp));
    }
    Ok(())
}

/// Every entry has its twin; but in the lower tier a mapping that was taken back waits for its end, a refused guess waits for
/// the client, and what a step of the story has torn is torn.
pub fn of_tables(model: &Model, halves: &HashSet<Tuple>) -> Result<(), Difference> {
    for tier in TIERS {
        for (key, entry) in model.tier(tier) {
            let undone = entry.reverse && entry.state == State::Closed;
            let refused = !entry.reverse && entry.unconfirmed;
            let may_be_alone = tier == Tier::HalfOpen && (undone || refused);
            let is_torn = halves.contains(key) || halves.contains(&entry.twin);
            if tier == Tier::Flows && model.half_open.contains_key(key) {
                return Err(format!("{key:?} is in both tiers"));
            }
            if model.twin_of(tier, *key).is_none() && !may_be_alone && !is_torn {
                return Err(format!("{key:?} in {tier:?} is half a pair: {entry:?}"));
            }
        }
    }
    Ok(())
}
