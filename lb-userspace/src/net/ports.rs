//! Which local ports the host uses for itself: what `snat_ports` must keep clear of.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use super::Error;

/// Ports from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Whether they have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Whence the kernel takes ports for its own connections (`net.ipv4.ip_local_port_range`, for both families).
pub fn ephemeral_port_range() -> Result<PortRange, Error> {
    read("/proc/sys/net/ipv4/ip_local_port_range", |content| {
        let mut numbers = content.split_whitespace().map(str::parse);
        let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(PortRange { first, last })
    })
}

/// Ports that the administrator keeps out of that (`net.ipv4.ip_local_reserved_ports`): somebody wants them.
pub fn reserved_ports() -> Result<Vec<PortRange>, Error> {
    read("/proc/sys/net/ipv4/ip_local_reserved_ports", parse_list)
}

/// "8080,9148-9150", or nothing.
fn parse_list(content: &str) -> Option<Vec<PortRange>> {
    let words = content.trim().split(',').filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some(PortRange { first: first.parse().ok()?, last: last.parse().ok()? })
        })
        .collect()
}

fn read<T>(path: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Error> {
    let path = PathBuf::from(path);
    match fs::read_to_string(&path) {
        Ok(content) => parse(&content).ok_or(Error::Unexpected { path, content }),
        Err(source) => Err(Error::ReadProc { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        let range = |first, last| PortRange { first, last };
        assert_eq!(parse_list("\n"), Some(vec![]));
        assert_eq!(parse_list("8080,9148-9150\n"), Some(vec![range(8080, 8080), range(9148, 9150)]));
        assert_eq!(parse_list("8080,nonsense"), None);
        assert_eq!(range(9148, 9150).to_string(), "9148-9150");
    }

    #[test]
    fn ranges_overlap_by_their_ends() {
        let range = |first, last| PortRange { first, last };
        for (a, b, expected) in [
            (range(1, 5), range(5, 9), true),
            (range(1, 4), range(5, 9), false),
            (range(1, 9), range(3, 4), true),
            (range(3, 4), range(1, 9), true),
        ] {
            assert_eq!(a.overlaps(b), expected, "{a} and {b}");
        }
    }

    #[test]
    fn this_host_has_an_ephemeral_range() {
        let range = ephemeral_port_range().expect("/proc is mounted wherever tests run");
        assert!(range.first < range.last, "{range}");
        reserved_ports().expect("/proc is mounted wherever tests run");
    }
}
