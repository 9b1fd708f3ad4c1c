//! When waits are over; and moments that can be compared between processes, and with those in `xdplb status --json`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many times slower than a machine this one is, where that is known: an emulated one.
pub const SLOWNESS: &str = "XDPLB_SLOWNESS";

/// When a wait of this length is over.
pub fn deadline(timeout: Duration) -> Instant {
    let slowness = std::env::var(SLOWNESS).ok().and_then(|times| times.parse().ok());
    Instant::now() + timeout * slowness.unwrap_or(1)
}

/// Now, by the wall clock, in microseconds.
pub fn now_us() -> u64 {
    us(SystemTime::now())
}

/// A moment of the wall clock in microseconds; zero when it is before 1970.
pub fn us(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
