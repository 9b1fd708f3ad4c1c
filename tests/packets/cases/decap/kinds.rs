//! Whole tunnels to a VIP are taken off, whatever carries them.

use lb_common::abi::decap::Counter::{PassedMalformed, TakenFromIpip};

use super::{
    controller::with_controller,
    plain,
    tunnel::{Tunnel, Wrap, ip_bytes, syn},
};
use crate::packet::{Packet, flags::ACK};

/// Extension headers that only pass something on: their numbers.
const HOP_BY_HOP: u8 = 0;
const DESTINATION_OPTIONS: u8 = 60;
const FRAGMENT: u8 = 44;

/// A tunnel encapsulation limit of 4, as Linux puts it there (RFC 2473, section 5.1).
fn encapsulation_limit(number: u8) -> (u8, Vec<u8>) {
    (number, vec![0, 0, 4, 1, 4, 1, 1, 0])
}

#[test]
fn the_inner_packet_goes_on_as_it_was() {
    with_controller("the_inner_packet_goes_on_as_it_was", |controller| {
        for (what, tunnel, counter) in plain() {
            controller.takes(&what, &tunnel, &[counter]);
            let classes = Tunnel { class: 0x28, ..tunnel.clone() };
            controller.takes(&format!("{what}: the inner class stays"), &classes, &[counter]);
            let padded = Tunnel { padding: vec![0xee; 6], ..tunnel };
            controller.takes(&format!("{what}: padding stays behind the packet"), &padded, &[counter]);
        }
    });
}

#[test]
fn outer_options_and_extensions_go_too() {
    with_controller("outer_options_and_extensions_go_too", |controller| {
        for (what, tunnel, counter) in plain() {
            if tunnel.ends[0].is_ipv4() {
                for bytes in (4..=40).step_by(4) {
                    let options = Tunnel { options: vec![1; bytes], ..tunnel.clone() };
                    controller.takes(&format!("{what}, {bytes} bytes of options"), &options, &[counter]);
                }
                continue;
            }
            let whole = (FRAGMENT, vec![0; 8]);
            let [hops, options] = [HOP_BY_HOP, DESTINATION_OPTIONS].map(encapsulation_limit);
            for extensions in
                [vec![options.clone()], vec![hops.clone(), options.clone()], vec![hops, options, whole]]
            {
                let what = format!("{what}, {} extension headers", extensions.len());
                controller.takes(&what, &Tunnel { extensions, ..tunnel.clone() }, &[counter]);
            }
            let long = Tunnel { extensions: vec![(DESTINATION_OPTIONS, long_options())], ..tunnel };
            controller.takes(&format!("{what}, the longest options"), &long, &[counter]);
        }
    });
}

/// An extension header of 2,048 bytes: padding, in options of up to 257 bytes.
fn long_options() -> Vec<u8> {
    let mut bytes = vec![0; 2048];
    bytes[1] = 255;
    bytes
}

#[test]
fn whatever_is_in_the_inner_packet_is_the_hosts_business() {
    with_controller("whatever_is_in_the_inner_packet_is_the_hosts_business", |controller| {
        for outer in [false, true] {
            let v4 = Packet { ip_options: vec![1; 40], payload: vec![7; 700], flags: ACK, ..syn(false) };
            controller.takes("inner options", &Tunnel::new(outer, Wrap::Ipip, &v4), &[TakenFromIpip]);
            let fragment = Packet { fragment: 0x2000, ..v4 };
            controller.takes(
                "an inner fragment",
                &Tunnel::new(outer, Wrap::Ipip, &fragment),
                &[TakenFromIpip],
            );
            let wrong = Packet { ip_error: 3, ..syn(false) };
            controller.takes("a wrong checksum", &Tunnel::new(outer, Wrap::Ipip, &wrong), &[TakenFromIpip]);
            let mut udp = Tunnel::new(outer, Wrap::Ipip, &syn(true));
            udp.inner[6] = 17;
            controller.takes("another protocol", &udp, &[TakenFromIpip]);
        }
    });
}

/// More than one page: the kernel hands it over in several buffers, of which a program sees the first.
#[test]
fn a_large_packet_in_several_buffers_is_taken_out_whole() {
    with_controller("a_large_packet_in_several_buffers_is_taken_out_whole", |controller| {
        for (what, mut tunnel, counter) in plain() {
            let inner_is_v6 = tunnel.inner[0] >> 4 == 6;
            let payload = (0..8000u32).map(|position| (position % 251) as u8).collect();
            tunnel.inner = ip_bytes(&Packet { flags: ACK, payload, ..syn(inner_is_v6) });
            controller.takes(&what, &tunnel, &[counter]);
            // What is said to be in buffers that are not there is missed.
            let mut cut = tunnel.bytes();
            cut.pop();
            controller.passes(&format!("{what}, cut"), &cut, &[PassedMalformed]);
        }
    });
}
