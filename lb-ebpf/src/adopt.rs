//! A packet from the middle of a connection that this balancer never saw: its peer died, or it was itself away.
//!
//! The flow is guessed: its hash leads to the backend and the SNAT port that its SYN had led to. Such a pair is
//! *unconfirmed* until the backend answers within the client's window; any other answer shows a wrong guess, and the
//! client's next packet tries the next candidate.

use core::ffi::c_void;

use aya_ebpf::{EbpfContext as _, bindings::BPF_F_CURRENT_NETNS, helpers};
use lb_common::{
    abi::{Flow, StateWord, Syn, backend_state, flow_flags},
    counters::Counter,
    limits::ADOPTION_CANDIDATES,
    tcp::{
        self, State,
        flags::{ACK, FIN, RST},
    },
};

use crate::{
    admit, choose,
    enter::{self, Entered},
    entry::Entry,
    family::Family,
    forward::Packet,
    global::global,
    maps, next_hop,
    pair::Tier,
    verdict::{self, Step, Verdict},
};

/// `TCP_LISTEN` (`include/net/tcp_states.h`).
const LISTEN: u32 = 10;

/// How far a reply may lie from the client's packet, in bytes, to confirm a guess: more than a window in use, one
/// thousandth of the sequence space, and both numbers must fit.
const REPLY_WINDOW: u32 = 1 << 22;

global! {
    /// Takes up the flow of a packet to the draft's service, as its `attempt`-th guess. The verdict is to go on where its pair
    /// has been entered, as the draft says.
    pub fn packet(attempt: u32) [] -> Verdict = take_up as adopt_v4, adopt_v6;

    /// Judges the first reply to an adopted flow: confirms the pair, or takes the guess back.
    pub fn judge_reply() [entry: Flow, forward: Flow] -> Verdict = of_reply as adopted_reply_v4, adopted_reply_v6;
}

#[inline(always)]
fn take_up<F: Family>(packet: &Packet<'_, F>, attempt: u32) -> Verdict {
    verdict::of(adopt(packet, attempt))
}

#[inline(always)]
fn adopt<F: Family>(packet: &Packet<'_, F>, attempt: u32) -> Step<Verdict> {
    if attempt == 0 && host_has_connection(packet) {
        return Ok(Verdict::pass(Counter::PassedLocalSocket));
    }
    if packet.segment.flags & RST != 0 {
        return Err(Counter::DropUnknownReset.into());
    }
    admit::refuse_martians(packet)?;
    let draft = enter::draft::<F>()?;
    let backends = choose::count(draft.service.id);
    if backends == 0 {
        return Ok(Verdict::answer(Counter::ResetNoBackend));
    }
    let candidates = if backends * 2 < ADOPTION_CANDIDATES { backends * 2 } else { ADOPTION_CANDIDATES };
    next_hop::of_client(packet, &mut draft.hop).go_on()?;
    enter::begin(packet, draft);
    draft.entry.syn = Syn::NONE;
    let hash = choose::hash(packet);
    let mut guessing =
        Guessing { packet, hash, backends, candidates, first: attempt, end: GuessingEnd::Exhausted };
    // SAFETY: the callback has the type that the helper wants, and the state outlives the call.
    unsafe {
        helpers::bpf_loop(ADOPTION_CANDIDATES, try_guess::<F> as *mut c_void, (&raw mut guessing).cast(), 0)
    };
    match guessing.end {
        GuessingEnd::Entered => {
            maps::count(Counter::FlowAdopted);
            Ok(Verdict::GO_ON)
        }
        GuessingEnd::NoNextHop => Err(Counter::DropNoNextHop.into()),
        GuessingEnd::Exhausted => Ok(Verdict::answer(Counter::ResetNotAdopted)),
    }
}

/// What the loop over the guesses carries along.
struct Guessing<'a, F: Family> {
    packet: &'a Packet<'a, F>,
    hash: u64,
    backends: u32,
    candidates: u32,
    /// The guess to begin with.
    first: u32,
    end: GuessingEnd,
}

/// How the loop ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GuessingEnd {
    Exhausted,
    Entered,
    /// The guess may be right, but its backend cannot be reached yet; the client's packet will come again.
    NoNextHop,
}

/// One round: enters the next guess, if its backend is there and its port free.
extern "C" fn try_guess<F: Family>(index: u32, guessing: *mut c_void) -> i64 {
    // SAFETY: `packet` gave its own state, which nobody else uses during the loop.
    let guessing = unsafe { &mut *guessing.cast::<Guessing<'_, F>>() };
    let (packet, attempt) = (guessing.packet, guessing.first + index);
    let (Some(backend), Some(port)) =
        (attempt.checked_rem(guessing.backends), attempt.checked_div(guessing.backends))
    else {
        return 1;
    };
    if attempt >= guessing.candidates {
        return 1;
    }
    let state = if packet.segment.flags & FIN == 0 { State::Established } else { State::ClientClosed };
    let flags = flow_flags::UNCONFIRMED | flow_flags::ADOPTED;
    let Ok(draft) = enter::draft::<F>() else {
        return 1;
    };
    draft.word = StateWord::new(state, flags, attempt as u8, draft.service.id);
    draft.backend = choose::guess(&draft.service, guessing.hash, backend);
    match F::backends().get(u32::from(draft.backend)).map_or(backend_state::NONE, |backend| backend.state) {
        backend_state::ACTIVE => {}
        backend_state::UNRESOLVED => {
            guessing.end = GuessingEnd::NoNextHop;
            return 1;
        }
        _ => return 0,
    }
    let port = packet.settings.snat_ports().candidate(guessing.hash, port);
    if matches!(enter::pair::<F>(&packet.ctx, port.into()), Entered::Yes) {
        guessing.end = GuessingEnd::Entered;
    }
    i64::from(guessing.end == GuessingEnd::Entered)
}

#[inline(always)]
fn of_reply<F: Family>(
    packet: &Packet<'_, F>,
    entry: *mut Flow<F::Address>,
    forward: *mut Flow<F::Address>,
) -> Verdict {
    let (Ok(entry), Ok(forward)) = (Entry::named(entry), Entry::named(forward)) else {
        return Verdict::dropped(Counter::DropInternal);
    };
    let segment = &packet.segment;
    let word = entry.word();
    let acknowledges =
        tcp::within_window_before(segment.acknowledgment, forward.next_sequence(), REPLY_WINDOW);
    let expected = forward.last_acknowledgment();
    let continues = tcp::within_window_before(expected, segment.sequence, REPLY_WINDOW)
        || tcp::within_window_before(segment.sequence, expected, REPLY_WINDOW);
    if segment.flags & (RST | ACK) == ACK && acknowledges && continues {
        entry.exchange(word, word.without(flow_flags::UNCONFIRMED));
        let other = forward.word();
        forward.exchange(other, other.without(flow_flags::UNCONFIRMED));
        maps::count(Counter::FlowAdoptionConfirmed);
        return Verdict::GO_ON;
    }
    let other = forward.word();
    let next = StateWord::new(other.state(), other.flags(), other.attempt().wrapping_add(1), other.service());
    forward.exchange(other, next);
    Tier::HalfOpen.remove::<F>(&segment.key);
    Verdict::dropped(Counter::DropAdoptionRefused)
}

/// Whether the host itself holds the connection of this packet: a proxy that still serves it.
#[inline(always)]
fn host_has_connection<F: Family>(packet: &Packet<'_, F>) -> bool {
    let mut tuple = F::socket_tuple(&packet.segment.key);
    // SAFETY: the context and the tuple are valid; a socket that is found is released below.
    let socket = unsafe {
        helpers::bpf_skc_lookup_tcp(
            packet.ctx.as_ptr(),
            &raw mut tuple,
            F::SOCKET_TUPLE,
            i64::from(BPF_F_CURRENT_NETNS) as u64,
            0,
        )
    };
    if socket.is_null() {
        return false;
    }
    // SAFETY: the look-up returned a socket with a reference, which is given back once its state is read.
    unsafe {
        let listens = (*socket).state == LISTEN;
        helpers::bpf_sk_release(socket.cast());
        !listens
    }
}
