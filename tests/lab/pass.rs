//! A program that says PASS, for the switch's ends of the cables.
//!
//! veth flushes the frames of a native `XDP_TX` only when the far end has a program of its own. Two instructions
//! need no tool chain: they are handed to `bpf(2)` as they are (layouts from `linux/bpf.h`; links on XDP need
//! kernel 5.9).

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use anyhow::{Context, Result};

use crate::namespace::Namespace;

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// `r0 = XDP_PASS; exit`, in `struct bpf_insn` of eight bytes each.
const PASS: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 2, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// The first fields of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes what follows as zero.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
}

/// The first fields of `union bpf_attr` for `BPF_LINK_CREATE`.
#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches the program to the ports; it stays as long as the descriptors.
pub(crate) fn attach(switch: &Namespace, ports: &[String]) -> Result<Vec<OwnedFd>> {
    let program = load().context("cannot load a PASS program; run as root on a kernel with BPF")?;
    switch.enter(|| -> Result<Vec<OwnedFd>> {
        let link = |port: &String| {
            link(&program, port).with_context(|| format!("cannot attach a native program to {port}"))
        };
        ports.iter().map(link).collect()
    })?
}

/// Can this process load a program at all?
pub(crate) fn load() -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    prog_name[..8].copy_from_slice(b"xlb_pass");
    let attributes = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: 2,
        insns: PASS.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name,
    };
    // SAFETY: the attributes and what they point to outlive the call.
    unsafe { bpf(BPF_PROG_LOAD, &attributes) }
}

fn link(program: &OwnedFd, port: &str) -> Result<OwnedFd> {
    let name = CString::new(port)?;
    // SAFETY: the name is a valid C string.
    let target_ifindex = unsafe { libc::if_nametoindex(name.as_ptr()) };
    let attributes = LinkCreate {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex,
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    // SAFETY: the attributes outlive the call; the descriptor is open.
    Ok(unsafe { bpf(BPF_LINK_CREATE, &attributes) }?)
}

/// # Safety
///
/// `T` begins as `union bpf_attr` does for this command, and what it points to is valid.
unsafe fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: by the caller's promise; the size is that of the attributes.
    let descriptor = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_are_laid_out_as_the_kernel_reads_them() {
        assert_eq!(size_of::<ProgLoad>(), 64, "BPF_PROG_LOAD up to prog_name");
        assert_eq!(size_of::<LinkCreate>(), 16, "BPF_LINK_CREATE up to flags");
    }
}
