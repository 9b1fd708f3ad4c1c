//! Compare-and-exchange and fetch-and-add on map memory.
//!
//! BPF has both since Linux 5.12, but Rust's target does not say so, and `core::sync::atomic` offers neither; hence the
//! instructions themselves (`Documentation/bpf/standardization/instruction-set.rst`, "Atomic operations").

/// Writes `new` where `old` stands, in one step; whether it did.
///
/// # Safety
///
/// `place` is aligned and points to eight bytes of map memory.
#[inline(always)]
pub unsafe fn compare_exchange(place: *mut u64, old: u64, new: u64) -> bool {
    let found: u64;
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller vouches for the place; the instruction writes r0 and the place only.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({place} + 0, r0, {new})",
            place = in(reg) place,
            new = in(reg) new,
            inlateout("r0") old => found,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller vouches for the place.
    unsafe {
        use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
        found = AtomicU64::from_ptr(place)
            .compare_exchange(old, new, SeqCst, SeqCst)
            .unwrap_or_else(|found| found);
    }
    found == old
}

/// Adds one in one step; the number before.
///
/// # Safety
///
/// `place` is aligned and points to eight bytes of map memory.
#[inline(always)]
pub unsafe fn fetch_increment(place: *mut u64) -> u64 {
    let mut number: u64 = 1;
    #[cfg(target_arch = "bpf")]
    // SAFETY: the caller vouches for the place; the instruction writes its register and the place only.
    unsafe {
        core::arch::asm!(
            "{number} = atomic_fetch_add((u64 *)({place} + 0), {number})",
            place = in(reg) place,
            number = inlateout(reg) number,
        );
    }
    #[cfg(not(target_arch = "bpf"))]
    // SAFETY: the caller vouches for the place.
    unsafe {
        use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
        number = AtomicU64::from_ptr(place).fetch_add(number, SeqCst);
    }
    number
}
