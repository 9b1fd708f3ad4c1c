//! What the program `decap` and `xdplb decap` read and write together: the controller's side of DSR. Nothing of it is
//! shared with the balancer's maps, so it has a version of its own.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::plain_data;
use crate::counters::counters;

/// The version of everything in this module. Pinned counters of another version are begun anew.
pub const VERSION: u32 = 1;

/// The family of an IPv4 address in a [`Vip`].
pub const FAMILY_V4: u32 = 4;
/// The family of an IPv6 address in a [`Vip`].
pub const FAMILY_V6: u32 = 6;

plain_data! {
    /// An address of which packets are taken out of their tunnels: the key of the map `VIPS`. Its value is the UDP port of
    /// GUE, which is compiled into the program and stands here for those who ask what is attached.
    pub struct Vip {
        /// The address as it is on the wire, one of IPv4 followed by zeros.
        pub address: [u8; 16],
        /// [`FAMILY_V4`] or [`FAMILY_V6`].
        pub family: u32,
    }
}

impl From<core::net::IpAddr> for Vip {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                Self { address: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], family: FAMILY_V4 }
            }
            core::net::IpAddr::V6(v6) => Self { address: v6.octets(), family: FAMILY_V6 },
        }
    }
}

impl From<Vip> for core::net::IpAddr {
    fn from(vip: Vip) -> Self {
        let [a, b, c, d, ..] = vip.address;
        if vip.family == FAMILY_V4 { [a, b, c, d].into() } else { vip.address.into() }
    }
}

counters! {
    /// Packets taken out of IPIP (protocols 4 and 41).
    TakenFromIpip = "taken_from_ipip",
    /// Packets taken out of GUE.
    TakenFromGue = "taken_from_gue",

    /// Tunnels whose inner packet is to none of the VIPs, passed to the host untouched.
    PassedNotOurs = "passed_not_ours",
    /// Tunnels in fragments, passed to the host untouched: what carries them has too little room.
    PassedFragment = "passed_fragment",
    /// Tunnels whose headers contradict each other, passed to the host untouched.
    PassedMalformed = "passed_malformed",

    /// Packets that met congestion in the tunnel, and whose sender does not understand the mark (RFC 6040).
    DropCongestionUnheard = "drop_congestion_unheard",
    /// Packets that the kernel would not shorten or a map that was missing: never seen, and a defect of ours.
    DropInternal = "drop_internal",

    /// Packets that met congestion in the tunnel and are marked now.
    EcnMarked = "ecn_marked",
    /// Packets whose two ECN fields contradict each other: somebody on the way does not keep the rules.
    EcnContradiction = "ecn_contradiction",
}

/// Cells of the counters map: room for more names without another size.
pub const COUNTER_CELLS: usize = 16;

const _: () = assert!(ALL.len() <= COUNTER_CELLS, "COUNTER_CELLS must hold every counter");

#[cfg(test)]
mod tests {
    extern crate std;
    use core::net::IpAddr;
    use std::string::String;

    use super::*;

    /// What [`VERSION`] stands for. Whoever changes one of these changes both.
    #[test]
    fn the_version_stands_for_this_layout() {
        let names: std::vec::Vec<&str> = ALL.iter().map(|counter| counter.name()).collect();
        let of_version_1 = "taken_from_ipip taken_from_gue passed_not_ours passed_fragment passed_malformed \
                            drop_congestion_unheard drop_internal ecn_marked ecn_contradiction";
        assert_eq!((VERSION, size_of::<Vip>(), names.join(" ")), (1, 20, String::from(of_version_1)));
    }

    #[test]
    fn every_counter_has_its_number_and_says_what_it_is() {
        for (index, counter) in ALL.iter().enumerate() {
            let variant = std::format!("{counter:?}");
            assert_eq!(*counter as usize, index, "{variant}");
            assert_eq!(variant.starts_with("Drop"), counter.name().starts_with("drop_"), "{variant}");
            assert!(counter.help().trim().ends_with('.'), "{variant} is explained in a sentence");
        }
    }

    #[test]
    fn an_address_is_what_it_was_and_no_other() {
        for text in ["192.0.2.10", "::ffff:192.0.2.10", "c000:20a::", "2001:db8::10"] {
            let address: IpAddr = text.parse().expect("an address");
            assert_eq!(IpAddr::from(Vip::from(address)), address, "{text}");
        }
        let [v4, v6] =
            ["192.0.2.10", "c000:20a::"].map(|text| Vip::from(text.parse::<IpAddr>().expect("an address")));
        assert_eq!(v4.address, v6.address, "the same bytes");
        assert_ne!(v4, v6, "and another family");
    }
}
