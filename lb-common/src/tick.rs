//! Time as the flow tables keep it.

/// A moment in units of 2^24 ns (16.8 ms) since boot, on `CLOCK_MONOTONIC`: coarse enough that the cache line of a
/// flow is written once for many packets' time, fine enough for time-outs of seconds. It wraps after 2.3 years;
/// every comparison is by wrapping difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick(pub u32);

/// How far to shift nanoseconds to the right for ticks.
pub const TICK_SHIFT: u32 = 24;

impl Tick {
    /// The tick of a moment in nanoseconds since boot.
    #[inline(always)]
    pub const fn from_ns(ns: u64) -> Self {
        Self((ns >> TICK_SHIFT) as u32)
    }

    /// Ticks from `earlier` to `self`; 0 where `earlier` is the later one (two CPUs' coarse clocks).
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> u32 {
        let difference = self.0.wrapping_sub(earlier.0);
        if difference > u32::MAX / 2 { 0 } else { difference }
    }
}

/// A duration in nanoseconds as ticks, rounded up, so that a time-out is never shorter than it was asked for.
pub const fn ticks_from_ns(ns: u64) -> u32 {
    let ticks = ns.div_ceil(1 << TICK_SHIFT);
    if ticks > (u32::MAX / 2) as u64 { u32::MAX / 2 } else { ticks as u32 }
}

/// Ticks as nanoseconds.
pub const fn ns_from_ticks(ticks: u32) -> u64 {
    (ticks as u64) << TICK_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_survives_the_wrap_and_never_goes_below_zero() {
        assert_eq!(Tick(5).since(Tick(u32::MAX - 4)), 10);
        assert_eq!(Tick(5).since(Tick(6)), 0);
        assert_eq!(Tick::from_ns(60_000_000_000).since(Tick::from_ns(0)), 3576);
    }

    #[test]
    fn a_duration_is_never_rounded_down() {
        assert_eq!(ticks_from_ns(1), 1);
        assert!(ns_from_ticks(ticks_from_ns(60_000_000_000)) >= 60_000_000_000);
        assert_eq!(ticks_from_ns(u64::MAX), u32::MAX / 2);
    }
}
