//! The clocks that the kernel's tables speak of.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since boot on `CLOCK_MONOTONIC`, which the programs read too.
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Seconds since 1970.
pub fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The moment with so many seconds since 1970.
pub fn from_unix_s(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// One moment as the agent's machines have it and as the kernel's tables do, to tell each from the other.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    instant: Instant,
    monotonic_ns: u64,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self { instant: Instant::now(), monotonic_ns: monotonic_ns() }
    }

    /// When it is, on `CLOCK_MONOTONIC`.
    pub fn monotonic_ns(self) -> u64 {
        self.monotonic_ns
    }

    /// Another moment on `CLOCK_MONOTONIC`; one to come is now.
    pub fn ns_of(self, instant: Instant) -> u64 {
        let age = self.instant.saturating_duration_since(instant).as_nanos();
        self.monotonic_ns.saturating_sub(u64::try_from(age).unwrap_or(u64::MAX))
    }

    /// A moment of `CLOCK_MONOTONIC`; one to come is now.
    pub fn instant_of(self, monotonic_ns: u64) -> Instant {
        let age = Duration::from_nanos(self.monotonic_ns.saturating_sub(monotonic_ns));
        self.instant.checked_sub(age).unwrap_or(self.instant)
    }

    /// So much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let later = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { instant: self.instant + duration, monotonic_ns: self.monotonic_ns.saturating_add(later) }
    }
}
