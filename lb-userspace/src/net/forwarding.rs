//! Making the kernel's route look-up answer, without making the host a router.
//!
//! `bpf_fib_lookup` asks whether the *ingress* interface forwards. XDP passes the loopback as ingress, so only the
//! loopback is told to: no packet from outside ever comes in there, and nothing else changes.

use std::fs;
use std::io;

use super::Error;

/// The sysctls, by the numbers of their bits.
const SYSCTLS: [(&str, &str); 2] = [
    ("net.ipv4.conf.lo.forwarding", "/proc/sys/net/ipv4/conf/lo/forwarding"),
    ("net.ipv6.conf.lo.forwarding", "/proc/sys/net/ipv6/conf/lo/forwarding"),
];

/// Some of the two sysctls that the look-up needs, of the present network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FibSysctls(u32);

impl FibSysctls {
    /// Those that are 0. A family that the kernel does not have is left out.
    pub fn missing() -> Result<Self, Error> {
        let mut missing = 0;
        for (bit, (name, path)) in SYSCTLS.into_iter().enumerate() {
            match fs::read_to_string(path) {
                Ok(value) if value.trim() != "0" => {}
                Ok(_) => missing |= 1 << bit,
                Err(error) if error.kind() == io::ErrorKind::NotFound && name.contains("ipv6") => {}
                Err(source) => return Err(Error::ReadProc { path: path.into(), source }),
            }
        }
        Ok(Self(missing))
    }

    /// Sets them to 1.
    pub fn set(self) -> Result<(), Error> {
        self.write("1")
    }

    /// Sets them to 0, as they were found.
    ///
    /// # Errors
    ///
    /// The first that could not be written; the others are put back all the same.
    pub fn restore(self) -> Result<(), Error> {
        self.write("0")
    }

    fn write(self, value: &'static str) -> Result<(), Error> {
        let write = |(name, path): (&'static str, &str)| {
            fs::write(path, value).map_err(|source| Error::WriteSysctl {
                path: path.into(),
                name,
                value,
                source,
            })
        };
        self.iter().map(write).fold(Ok(()), Result::and)
    }

    fn iter(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        SYSCTLS
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 != 0)
            .map(|(_, sysctl)| sysctl)
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        self.iter().map(|(name, _)| name)
    }

    /// Both sets.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set as a number, to be pinned.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The set with this number.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}
