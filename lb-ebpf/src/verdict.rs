//! What becomes of a packet.

use lb_common::{abi::LinkId, counters::Counter};

/// What becomes of a packet that is not dropped.
pub enum Verdict {
    /// To the host, untouched.
    Pass(Counter),
    /// Rewritten, out by this link.
    Transmit(LinkId),
    /// Answered with a RST to its sender.
    Answer(Counter),
}

/// A verdict, or the reason of a drop.
pub type Outcome = Result<Verdict, Counter>;
