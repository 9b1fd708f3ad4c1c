//! Which SNAT ports a connection may get: a sequence that follows from its hash alone, so that a balancer which never
//! saw the connection finds the same first port.

/// The range of SNAT ports, in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// How many ports; at least [`crate::limits::MIN_SNAT_PORTS`] in a validated configuration.
    pub count: u16,
}

impl PortRange {
    /// Whether a port is in the range.
    #[inline(always)]
    pub const fn contains(self, port: u16) -> bool {
        port.wrapping_sub(self.first) < self.count
    }

    /// The `attempt`-th candidate for a connection with this hash: double hashing, so that two connections that
    /// share a first port part at the second. The first [`crate::limits::PORT_CANDIDATES`] are distinct.
    #[inline(always)]
    pub const fn candidate(self, flow_hash: u64, attempt: u32) -> u16 {
        let count = if self.count == 0 { 1 } else { self.count as u32 };
        let start = (flow_hash >> 32) as u32 % count;
        // At most count / 64, so that 64 steps never come around.
        let step = 1 + ((flow_hash >> 8) as u32 & 0xffff) % (count / 64 + 1);
        let offset = (start + attempt * step) % count;
        self.first.wrapping_add(offset as u16)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::limits::{MIN_SNAT_PORTS, PORT_CANDIDATES};
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::vec;

    const RANGE: PortRange = PortRange { first: 10_000, count: 20_000 };

    proptest! {
        #[test]
        fn candidates_are_distinct_and_in_range(hash in any::<u64>(), count in MIN_SNAT_PORTS as u16..50_000) {
            let range = PortRange { first: 10_000, count };
            let ports: HashSet<u16> = (0..PORT_CANDIDATES).map(|i| range.candidate(hash, i)).collect();
            prop_assert_eq!(ports.len(), PORT_CANDIDATES as usize);
            prop_assert!(ports.iter().all(|p| range.contains(*p)));
        }
    }

    #[test]
    fn first_candidates_are_even_over_the_range() {
        let mut hits = vec![0u32; RANGE.count.into()];
        let connections = 2_000_000u32;
        for i in 0..connections {
            let hash = crate::hash::FlowHasher::new([1, 2]).word(i.into()).finish();
            hits[usize::from(RANGE.candidate(hash, 0) - RANGE.first)] += 1;
        }
        let mean = f64::from(connections) / f64::from(RANGE.count);
        let chi_square: f64 = hits.iter().map(|h| (f64::from(*h) - mean).powi(2) / mean).sum();
        // Chi-square with 19,999 degrees of freedom: mean 19,999, standard deviation 200; five of them.
        assert!((chi_square - 19_999.0).abs() < 1_000.0, "chi-square {chi_square}");
    }

    #[test]
    fn the_ends_of_the_range() {
        assert!(RANGE.contains(10_000) && RANGE.contains(29_999));
        assert!(!RANGE.contains(9_999) && !RANGE.contains(30_000));
    }
}
