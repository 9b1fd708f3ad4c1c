//! The controller's side of DSR: what is taken out of its tunnel, what is left in it, and every byte of both.

pub mod controller;
mod ecn;
mod kinds;
mod others;
mod tunnel;
mod wrong;

use lb_common::abi::decap::Counter::{self, TakenFromGue, TakenFromIpip};

use self::{
    controller::GUE,
    tunnel::{Tunnel, Wrap, syn},
};

/// A plain tunnel of each kind: IPIP and GUE, each family in each.
fn plain() -> Vec<(String, Tunnel, Counter)> {
    let mut all = Vec::new();
    for (wrap, name, counter) in [(Wrap::Ipip, "IPIP", TakenFromIpip), (Wrap::Gue(GUE), "GUE", TakenFromGue)]
    {
        for (outer, inner) in [(false, false), (false, true), (true, false), (true, true)] {
            let number = |is_v6| if is_v6 { 6 } else { 4 };
            let what = format!("{name}, {} in {}", number(inner), number(outer));
            all.push((what, Tunnel::new(outer, wrap, &syn(inner)), counter));
        }
    }
    all
}
