//! A TCP connection as a balancer in the middle sees it (RFC 9293, section 3.3.2, from outside).
//!
//! ```text
//!            SYN              SYN-ACK                ACK of it
//!  (none) ────────► SynSent ─────────► SynReceived ───────────► Established
//!                                                                │        │
//!                                              the client's FIN  │        │  the backend's FIN
//!                                                                ▼        ▼
//!                                                        ClientClosed  BackendClosed
//!                                                                │        │
//!                                             the backend's FIN  │        │  the client's FIN
//!                                                                ▼        ▼
//!      RST, from any state ───────────────────────────────────►  Closed ──► Dead (being collected)
//! ```
//!
//! Both entries of a pair hold the same state. `Dead` is only ever reached by the collector, and answers nothing.

/// The TCP flags, as in the thirteenth byte of the header.
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgment number counts.
    pub const ACK: u8 = 0x10;
    /// ECN echo (RFC 3168, section 6.1.1).
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced (RFC 3168, section 6.1.1).
    pub const CWR: u8 = 0x80;
}

use flags::{ACK, FIN, RST, SYN};

/// Who sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the backend.
    Forward,
    /// From the backend to the client.
    Reverse,
}

/// The state of a connection. The numbers are ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// The client has sent a SYN.
    SynSent = 1,
    /// The backend has answered it.
    SynReceived = 2,
    /// The handshake is complete.
    Established = 3,
    /// The client has sent its FIN.
    ClientClosed = 4,
    /// The backend has sent its FIN.
    BackendClosed = 5,
    /// Both have, or one has reset the connection.
    Closed = 6,
    /// The collector is about to delete the pair.
    Dead = 7,
}

impl State {
    /// The state with this number; anything unknown is `Dead`, which answers nothing.
    #[inline(always)]
    pub const fn from_u8(number: u8) -> Self {
        match number {
            1 => Self::SynSent,
            2 => Self::SynReceived,
            3 => Self::Established,
            4 => Self::ClientClosed,
            5 => Self::BackendClosed,
            6 => Self::Closed,
            _ => Self::Dead,
        }
    }

    /// The name that a person reads.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::Established => "established",
            Self::ClientClosed => "client-closed",
            Self::BackendClosed => "backend-closed",
            Self::Closed => "closed",
            Self::Dead => "dead",
        }
    }

    /// Whether the handshake is not complete.
    #[inline(always)]
    pub const fn is_half_open(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived)
    }

    /// The state after a packet with these TCP flags. The caller has judged whether the packet is to be believed
    /// (RFC 5961 for a RST, the acknowledgment number for the end of the handshake).
    #[inline(always)]
    #[must_use]
    pub const fn after(self, direction: Direction, tcp_flags: u8) -> Self {
        if matches!(self, Self::Closed | Self::Dead) {
            return self;
        }
        if tcp_flags & RST != 0 {
            return Self::Closed;
        }
        if tcp_flags & SYN != 0 {
            let answered = matches!(self, Self::SynSent)
                && matches!(direction, Direction::Reverse)
                && tcp_flags & ACK != 0;
            return if answered { Self::SynReceived } else { self };
        }
        let established = match (self, direction) {
            (Self::SynReceived, Direction::Forward) if tcp_flags & ACK != 0 => Self::Established,
            _ => self,
        };
        if tcp_flags & FIN == 0 {
            return established;
        }
        match (established, direction) {
            (Self::SynReceived | Self::Established, Direction::Forward) => Self::ClientClosed,
            (Self::SynReceived | Self::Established, Direction::Reverse) => Self::BackendClosed,
            (Self::ClientClosed, Direction::Reverse) | (Self::BackendClosed, Direction::Forward) => {
                Self::Closed
            }
            _ => established,
        }
    }
}

/// What a segment takes of the sequence space: its payload, and one each for SYN and FIN (RFC 9293, section 3.4).
#[inline(always)]
pub const fn sequence_length(payload: u16, tcp_flags: u8) -> u32 {
    payload as u32 + (tcp_flags & FIN) as u32 + ((tcp_flags & SYN) >> 1) as u32
}

/// Whether sequence number `a` is after `b` (RFC 9293, section 3.4: modulo 2^32).
#[inline(always)]
pub const fn sequence_after(a: u32, b: u32) -> bool {
    let difference = a.wrapping_sub(b);
    difference != 0 && difference < 1 << 31
}

/// The widest window that TCP can announce (RFC 7323, section 2.3: 65,535 shifted by 14), in bytes.
pub const WIDEST_WINDOW: u32 = 65_535 << 14;

/// Whether `number` lies at most `window` before `end`, or on it.
#[inline(always)]
pub const fn within_window_before(number: u32, end: u32, window: u32) -> bool {
    end.wrapping_sub(number) <= window
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use Direction::{Forward, Reverse};
    use State::{BackendClosed, ClientClosed, Closed, Dead, Established, SynReceived, SynSent};
    use proptest::prelude::*;

    #[test]
    fn every_row_of_the_diagram() {
        let rows = [
            (SynSent, Forward, SYN, SynSent),
            (SynSent, Forward, ACK, SynSent),
            (SynSent, Reverse, ACK, SynSent),
            (SynSent, Reverse, SYN, SynSent),
            (SynSent, Reverse, SYN | ACK, SynReceived),
            (SynSent, Forward, SYN | ACK, SynSent),
            (SynSent, Reverse, RST | ACK, Closed),
            (SynReceived, Reverse, SYN | ACK, SynReceived),
            (SynReceived, Reverse, ACK, SynReceived),
            (SynReceived, Forward, ACK, Established),
            (SynReceived, Forward, ACK | FIN, ClientClosed),
            (SynReceived, Forward, SYN, SynReceived),
            (Established, Forward, ACK, Established),
            (Established, Forward, SYN, Established),
            (Established, Reverse, SYN | ACK, Established),
            (Established, Forward, FIN | ACK, ClientClosed),
            (Established, Reverse, FIN | ACK, BackendClosed),
            (Established, Forward, RST, Closed),
            (ClientClosed, Forward, FIN | ACK, ClientClosed),
            (ClientClosed, Reverse, ACK, ClientClosed),
            (ClientClosed, Reverse, FIN | ACK, Closed),
            (BackendClosed, Reverse, FIN | ACK, BackendClosed),
            (BackendClosed, Forward, FIN | ACK, Closed),
            (BackendClosed, Reverse, RST, Closed),
            (Closed, Forward, ACK, Closed),
            (Closed, Forward, SYN, Closed),
            (Dead, Forward, SYN, Dead),
            (Dead, Reverse, RST, Dead),
        ];
        for (state, direction, flags, expected) in rows {
            assert_eq!(
                state.after(direction, flags),
                expected,
                "{} after flags {flags:#x} {direction:?}",
                state.name()
            );
        }
    }

    fn progress(state: State) -> u8 {
        match state {
            BackendClosed => ClientClosed as u8,
            other => other as u8,
        }
    }

    proptest! {
        #[test]
        fn no_packet_leads_back(number in 1u8..=7, flags in any::<u8>(), forward in any::<bool>()) {
            let state = State::from_u8(number);
            let after = state.after(if forward { Forward } else { Reverse }, flags);
            prop_assert!(progress(after) >= progress(state));
            prop_assert!(after != Dead || state == Dead, "only the collector makes an entry dead");
        }

        #[test]
        fn numbers_survive(number in 1u8..=7) {
            prop_assert_eq!(State::from_u8(number) as u8, number);
        }

        #[test]
        fn sequence_numbers_wrap(base in any::<u32>(), distance in 1u32..(1 << 31)) {
            prop_assert!(sequence_after(base.wrapping_add(distance), base));
            prop_assert!(!sequence_after(base, base.wrapping_add(distance)));
            prop_assert!(within_window_before(base, base.wrapping_add(distance), distance));
            prop_assert!(!within_window_before(base, base.wrapping_add(distance), distance - 1));
        }
    }

    #[test]
    fn syn_and_fin_take_one_number_each() {
        assert_eq!(sequence_length(10, ACK), 10);
        assert_eq!(sequence_length(0, SYN), 1);
        assert_eq!(sequence_length(3, FIN | ACK), 4);
    }
}
