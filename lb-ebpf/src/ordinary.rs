//! Which SYNs every host would answer. What becomes of others shows nothing of a backend, or a client could take one for
//! dead by sending SYNs that nobody answers. They are forwarded and sent on like any other.

use core::ffi::c_void;

use aya_ebpf::helpers;
use lb_common::{
    abi::{Syn, syn_marks},
    tcp::flags::{CWR, ECE, SYN},
    wire::TCP_OPTIONS,
};

use crate::packet::opaque;

/// The least that a packet may have left to live behind us, to reach any backend. That of a client has more: hosts begin
/// with 64, and ways across the Internet are shorter than 40.
const LEAST_HOPS: u8 = 16;

/// Whether every host that serves would answer this SYN with a SYN-ACK.
#[inline(always)]
pub fn is_ordinary(syn: &Syn) -> bool {
    syn.marks & syn_marks::SOUND != 0
        && syn.flags & !(SYN | ECE | CWR) == 0
        && syn.hop_limit >= LEAST_HOPS
        && has_ordinary_options(syn)
}

/// What the loop over the options carries along.
struct Options<'a> {
    syn: &'a Syn,
    /// Where the next option begins.
    next: u32,
    /// Whether all so far are ordinary.
    ordinary: bool,
}

/// Whether there are only options that every TCP has or may ignore. Not MD5 and TCP-AO (RFC 2385, RFC 5925), which a
/// host without the key drops in silence, and not MPTCP (RFC 8684), which one that has it may refuse.
#[inline(always)]
fn has_ordinary_options(syn: &Syn) -> bool {
    let mut options = Options { syn, next: 0, ordinary: true };
    // SAFETY: the callback has the type that the helper wants, and the state outlives the call.
    unsafe {
        helpers::bpf_loop(TCP_OPTIONS as u32, judge_option as *mut c_void, (&raw mut options).cast(), 0)
    };
    options.ordinary
}

/// One round: the option at this place, if there one begins.
extern "C" fn judge_option(index: u32, options: *mut c_void) -> i64 {
    // SAFETY: `has_ordinary_options` gave its own state, which nobody else uses during the loop.
    let options = unsafe { &mut *options.cast::<Options<'_>>() };
    if index != options.next {
        return 0;
    }
    let index = opaque(index as usize);
    let Some(&kind) = options.syn.options.get(index) else {
        return 1;
    };
    let length = match kind {
        // The end; there are zeros behind the options too.
        0 => return 1,
        // No operation.
        1 => {
            options.next += 1;
            return 0;
        }
        // Maximum segment size.
        2 => 4,
        // Window scale.
        3 => 3,
        // Selective acknowledgments permitted.
        4 => 2,
        // Time stamps.
        8 => 10,
        _ => 0,
    };
    let told = options.syn.options.get(opaque(index + 1)).copied().unwrap_or(0);
    options.ordinary = length != 0 && told == length;
    options.next = (index + usize::from(length)) as u32;
    i64::from(!options.ordinary)
}
