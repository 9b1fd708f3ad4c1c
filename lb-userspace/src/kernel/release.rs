//! Which kernel this is, and what its refusals mean: one that is too old for the programs, or a verifier that does not
//! follow them.

use std::{ffi::CStr, mem};

/// The oldest kernel that has what the programs use, major and minor number.
const OLDEST: (u32, u32) = (6, 1);

/// The release of the running kernel, as `uname -r` prints it.
pub fn running() -> String {
    // SAFETY: arrays of bytes, for which zero is a value.
    let mut name: libc::utsname = unsafe { mem::zeroed() };
    // SAFETY: the structure outlives the call.
    if unsafe { libc::uname(&raw mut name) } != 0 {
        return String::new();
    }
    // SAFETY: the kernel ends the string with a zero within the array.
    unsafe { CStr::from_ptr(name.release.as_ptr()) }.to_string_lossy().into_owned()
}

/// Whether a kernel of this release is too old. One whose release does not begin with two numbers is not known to be.
pub fn is_too_old(release: &str) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        _ => false,
    }
}

/// The line of the verifier's log that says what it does not like: the last one before its statistics.
pub fn complaint(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    let is_complaint =
        |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|statistics| line.starts_with(statistics));
    log.lines().map(str::trim).rfind(is_complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for old in ["5.15.0-91-generic", "6.0.19", "4.18.0-553.el8", "3.10.0"] {
            assert!(is_too_old(old), "{old} is too old");
        }
        for new in ["6.1.0-18-amd64", "6.1", "6.18.44", "6.10.3-rc1", "7.0.0", "10.1", "", "wonderful", "6"] {
            assert!(!is_too_old(new), "{new:?} is not known to be too old");
        }
        assert!(running().contains('.'), "the running kernel tells its release: {:?}", running());
    }

    #[test]
    fn the_complaint_comes_before_the_statistics() {
        let log = "0: R1=ctx() R10=fp0\n; if start + N > end { @ packet.rs:31\n12: (71) r3 = *(u8 *)(r2 +13)\n\
                   invalid access to packet, off=13 size=1, R2(id=0,off=13,r=0)\nR2 offset is outside of the packet\n\
                   verification time 31 usec\nstack depth 0+0\nprocessed 12 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(complaint(log), Some("R2 offset is outside of the packet"));
        assert_eq!(complaint("processed 12 insns\n"), None);
        assert_eq!(complaint(""), None);
    }
}
