//! What ethtool tells of an interface, in the thread's network namespace: its driver (`ETHTOOL_GDRVINFO`), and whether it
//! merges packets before the kernel sees them (`ETHTOOL_GFLAGS`).

use std::ffi::c_char;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `ETHTOOL_GDRVINFO` of `linux/ethtool.h`.
const GET_DRIVER_INFO: u32 = 0x0000_0003;

/// `ETHTOOL_GFLAGS`.
const GET_FLAGS: u32 = 0x0000_0025;
/// `ETH_FLAG_LRO`.
const LRO: u32 = 1 << 15;

/// `struct ethtool_value` of `linux/ethtool.h`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

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
    // SAFETY: the kernel writes a `DriverInfo` for this command.
    unsafe { ask(interface, &mut info) }?;
    let length = info.driver.iter().position(|&byte| byte == 0)?;
    let driver = std::str::from_utf8(info.driver.get(..length)?).ok()?;
    (!driver.is_empty()).then(|| driver.to_owned())
}

/// Whether the device merges TCP segments of one connection by itself (LRO). `None` where it does not say.
pub(super) fn merges_segments(interface: &str) -> Option<bool> {
    let mut value = Value { command: GET_FLAGS, data: 0 };
    // SAFETY: the kernel writes a `Value` for this command.
    unsafe { ask(interface, &mut value) }?;
    Some(value.data & LRO != 0)
}

/// Asks the kernel, which answers in the same structure. `None` where it does not answer.
///
/// # Safety
///
/// `T` is the structure that the kernel reads and writes for the command that it begins with.
unsafe fn ask<T>(interface: &str, question: &mut T) -> Option<()> {
    let mut name = [0 as c_char; libc::IFNAMSIZ];
    // The last byte stays zero.
    if interface.len() >= name.len() {
        return None;
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from.cast_signed() as c_char;
    }
    let data = (&raw mut *question).cast();
    let mut request =
        libc::ifreq { ifr_name: name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: data } };
    let socket = datagram_socket()?;
    // SAFETY: the request is a whole `ifreq`, and the caller vouches for its data; both outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    (done == 0).then_some(())
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
