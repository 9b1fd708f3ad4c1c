//! Making the kernel's route look-up answer, without making the host a router.
//!
//! `bpf_fib_lookup` asks whether the *ingress* interface forwards. XDP passes the loopback as ingress, so only the
//! loopback is told to: no packet from outside ever comes in there, and nothing else changes.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::Error;

const SWITCHES: [(&str, &str); 2] = [
    ("net.ipv4.conf.lo.forwarding", "/proc/sys/net/ipv4/conf/lo/forwarding"),
    ("net.ipv6.conf.lo.forwarding", "/proc/sys/net/ipv6/conf/lo/forwarding"),
];

/// What [`prepare_fib`] changed.
#[derive(Debug, Default)]
#[must_use = "what was changed is to be restored at detach"]
pub struct FibPreparation {
    changed: Vec<(&'static str, PathBuf)>,
}

impl FibPreparation {
    /// The names of the sysctls that went from 0 to 1, for the log.
    pub fn changed(&self) -> impl Iterator<Item = &'static str> {
        self.changed.iter().map(|(name, _)| *name)
    }

    /// Puts back what was changed. Not when another agent on this host still forwards.
    ///
    /// # Errors
    ///
    /// The first that could not be written; the others are put back all the same.
    pub fn restore(self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for (name, path) in self.changed {
            outcome = outcome.and(write(name, path, "0"));
        }
        outcome
    }
}

/// Sets `net.ipv4.conf.lo.forwarding` and `net.ipv6.conf.lo.forwarding` to 1 in the present network namespace.
///
/// What is 1 already is left alone, also where `/proc/sys` cannot be written. A family that the kernel does not have
/// is left out.
pub fn prepare_fib() -> Result<FibPreparation, Error> {
    let mut preparation = FibPreparation::default();
    for (name, path) in SWITCHES {
        let path = PathBuf::from(path);
        match fs::read_to_string(&path) {
            Ok(value) if value.trim() != "0" => {}
            Ok(_) => {
                write(name, path.clone(), "1")?;
                preparation.changed.push((name, path));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.contains("ipv6") => {}
            Err(source) => return Err(Error::ReadProc { path, source }),
        }
    }
    Ok(preparation)
}

fn write(name: &'static str, path: PathBuf, value: &'static str) -> Result<(), Error> {
    fs::write(&path, value).map_err(|source| Error::WriteSysctl { path, name, value, source })
}
