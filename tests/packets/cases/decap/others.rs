//! What is no tunnel, or one for somebody else, goes to the host as it came.

use std::net::SocketAddr;

use lb_common::{
    abi::decap::Counter::{self, PassedFragment, PassedMalformed, PassedNotOurs},
    wire::GUE_PORT,
};

use super::{
    controller::{GUE, with_controller},
    plain,
    tunnel::{Tunnel, Wrap, ip_bytes, syn},
};
use crate::packet::Packet;

#[test]
fn packets_without_a_tunnel_pass_uncounted() {
    with_controller("packets_without_a_tunnel_pass_uncounted", |controller| {
        for is_v6 in [false, true] {
            controller.passes("a SYN to the VIP", &syn(is_v6).bytes(), &[]);
            for protocol in (0..=u8::MAX).filter(|number| ![4, 17, 41].contains(number)) {
                let other =
                    Tunnel { protocol: Some(protocol), ..Tunnel::new(is_v6, Wrap::Ipip, &syn(false)) };
                let extension = is_v6 && [0, 44, 60].contains(&protocol);
                if !extension {
                    controller.passes(&format!("protocol {protocol}"), &other.bytes(), &[]);
                }
            }
            for port in [0, 53, GUE_PORT, GUE - 1, GUE + 1, GUE.swap_bytes()] {
                let other = Tunnel::new(is_v6, Wrap::Gue(port), &syn(false));
                controller.passes(&format!("UDP to port {port}"), &other.bytes(), &[]);
            }
        }
        let mut arp = vec![0xff; 42];
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        controller.passes("ARP", &arp, &[]);
        controller.passes("the shortest frame", &[0; 14], &[]);
    });
}

#[test]
fn tagged_frames_pass_uncounted() {
    with_controller("tagged_frames_pass_uncounted", |controller| {
        for (what, tunnel, _) in plain() {
            for tag in [[0x81, 0x00, 0x00, 0x07], [0x88, 0xa8, 0x00, 0x07]] {
                let mut frame = tunnel.bytes();
                frame.splice(12..12, tag);
                controller.passes(&what, &frame, &[]);
            }
        }
    });
}

#[test]
fn tunnels_to_another_address_pass() {
    with_controller("tunnels_to_another_address_pass", |controller| {
        for (what, tunnel, _) in plain() {
            let is_v6 = tunnel.inner[0] >> 4 == 6;
            // The bytes of the other family's VIP, and a neighbour of the VIP.
            let others: &[&str] = if is_v6 {
                &["c000:20a::", "::ffff:192.0.2.10", "2001:db8::11"]
            } else {
                &["32.1.13.184", "192.0.2.11"]
            };
            for other in others {
                let destination = SocketAddr::new(other.parse().expect("an address"), 6443);
                let packet = Packet { destination, ..syn(is_v6) };
                let tunnel = Tunnel { inner: ip_bytes(&packet), ..tunnel.clone() };
                controller.passes(&format!("{what}, to {other}"), &tunnel.bytes(), &[PassedNotOurs]);
            }
        }
    });
}

#[test]
fn the_number_and_the_version_agree() {
    with_controller("the_number_and_the_version_agree", |controller| {
        for (outer, inner) in [(false, false), (false, true), (true, false), (true, true)] {
            let tunnel = Tunnel::new(outer, Wrap::Ipip, &syn(inner));
            let other = Tunnel { protocol: Some(if inner { 4 } else { 41 }), ..tunnel };
            controller.passes("the other family's number", &other.bytes(), &[PassedMalformed]);
            for wrap in [Wrap::Ipip, Wrap::Gue(GUE)] {
                // Variant 0 of GUE begins with another version.
                for version in (0..16).filter(|version| ![4, 6].contains(version)) {
                    let mut tunnel = Tunnel::new(outer, wrap, &syn(inner));
                    tunnel.protocol = (wrap == Wrap::Ipip).then_some(if inner { 41 } else { 4 });
                    tunnel.inner[0] = tunnel.inner[0] & 0x0f | version << 4;
                    controller.passes(&format!("version {version}"), &tunnel.bytes(), &[PassedMalformed]);
                }
            }
        }
    });
}

#[test]
fn fragments_pass_and_those_that_can_be_told_are_counted() {
    with_controller("fragments_pass_and_those_that_can_be_told_are_counted", |controller| {
        for (what, tunnel, _) in plain() {
            let is_ipip = tunnel.wrap == Wrap::Ipip;
            // "More fragments", or an offset in units of eight bytes.
            for (more, offset) in [(true, 0), (true, 1), (false, 1), (false, 185), (false, 0x1fff)] {
                let counted: &[Counter] = if is_ipip || offset == 0 { &[PassedFragment] } else { &[] };
                let fragment = if tunnel.ends[0].is_ipv4() {
                    Tunnel { fragment: u16::from(more) << 13 | offset, ..tunnel.clone() }
                } else {
                    let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
                    Tunnel { extensions: vec![(44, vec![0, 0, high, low, 0, 0, 0, 9])], ..tunnel.clone() }
                };
                let what = format!("{what}, more: {more}, offset {offset}");
                controller.passes(&what, &fragment.bytes(), counted);
            }
        }
    });
}
