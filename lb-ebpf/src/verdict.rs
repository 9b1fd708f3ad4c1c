//! What becomes of a packet, and how a step says so to its caller.
//!
//! A verdict is one word of which every bit is defined, and not an enum: that would have undefined bits where its
//! variants carry different data, the compiler may leave the register that holds them unwritten, and the verifier refuses
//! a program that reads such a one (`R2 !read_ok`). Steps hand the word on unseen; [`Verdict::fate`] takes it apart, once,
//! at the entry point.

use lb_common::{abi::LinkId, counters::Counter};

use crate::global::Word;

/// The word of a verdict: what it is in the lowest byte, what it carries above.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verdict(u32);

/// What the entry point does with a packet.
pub enum Fate {
    /// Passed to the host, untouched.
    Pass(Counter),
    /// Sent out by this link, rewritten.
    Transmit(LinkId),
    /// Sent back to where it came from, turned into its answer.
    Answer(Counter),
    /// Dropped.
    Drop(Counter),
}

/// What a step gives its caller to go on with, or the verdict that ends the way of the packet here.
pub type Step<T> = Result<T, Verdict>;

const DROP: u32 = 0;
const PASS: u32 = 1;
const TRANSMIT: u32 = 2;
const ANSWER: u32 = 3;
const GO_ON: u32 = 4;
const ANEW: u32 = 5;
const REDISPATCH: u32 = 6;
const CHANGE: u32 = 7;
const TAG_BITS: u32 = 8;

impl Verdict {
    /// None yet: the caller goes on. In the end: the packet is sent on, as the draft says.
    pub const GO_ON: Self = Self(GO_ON);

    /// To the host, untouched, like every packet that is none of ours.
    pub const NOT_OURS: Self = Self::pass(Counter::PassedNotOurs);

    /// To the host, untouched.
    #[inline(always)]
    pub const fn pass(reason: Counter) -> Self {
        Self(PASS | (reason as u32) << TAG_BITS)
    }

    /// Rewritten, out by this link.
    #[inline(always)]
    pub const fn transmit(link: LinkId) -> Self {
        Self(TRANSMIT | (link as u32) << TAG_BITS)
    }

    /// Answered with a RST to its sender.
    #[inline(always)]
    pub const fn answer(reason: Counter) -> Self {
        Self(ANSWER | (reason as u32) << TAG_BITS)
    }

    /// Dropped, for this reason.
    #[inline(always)]
    pub const fn dropped(reason: Counter) -> Self {
        Self(DROP | (reason as u32) << TAG_BITS)
    }

    /// None: its flow was over and has been deleted, and the packet begins another; if it is adopted, then as this guess.
    #[inline(always)]
    pub const fn anew(attempt: u8) -> Self {
        Self(ANEW | (attempt as u32) << TAG_BITS)
    }

    /// Ends the caller too, unless it is to go on.
    #[inline(always)]
    pub fn go_on(self) -> Step<()> {
        if self.0 == GO_ON { Ok(()) } else { Err(self) }
    }

    /// The guess with which the packet begins a flow, if it does.
    #[inline(always)]
    pub const fn as_anew(self) -> Option<u8> {
        if self.tag() == ANEW { Some((self.0 >> TAG_BITS) as u8) } else { None }
    }

    /// None yet: the packet may change the state of its flow (`transition`).
    pub const CHANGE: Self = Self(CHANGE);

    /// None yet: the connection is to be offered elsewhere, as the plan in the draft says (`redispatch`).
    pub const REDISPATCH: Self = Self(REDISPATCH);

    /// Whether nothing is left to be done but what the entry point does.
    #[inline(always)]
    pub const fn is_final(self) -> bool {
        !matches!(self.tag(), ANSWER | ANEW | REDISPATCH | CHANGE)
    }

    /// Whether the packet is to be answered.
    #[inline(always)]
    pub const fn is_answer(self) -> bool {
        self.tag() == ANSWER
    }

    /// What is to be done. A word that is none of these ends no packet's way, so it is a defect of ours.
    #[inline(always)]
    pub const fn fate(self) -> Fate {
        match self.tag() {
            PASS => Fate::Pass(self.reason()),
            TRANSMIT => Fate::Transmit((self.0 >> TAG_BITS) as LinkId),
            ANSWER => Fate::Answer(self.reason()),
            DROP => Fate::Drop(self.reason()),
            _ => Fate::Drop(Counter::DropInternal),
        }
    }

    #[inline(always)]
    const fn tag(self) -> u32 {
        self.0 & ((1 << TAG_BITS) - 1)
    }

    #[inline(always)]
    const fn reason(self) -> Counter {
        match Counter::from_number(self.0 >> TAG_BITS) {
            Some(counter) => counter,
            None => Counter::DropInternal,
        }
    }
}

impl Word for Verdict {
    const DEFECT: Self = Self::dropped(Counter::DropInternal);

    #[inline(always)]
    fn word(self) -> u32 {
        self.0
    }

    #[inline(always)]
    fn from_word(word: u32) -> Self {
        Self(word)
    }
}

/// The reason of a drop is a verdict.
impl From<Counter> for Verdict {
    #[inline(always)]
    fn from(reason: Counter) -> Self {
        Self::dropped(reason)
    }
}

/// The verdict of a step that ends the way of the packet in any case.
#[inline(always)]
pub fn of(step: Step<Verdict>) -> Verdict {
    match step {
        Ok(verdict) | Err(verdict) => verdict,
    }
}
