//! Truncated and lying headers: nothing crashes, and what is no whole tunnel passes as it came.

use lb_common::abi::decap::Counter::{self, PassedMalformed};

use super::{
    controller::{Controller, with_controller},
    plain,
    tunnel::{Tunnel, Wrap},
};
use crate::rig::Verdict;

/// Offset of the length in the inner header, and its right value.
fn inner_length(tunnel: &Tunnel) -> (usize, usize) {
    let length = tunnel.inner.len();
    if tunnel.inner[0] >> 4 == 6 { (4, length - 40) } else { (2, length) }
}

fn is_malformed(controller: &mut Controller, what: &str, tunnel: &Tunnel) {
    controller.passes(what, &tunnel.bytes(), &[PassedMalformed]);
}

#[test]
fn a_tunnel_cut_anywhere_passes() {
    with_controller("a_tunnel_cut_anywhere_passes", |controller| {
        for (what, tunnel, _) in plain() {
            let frame = tunnel.bytes();
            // With less, nobody can say that it is a tunnel.
            let enough = if tunnel.wrap == Wrap::Ipip { tunnel.payload_at() } else { tunnel.inner_at() };
            for length in 14..frame.len() {
                let counted: &[Counter] = if length >= enough { &[PassedMalformed] } else { &[] };
                controller.passes(&format!("{what}, cut to {length}"), &frame[..length], counted);
            }
        }
    });
}

#[test]
fn lengths_that_disagree_pass() {
    with_controller("lengths_that_disagree_pass", |controller| {
        for (what, tunnel, _) in plain() {
            let carried = i32::try_from(tunnel.bytes().len() - tunnel.payload_at()).expect("it is short");
            for error in (-carried..=8).filter(|error| *error != 0) {
                // What a longer outer packet would hold is in the frame.
                let padding = vec![0; 16];
                let lie = Tunnel { length_error: error, padding, ..tunnel.clone() };
                is_malformed(controller, &format!("{what}, outer length off by {error}"), &lie);
            }
            if tunnel.wrap != Wrap::Ipip {
                for error in (-carried..=8).filter(|error| *error != 0) {
                    let lie = Tunnel { udp_error: error, ..tunnel.clone() };
                    is_malformed(controller, &format!("{what}, UDP length off by {error}"), &lie);
                }
            }
            let (at, right) = inner_length(&tunnel);
            for length in (0..right).chain(right + 1..right + 9).chain([0x7fff, 0x8000, 0xffff]) {
                let mut lie = tunnel.clone();
                let field = u16::try_from(length).expect("it fits the field");
                lie.inner[at..at + 2].copy_from_slice(&field.to_be_bytes());
                is_malformed(controller, &format!("{what}, inner length {length}"), &lie);
            }
        }
    });
}

#[test]
fn header_lengths_that_cannot_be_pass() {
    with_controller("header_lengths_that_cannot_be_pass", |controller| {
        for (what, tunnel, _) in plain() {
            if tunnel.inner[0] >> 4 == 4 {
                let words = u8::try_from(tunnel.inner.len() / 4).expect("it is short");
                for wrong in (0..5).chain(words + 1..16) {
                    let mut lie = tunnel.clone();
                    lie.inner[0] = 0x40 | wrong;
                    is_malformed(controller, &format!("{what}, {wrong} words of inner header"), &lie);
                }
            }
            if tunnel.ends[0].is_ipv4() {
                for wrong in 0..5 {
                    let mut frame = tunnel.bytes();
                    frame[14] = 0x40 | wrong;
                    controller.passes(&format!("{what}, {wrong} words of outer header"), &frame, &[]);
                }
            }
        }
    });
}

#[test]
fn extension_headers_that_lead_nowhere_pass() {
    with_controller("extension_headers_that_lead_nowhere_pass", |controller| {
        for (what, tunnel, _) in plain().into_iter().filter(|(_, tunnel, _)| tunnel.ends[0].is_ipv6()) {
            for number in [0, 60] {
                for length in 1..=u8::MAX {
                    let extensions = vec![(number, vec![0, length, 0, 0, 0, 0, 0, 0])];
                    let lie = Tunnel { extensions, ..tunnel.clone() };
                    let (verdict, output, _) = controller.run(&lie.bytes());
                    assert_eq!(
                        (verdict, output),
                        (Verdict::Pass, lie.bytes()),
                        "{what}, {length} words too many"
                    );
                }
            }
            let four = Tunnel { extensions: vec![(60, vec![0; 8]); 4], ..tunnel };
            controller.passes(&format!("{what}, four extensions"), &four.bytes(), &[]);
        }
    });
}

/// Whatever one bit changes: the frame goes on as it came, or as what is in the tunnel, or it is dropped for its ECN field.
#[test]
fn any_bit_may_be_wrong() {
    with_controller("any_bit_may_be_wrong", |controller| {
        for (what, tunnel, _) in plain() {
            for bit in 0..tunnel.bytes().len() * 8 {
                let mut frame = tunnel.bytes();
                frame[bit / 8] ^= 1 << (bit % 8);
                let (verdict, output, counted) = controller.run(&frame);
                let taken = counted.iter().any(|name| name.starts_with("taken_"));
                let inner = [&frame[..12], &tunnel.taken_out()[12..14], &frame[tunnel.inner_at()..]].concat();
                let expected = if taken { inner } else { frame };
                assert_eq!((verdict, output), (Verdict::Pass, expected), "{what}, bit {bit}: {counted:?}");
            }
        }
    });
}
