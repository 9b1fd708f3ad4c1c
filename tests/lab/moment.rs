//! Moments that can be compared between processes, and with those in `xdplb status --json`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Now, by the wall clock, in microseconds.
pub fn now_us() -> u64 {
    us(SystemTime::now())
}

/// A moment of the wall clock in microseconds; zero when it is before 1970.
pub fn us(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
