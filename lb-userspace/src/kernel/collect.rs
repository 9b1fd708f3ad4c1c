//! Requests to the program `collect`, which works on pairs that are named by their keys.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use lb_common::abi::{Address, FlowKey, collect};

use super::{batch::bytes_of, pins, syscall};

/// One of the two tiers of flow entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The flow table.
    Flows = 0,
    /// The half-open tier.
    HalfOpen = 1,
}

/// The program `collect`.
#[derive(Debug)]
pub struct Collector {
    program: OwnedFd,
    packet: Vec<u8>,
}

impl Collector {
    /// The program behind a descriptor.
    pub fn new(program: OwnedFd) -> Self {
        Self { program, packet: Vec::new() }
    }

    /// The program that the agent of a pin directory has pinned.
    pub fn open(directory: &Path) -> io::Result<Self> {
        syscall::open_pinned(&directory.join(pins::COLLECT)).map(Self::new)
    }

    /// Asks for the pairs of these keys to be deleted. Those that are not over, by the kernel's own look, stay. Returns
    /// how many pairs were deleted.
    pub fn collect<A: Address>(&mut self, tier: Tier, keys: &[FlowKey<A>]) -> io::Result<u32> {
        self.request(collect::DELETE_EXPIRED, tier, keys)
    }

    /// Asks for the pairs of these keys to be reset with the next packet of either end. Those that are closed by now
    /// stay as they are. Returns how many pairs were marked.
    pub fn reset<A: Address>(&mut self, tier: Tier, keys: &[FlowKey<A>]) -> io::Result<u32> {
        self.request(collect::RESET, tier, keys)
    }

    fn request<A: Address>(&mut self, operation: u8, tier: Tier, keys: &[FlowKey<A>]) -> io::Result<u32> {
        let mut done = 0;
        for keys in keys.chunks(collect::MAX_KEYS) {
            self.packet.clear();
            self.packet.resize(collect::HEADER, 0);
            self.packet[collect::FAMILY] = if size_of::<A>() == 4 { 4 } else { 6 };
            self.packet[collect::TIER] = tier as u8;
            self.packet[collect::COUNT] = keys.len() as u8;
            self.packet[collect::OPERATION] = operation;
            for key in keys {
                self.packet.extend_from_slice(bytes_of(key));
            }
            done += syscall::run_program(self.program.as_fd(), &self.packet)?;
        }
        Ok(done)
    }
}
