//! A request to the program `collect`: this header, then `count` keys of one family. It travels as the packet of a
//! `BPF_PROG_TEST_RUN`.

/// Bytes before the first key; at least an Ethernet header, or the kernel refuses the run.
pub const HEADER: usize = 16;
/// Offset of the family: 4 or 6.
pub const FAMILY: usize = 0;
/// Offset of the tier: 0 flow table, 1 half-open.
pub const TIER: usize = 1;
/// Offset of the number of keys, one byte.
pub const COUNT: usize = 2;
/// Offset of what is to be done with the pairs of these keys, one byte.
pub const OPERATION: usize = 3;
/// The pairs that are over are deleted.
pub const DELETE_EXPIRED: u8 = 0;
/// The pairs that are not closed are marked, so that their next packet is answered with RST.
pub const RESET: u8 = 1;
/// The most keys of one request: they fit in the one page of a test run, and bound the time with interrupts held.
pub const MAX_KEYS: usize = 64;
