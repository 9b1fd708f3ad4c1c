extern crate std;
use super::*;
use crate::tcp::State;
use proptest::prelude::*;

/// The layout that [`ABI_VERSION`] stands for. Whoever changes a size changes both.
#[test]
fn the_version_stands_for_this_layout() {
    let sizes = [
        size_of::<FlowV4>(),
        size_of::<FlowV6>(),
        size_of::<HalfOpenV4>(),
        size_of::<HalfOpenV6>(),
        size_of::<EvidenceKey>(),
        size_of::<EvidenceCell>(),
        size_of::<EvidenceEvent>(),
        size_of::<EndpointV4>(),
        size_of::<EndpointV6>(),
        size_of::<BackendV4>(),
        size_of::<BackendV6>(),
        size_of::<Service>(),
        size_of::<Link>(),
        size_of::<Settings>(),
        size_of::<Heartbeat>(),
        size_of::<Choice>(),
        core::mem::offset_of!(FlowMeta, state),
        core::mem::offset_of!(FlowMeta, backend),
        core::mem::offset_of!(Settings, established_timeout),
        crate::counters::ALL.len(),
    ];
    let of_version_3 = [64, 88, 128, 152, 4, 56, 8, 8, 20, 24, 48, 8, 12, 176, 32, 131_596, 8, 12, 144, 40];
    assert_eq!(
        (ABI_VERSION, sizes),
        (3, of_version_3),
        "the layout has changed: change ABI_VERSION and this table"
    );
}

proptest! {
    #[test]
    fn a_state_word_keeps_its_parts(state in 1u8..=7, flags in any::<u8>(), attempt in any::<u8>(), service in any::<u8>()) {
        let word = StateWord::new(State::from_u8(state), flags, attempt, service);
        prop_assert_eq!(word.state() as u8, state);
        prop_assert_eq!((word.flags(), word.attempt(), word.service()), (flags, attempt, service));
        let closed = word.with_state(State::Closed);
        prop_assert_eq!((closed.state(), closed.flags(), closed.attempt(), closed.service()), (State::Closed, flags, attempt, service));
        prop_assert!(word.with(flow_flags::RESET).has(flow_flags::RESET));
        prop_assert!(!word.without(flow_flags::RESET).has(flow_flags::RESET));
    }

    #[test]
    fn address_bits_are_in_the_filter(v4 in any::<u32>(), v6 in any::<[u32; 4]>()) {
        prop_assert!((address_bit_v4(v4) as usize) < ADDRESS_FILTER_WORDS * 64);
        prop_assert!((address_bit_v6(v6) as usize) < ADDRESS_FILTER_WORDS * 64);
    }
}

#[test]
fn neighbouring_addresses_do_not_share_a_bit() {
    let bits: std::collections::HashSet<u32> =
        (0..=255u8).map(|host| address_bit_v4(u32::from_ne_bytes([10, 0, 0, host]))).collect();
    assert!(bits.len() > 200, "{} of 256 addresses of a /24 have a bit of their own", bits.len());
}

#[test]
fn a_twin_of_a_twin_is_oneself() {
    let key = FlowKeyV4::new(AddressV4([1, 2, 3, 4]), [0, 80], AddressV4([5, 6, 7, 8]), [1, 187]);
    assert_eq!(key.reversed().reversed(), key);
}
