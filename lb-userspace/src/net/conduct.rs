//! How this host treats IPv4 addresses that are not the interface's own: what `sysctl` shows, as the kernel applies it.

use std::{fs, path::PathBuf};

use super::{Error, driver};

/// The sysctls of an interface that matter to an address on the loopback. Each is the larger of the interface's own and
/// that of `all`, as the kernel has it (`IN_DEV_MAXCONF`, `include/linux/inetdevice.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// `arp_ignore`: for which of its addresses the host answers ARP on the interface.
    pub arp_ignore: u32,
    /// `arp_announce`: which of its addresses the host asks with.
    pub arp_announce: u32,
    /// `rp_filter`: 1 drops what the host would answer by another interface.
    pub rp_filter: u32,
    /// Whether the device merges segments by itself (LRO), before any program sees them.
    pub merges_segments: bool,
}

impl Conduct {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`Error::ReadProc`] where the interface is gone or has no IPv4.
    pub fn of(interface: &str) -> Result<Self, Error> {
        let largest = |name: &str| Ok::<_, Error>(read("all", name)?.max(read(interface, name)?));
        Ok(Self {
            arp_ignore: largest("arp_ignore")?,
            arp_announce: largest("arp_announce")?,
            rp_filter: largest("rp_filter")?,
            merges_segments: driver::merges_segments(interface).unwrap_or(false),
        })
    }
}

fn read(interface: &str, name: &str) -> Result<u32, Error> {
    let path = PathBuf::from(format!("/proc/sys/net/ipv4/conf/{interface}/{name}"));
    let content = match fs::read_to_string(&path) {
        Ok(content) => content,
        Err(source) => return Err(Error::ReadProc { path, source }),
    };
    content.trim().parse().map_err(|_| Error::Unexpected { path, content })
}
