//! The driver behind an interface: `ETHTOOL_GDRVINFO`, which follows the thread's network namespace.

use std::ffi::c_char;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `ETHTOOL_GDRVINFO` of `linux/ethtool.h`.
const GET_DRIVER_INFO: u32 = 0x0000_0003;

/// `struct ethtool_drvinfo` of `linux/ethtool.h`: 196 bytes.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    version: [u8; 32],
    firmware: [u8; 32],
    bus: [u8; 32],
    rom: [u8; 32],
    reserved: [u8; 12],
    counts: [u32; 5],
}

const _: () = assert!(size_of::<DriverInfo>() == 196, "the kernel writes 196 bytes");

/// `None` where a device has no driver to name (loopback) or the interface is gone.
pub(super) fn driver_of(interface: &str) -> Option<String> {
    let mut info = DriverInfo {
        command: GET_DRIVER_INFO,
        driver: [0; 32],
        version: [0; 32],
        firmware: [0; 32],
        bus: [0; 32],
        rom: [0; 32],
        reserved: [0; 12],
        counts: [0; 5],
    };
    let mut name = [0 as c_char; libc::IFNAMSIZ];
    // The last byte stays zero.
    if interface.len() >= name.len() {
        return None;
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed() as c_char;
    }
    let data = (&raw mut info).cast();
    let mut request =
        libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data } };
    let socket = datagram_socket()?;
    // SAFETY: the request is a whole `ifreq` whose data points to a `DriverInfo` of the size that the kernel writes for
    // this command; both outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if done != 0 {
        return None;
    }
    let length = info.driver.iter().position(|&byte| byte == 0)?;
    let driver = std::str::from_utf8(info.driver.get(..length)?).ok()?;
    (!driver.is_empty()).then(|| driver.to_owned())
}

fn datagram_socket() -> Option<OwnedFd> {
    // SAFETY: no pointers are passed.
    let descriptor = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return None;
    }
    // SAFETY: the descriptor was made just now and nobody else has it.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
