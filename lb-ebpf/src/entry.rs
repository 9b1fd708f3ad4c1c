//! A flow entry where it lies in its table, shared with the other CPUs.
//!
//! The fields are read and written singly through a raw pointer, never through a reference: another CPU may write at
//! the same time, and the slot of a deleted entry may be given to another flow while we hold the pointer. What must not
//! be lost to that (the state) changes by compare-and-exchange; the rest are figures.

use lb_common::{
    abi::{Address, BackendId, Flow, FlowKey, FlowMeta, HalfOpen, NextHop, StateWord, Syn},
    counters::Counter,
    tcp::{self, flags},
    tick::Tick,
};

use crate::{atomic, parse::Segment, verdict::Step};

/// A pointer to a flow entry in a map. Two are the same where they point to the same slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Entry<A: Address>(*mut Flow<A>);

/// Reads a field of the entry.
macro_rules! read {
    ($entry:expr, $($field:ident).+) => {
        // SAFETY: the pointer came from a look-up and was checked for null; map memory is not freed while the program
        // runs, and every bit pattern of the field is valid.
        unsafe { (&raw const (*$entry.0).$($field).+).read() }
    };
}

/// Overwrites a field of the entry.
macro_rules! write {
    ($entry:expr, $($field:ident).+, $value:expr) => {
        // SAFETY: as in `read`; the value is a figure that may be lost to another CPU.
        unsafe { (&raw mut (*$entry.0).$($field).+).write($value) }
    };
}

impl<A: Address> Entry<A> {
    /// The entry that a look-up found.
    #[inline(always)]
    pub fn new(pointer: *mut Flow<A>) -> Self {
        Self(pointer)
    }

    /// The entry that a caller of a global function has named, of which the verifier does not believe that it is there.
    #[inline(always)]
    pub fn named(pointer: *mut Flow<A>) -> Step<Self> {
        if pointer.is_null() { Err(Counter::DropInternal.into()) } else { Ok(Self(pointer)) }
    }

    /// The same of the lower tier.
    #[inline(always)]
    pub fn named_half_open(pointer: *mut HalfOpen<A>) -> Step<Self> {
        Self::named(pointer.cast())
    }

    /// The entry as an argument of a global function.
    #[inline(always)]
    pub fn pointer(self) -> *mut Flow<A> {
        self.0
    }

    /// The same of the lower tier, with its SYN.
    #[inline(always)]
    pub fn half_open(self) -> *mut HalfOpen<A> {
        self.0.cast()
    }

    /// The state of the pair as this entry has it.
    #[inline(always)]
    pub fn word(self) -> StateWord {
        StateWord(read!(self, meta.state))
    }

    /// Changes the state if it still is `old`.
    #[inline(always)]
    pub fn exchange(self, old: StateWord, new: StateWord) -> bool {
        let rest = u64::from(self.backend()) << 32;
        let (old, new) = (rest | u64::from(old.0), rest | u64::from(new.0));
        // SAFETY: state, backend and a zero are eight bytes, aligned, in map memory that lives as long as the program
        // runs. The state is the lower half on the little-endian machines that the programs are built for.
        unsafe { atomic::compare_exchange((&raw mut (*self.0).meta.state).cast(), old, new) }
    }

    /// The key of the other direction's entry.
    #[inline(always)]
    pub fn twin(self) -> FlowKey<A> {
        read!(self, twin)
    }

    /// The same where it lies, for a look-up at once: the stack is small. Not in a global function that the entry has been
    /// named to: to the verifier of Linux 6.1 what lies there is no key for a look-up.
    #[inline(always)]
    pub fn twin_in_place(&self) -> &FlowKey<A> {
        // SAFETY: as in `read`. The reference goes to a map helper alone, which reads the bytes.
        unsafe { &(*self.0).twin }
    }

    /// The figures of the entry.
    #[inline(always)]
    pub fn meta(&self) -> &FlowMeta {
        // SAFETY: as in `read`. The reference is copied from at once.
        unsafe { &(*self.0).meta }
    }

    /// The SYN of an entry of the lower tier.
    ///
    /// # Safety
    ///
    /// The entry is one of the lower tier: those of the flow table end before it.
    #[inline(always)]
    pub unsafe fn syn(&self) -> &Syn {
        // SAFETY: the flow is the first field of a half-open entry; the rest as in `read`.
        unsafe { &(*self.0.cast::<HalfOpen<A>>()).syn }
    }

    /// The same, to be written anew.
    ///
    /// # Safety
    ///
    /// As for [`Self::syn`], and nobody else holds a reference to it on this CPU.
    #[inline(always)]
    pub unsafe fn syn_mut(&mut self) -> &mut Syn {
        // SAFETY: as in `syn`. Another CPU that reads at the same time reads a figure of two SYNs of one client.
        unsafe { &mut (*self.0.cast::<HalfOpen<A>>()).syn }
    }

    /// The whole value, for an insertion elsewhere.
    #[inline(always)]
    pub fn value(&self) -> &Flow<A> {
        // SAFETY: as in `read`. The reference goes to `bpf_map_update_elem` alone, which copies the bytes.
        unsafe { &*self.0 }
    }

    /// The backend.
    #[inline(always)]
    pub fn backend(self) -> BackendId {
        read!(self, meta.backend)
    }

    /// The next hop of a reverse entry.
    #[inline(always)]
    pub fn hop(self) -> NextHop {
        NextHop { mac: read!(self, meta.mac), link: read!(self, meta.link) }
    }

    /// Gives a reverse entry another next hop.
    #[inline(always)]
    pub fn set_hop(self, hop: NextHop) {
        write!(self, meta.mac, hop.mac);
        write!(self, meta.link, hop.link);
    }

    /// When the last packet of this direction was seen.
    #[inline(always)]
    pub fn last_seen(self) -> Tick {
        Tick(read!(self, meta.last_seen))
    }

    /// Takes note of a moment as that of the last packet.
    #[inline(always)]
    pub fn set_last_seen(self, now: Tick) {
        write!(self, meta.last_seen, now.0);
    }

    /// The highest sequence number seen in this direction, plus what its segment took.
    #[inline(always)]
    pub fn next_sequence(self) -> u32 {
        read!(self, meta.next_sequence)
    }

    /// The last acknowledgment number seen in this direction.
    #[inline(always)]
    pub fn last_acknowledgment(self) -> u32 {
        read!(self, meta.last_acknowledgment)
    }

    /// Takes note of a packet of this direction.
    #[inline(always)]
    pub fn touch(self, segment: &Segment<A>, now: Tick) {
        let bytes = read!(self, meta.bytes) + u64::from(segment.ip_length);
        write!(self, meta.bytes, bytes);
        let packets = read!(self, meta.packets).wrapping_add(1);
        write!(self, meta.packets, packets);
        if packets == 0 {
            let high = read!(self, meta.packets_high).wrapping_add(1);
            write!(self, meta.packets_high, high);
        }
        write!(self, meta.last_seen, now.0);
        if segment.flags & flags::RST != 0 {
            return;
        }
        let next = segment.sequence.wrapping_add(tcp::sequence_length(segment.payload, segment.flags));
        // A sequence number is only after another of the same numbering, which the first packet or the SYN begins.
        let begins = packets == 1 || (segment.flags & flags::SYN != 0 && self.word().state().is_half_open());
        if begins || tcp::sequence_after(next, self.next_sequence()) {
            write!(self, meta.next_sequence, next);
        }
        if segment.flags & flags::ACK != 0 {
            write!(self, meta.last_acknowledgment, segment.acknowledgment);
        }
    }
}

/// Whether two keys are the same, by words.
#[inline(always)]
pub fn same_key<A: Address>(a: &FlowKey<A>, b: &FlowKey<A>) -> bool {
    const { assert!(size_of::<FlowKey<A>>().is_multiple_of(8) && align_of::<FlowKey<A>>() == 8) };
    let (a, b) = ((&raw const *a).cast::<u64>(), (&raw const *b).cast::<u64>());
    let mut difference = 0;
    for word in 0..size_of::<FlowKey<A>>() / 8 {
        // SAFETY: a key is a whole number of aligned words without padding.
        difference |= unsafe { a.add(word).read() ^ b.add(word).read() };
    }
    difference == 0
}
