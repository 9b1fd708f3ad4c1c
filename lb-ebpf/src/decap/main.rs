//! The XDP program of a controller: `decap`, which takes packets to its VIPs out of the tunnels in which a balancer has
//! sent them (DSR by IPIP or GUE).
//!
//! A packet is read by `tunnel`, and stripped by `strip` if it is a whole tunnel that carries a packet to a VIP. All others
//! pass as they came.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]
#![expect(
    clippy::cast_possible_wrap,
    reason = "the helpers take and return the C types that they were declared with; each cast has its bound beside it"
)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[expect(dead_code, reason = "the balancer's program does more with packets than this one")]
#[path = "../packet.rs"]
mod packet;

mod maps;
mod strip;
mod tunnel;

mod programs {
    #![expect(clippy::needless_pass_by_value, reason = "the macro `xdp` hands the context over by value")]

    use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

    use crate::{
        maps, strip,
        tunnel::{self, Fate},
    };

    /// Takes packets to our VIPs out of their tunnels and passes all others untouched. Large frames may come in several
    /// buffers: only the headers are looked at, and those are in the first.
    #[xdp(frags)]
    pub fn decap(ctx: XdpContext) -> u32 {
        let fate = match tunnel::find(&ctx) {
            Ok(tunnel) => strip::tunnel(&ctx, &tunnel),
            Err(fate) => fate,
        };
        match fate {
            Fate::Untouched => xdp_action::XDP_PASS,
            Fate::Passed(reason) | Fate::Taken(reason) => {
                maps::count(reason);
                xdp_action::XDP_PASS
            }
            Fate::Dropped(reason) => {
                maps::count(reason);
                xdp_action::XDP_DROP
            }
        }
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Never reached: a panic path would be an infinite loop, which the verifier refuses.
    loop {}
}
