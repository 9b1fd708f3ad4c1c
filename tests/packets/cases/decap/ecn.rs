//! Congestion that was met in the tunnel is told to the inner packet: figure 4 of RFC 6040.

use lb_common::abi::decap::Counter::{DropCongestionUnheard, EcnContradiction, EcnMarked};

use super::{
    controller::with_controller,
    plain,
    tunnel::{Tunnel, ip_bytes, syn},
};
use crate::packet::Packet;

const NOT_ECT: u8 = 0b00;
const ECT_0: u8 = 0b10;
const ECT_1: u8 = 0b01;
const CE: u8 = 0b11;

/// Inner, outer, what leaves, and whether RFC 6040 has "!!!" there.
const TABLE: [(u8, u8, Option<u8>, bool); 16] = [
    (NOT_ECT, NOT_ECT, Some(NOT_ECT), false),
    (NOT_ECT, ECT_0, Some(NOT_ECT), true),
    (NOT_ECT, ECT_1, Some(NOT_ECT), true),
    (NOT_ECT, CE, None, true),
    (ECT_0, NOT_ECT, Some(ECT_0), false),
    (ECT_0, ECT_0, Some(ECT_0), false),
    (ECT_0, ECT_1, Some(ECT_1), false),
    (ECT_0, CE, Some(CE), false),
    (ECT_1, NOT_ECT, Some(ECT_1), false),
    (ECT_1, ECT_0, Some(ECT_1), false),
    (ECT_1, ECT_1, Some(ECT_1), false),
    (ECT_1, CE, Some(CE), false),
    (CE, NOT_ECT, Some(CE), false),
    (CE, ECT_0, Some(CE), false),
    (CE, ECT_1, Some(CE), true),
    (CE, CE, Some(CE), false),
];

/// Classes of service of the inner and the outer packet, which do not mix.
const CLASSES: [(u8, u8); 3] = [(0, 0), (0xfc, 0), (0x28, 0xb8)];

#[test]
fn the_table_of_rfc_6040_with_every_class_in_every_tunnel() {
    with_controller("the_table_of_rfc_6040_with_every_class_in_every_tunnel", |controller| {
        for (kind, tunnel, taken) in plain() {
            let inner_is_v6 = tunnel.inner[0] >> 4 == 6;
            for ((inner, outer, leaving, contradicts), (inner_class, outer_class)) in
                TABLE.into_iter().flat_map(|row| CLASSES.map(|classes| (row, classes)))
            {
                let what = format!("{kind}: inner {inner:02b}, outer {outer:02b}, class {inner_class:#x}");
                // A header whose sum is wrong leaves with a sum that is wrong by as much.
                for ip_error in [0, 0x1234] {
                    let before = Packet { class: inner_class | inner, ip_error, ..syn(inner_is_v6) };
                    let coming =
                        Tunnel { class: outer_class | outer, inner: ip_bytes(&before), ..tunnel.clone() };
                    let mut moved = if contradicts { vec![EcnContradiction] } else { vec![] };
                    let Some(leaving) = leaving else {
                        moved.push(DropCongestionUnheard);
                        controller.drops(&what, &coming.bytes(), &moved);
                        continue;
                    };
                    moved.push(taken);
                    if leaving != inner {
                        moved.push(EcnMarked);
                    }
                    let after = Packet { class: inner_class | leaving, ..before };
                    let expected = Tunnel { inner: ip_bytes(&after), ..coming.clone() };
                    controller.turns(&what, &coming, &expected, &moved);
                }
            }
        }
    });
}
