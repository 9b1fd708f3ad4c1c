//! Requests to the program that collects.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use lb_common::abi::{Address, FlowKey, collect};

use super::syscall;

/// One of the two tiers of flow entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The flow table.
    Flows = 0,
    /// The half-open tier.
    HalfOpen = 1,
}

/// The program that collects.
#[derive(Debug)]
pub struct Collector {
    program: OwnedFd,
    packet: Vec<u8>,
}

impl Collector {
    /// The collector behind a program's descriptor.
    pub fn new(program: OwnedFd) -> Self {
        Self { program, packet: Vec::new() }
    }

    /// Asks for the pairs of these keys to be deleted. Those that are not over, by the kernel's own look, stay. Returns
    /// how many pairs were deleted.
    pub fn collect<A: Address>(&mut self, tier: Tier, keys: &[FlowKey<A>]) -> io::Result<u32> {
        let mut deleted = 0;
        for keys in keys.chunks(collect::MAX_KEYS) {
            self.packet.clear();
            self.packet.resize(collect::HEADER, 0);
            self.packet[collect::FAMILY] = if size_of::<A>() == 4 { 4 } else { 6 };
            self.packet[collect::TIER] = tier as u8;
            self.packet[collect::COUNT] = keys.len() as u8;
            for key in keys {
                // SAFETY: a key is plain bytes without padding, and lives as long as the slice.
                let bytes = unsafe {
                    std::slice::from_raw_parts((&raw const *key).cast::<u8>(), size_of::<FlowKey<A>>())
                };
                self.packet.extend_from_slice(bytes);
            }
            deleted += syscall::run_program(self.program.as_fd(), &self.packet)?;
        }
        Ok(deleted)
    }
}
