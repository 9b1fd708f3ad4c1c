//! What a packet that is not quiet does to its flow: handshake, FIN, RST, a backend that is gone, a client that comes
//! again from the same port.

use lb_common::{
    abi::{Flow, StateWord, backend_state, flow_flags},
    counters::Counter,
    tcp::{
        self, Direction, State,
        flags::{ACK, FIN, RST, SYN},
    },
};

use crate::{
    entry::Entry,
    evidence,
    family::Family,
    forward::Packet,
    global::global,
    maps,
    pair::{self, Tier},
    syn,
    verdict::Verdict,
};

/// How far from the expected sequence number a RST is believed, in bytes: more than any window in use, one thousandth
/// of the sequence space.
const RESET_WINDOW: u32 = 1 << 22;

global! {
    /// Judges a packet of a flow and changes the flow's state.
    pub fn packet(tier: u32) [entry: Flow] -> Verdict = of_flow as transition_v4, transition_v6;
}

#[inline(always)]
fn of_flow<F: Family>(packet: &Packet<'_, F>, tier: u32, entry: *mut Flow<F::Address>) -> Verdict {
    match Entry::named(entry) {
        Ok(entry) => judge(packet, Tier::numbered(tier), entry),
        Err(verdict) => verdict,
    }
}

#[inline(always)]
fn judge<F: Family>(packet: &Packet<'_, F>, tier: Tier, entry: Entry<F::Address>) -> Verdict {
    let word = entry.word();
    let flags = packet.segment.flags;
    let from_client = word.direction() == Direction::Forward;
    if word.state() == State::Dead {
        return Verdict::dropped(Counter::DropBeingCollected);
    }
    let backend_state =
        F::backends().get(u32::from(entry.backend())).map_or(backend_state::NONE, |b| b.state);
    let has_next_hop = backend_state == backend_state::ACTIVE;
    let is_gone = !has_next_hop && backend_state != backend_state::UNRESOLVED;
    // A client to which the connection is over may come again from the same port, and it is over where we have ended it too.
    let is_over = word.state() == State::Closed || word.has(flow_flags::RESET) || is_gone;
    if is_over && from_client && flags & (SYN | ACK | RST) == SYN {
        if !pair::delete::<F>(tier, &packet.segment.key, entry, word.state()) {
            return Verdict::dropped(Counter::DropBeingCollected);
        }
        maps::count(Counter::FlowReopened);
        return Verdict::anew(0);
    }
    if is_gone {
        return cut(packet, tier, entry, Counter::ResetBackendGone);
    }
    if word.has(flow_flags::RESET) {
        return cut(packet, tier, entry, Counter::ResetByOperator);
    }
    if !has_next_hop && from_client {
        return Verdict::dropped(Counter::DropNoNextHop);
    }
    advance(packet, tier, entry, word);
    Verdict::GO_ON
}

/// Answers with a RST and closes the flow; the other end is told when it speaks.
#[inline(always)]
fn cut<F: Family>(packet: &Packet<'_, F>, tier: Tier, entry: Entry<F::Address>, reason: Counter) -> Verdict {
    let word = entry.word();
    if word.state() != State::Closed {
        pair::cut::<F>(tier, &packet.segment.key, entry, word);
    }
    Verdict::answer(reason)
}

/// The TCP state after this packet.
#[inline(always)]
fn advance<F: Family>(packet: &Packet<'_, F>, tier: Tier, entry: Entry<F::Address>, word: StateWord) {
    let segment = &packet.segment;
    let (flags, direction) = (segment.flags, word.direction());
    let state = word.state();
    let next = state.after(direction, flags);
    if next == state {
        if state == State::SynReceived && direction == Direction::Forward && flags & (SYN | ACK | FIN) == SYN
        {
            maps::count(Counter::SynRetransmitted);
        }
        return;
    }
    let Some(twin) = tier.twin_of::<F>(&segment.key, &entry.twin()) else {
        return;
    };
    if flags & RST != 0 && !reset_is_plausible(packet, tier, entry, twin) {
        maps::count(Counter::ResetOutOfWindow);
        return;
    }
    if flags & RST != 0 && direction == Direction::Reverse && state == State::Established {
        evidence::reset::<F>(entry, packet.now);
    }
    if state == State::SynReceived
        && direction == Direction::Forward
        && next != State::Closed
        && segment.acknowledgment != twin.next_sequence()
    {
        // Not the answer to the backend's SYN-ACK: somebody who has not seen it.
        return;
    }
    if pair::advance::<F>(&packet.ctx, tier.number(), word.0, entry.pointer())
        && state.is_half_open()
        && next != State::Closed
        && next != State::SynReceived
    {
        maps::count(Counter::FlowEstablished);
    }
}

/// Whether a RST belongs to the connection (RFC 9293, section 3.5.2): in SYN-SENT by its acknowledgment number, else by
/// its sequence number.
#[inline(always)]
fn reset_is_plausible<F: Family>(
    packet: &Packet<'_, F>,
    tier: Tier,
    entry: Entry<F::Address>,
    twin: Entry<F::Address>,
) -> bool {
    let segment = &packet.segment;
    let word = entry.word();
    if tier == Tier::HalfOpen && word.state() == State::SynSent && word.direction() == Direction::Reverse {
        // SAFETY: the pair is in the lower tier.
        let syn = unsafe { twin.syn() };
        return segment.flags & ACK != 0
            && syn::is_acknowledged(syn, twin.next_sequence(), segment.acknowledgment);
    }
    let expected = twin.last_acknowledgment();
    let seen = entry.next_sequence();
    // 0 stands for a number that has not been seen, and is near nothing.
    (expected | seen) == 0
        || (expected != 0 && near(segment.sequence, expected))
        || (seen != 0 && near(segment.sequence, seen))
}

#[inline(always)]
fn near(sequence: u32, expected: u32) -> bool {
    tcp::within_window_before(sequence, expected, RESET_WINDOW)
        || tcp::within_window_before(expected, sequence, RESET_WINDOW)
}
