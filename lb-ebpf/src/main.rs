//! The XDP programs of xdplb: `xdplb`, which forwards, and `collect`, which user space runs to delete flows that are over
//! and to reset those that an operator names.
//!
//! The way of a packet through `xdplb` is in `forward`; one file a step. Nothing here writes to a packet that is not
//! ours: every step returns a `Verdict`, and the one match below turns it into an XDP action.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::needless_borrows_for_generic_args,
    reason = "what is passed by value lies on a stack of 512 bytes once more"
)]
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the helpers take and return the C types that they were declared with; each cast has its bound beside it"
)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

mod admit;
mod adopt;
mod atomic;
mod choose;
mod collect;
mod enter;
mod entry;
mod evidence;
mod family;
mod forward;
mod global;
mod half_open;
mod log;
mod maps;
mod nat;
mod next_hop;
mod ordinary;
mod packet;
mod pair;
mod parse;
mod redispatch;
mod reset;
mod syn;
mod transition;
mod unfinished;
mod verdict;

mod programs {
    #![expect(clippy::needless_pass_by_value, reason = "the macro `xdp` hands the context over by value")]

    use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
    use lb_common::counters::Counter;

    use crate::{collect, forward, log, maps, verdict::Fate};

    /// Forwards the packets of our services and passes all others.
    #[xdp]
    pub fn xdplb(ctx: XdpContext) -> u32 {
        match forward::packet(&ctx).fate() {
            Fate::Pass(reason) => {
                maps::count(reason);
                xdp_action::XDP_PASS
            }
            Fate::Transmit(link) => {
                if let Some(action) = maps::transmit(&ctx, link) {
                    maps::count(Counter::Forwarded);
                    action
                } else {
                    drop(&ctx, Counter::DropNoNextHop)
                }
            }
            Fate::Answer(reason) => {
                maps::count(reason);
                xdp_action::XDP_TX
            }
            Fate::Drop(reason) => drop(&ctx, reason),
        }
    }

    /// Drops a packet that was ours, for a reason that is counted.
    #[inline(always)]
    fn drop(ctx: &XdpContext, reason: Counter) -> u32 {
        maps::count(reason);
        log::dropped(ctx, reason);
        xdp_action::XDP_DROP
    }

    /// Deletes the pairs that user space names, if they are really over, or marks them to be reset; run by
    /// `BPF_PROG_TEST_RUN`, never attached. Returns how many it deleted or marked.
    #[xdp]
    pub fn collect(ctx: XdpContext) -> u32 {
        collect::request(&ctx)
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: a panic path would be an infinite loop, which the verifier refuses.
    loop {}
}
