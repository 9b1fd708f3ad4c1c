//! What the XDP programs and the agent must agree on, and nothing else: the layout of every map
//! ([`abi`]), the bound of every table ([`limits`]), the names of every verdict ([`counters`]), the wire formats
//! ([`wire`]) and the pure arithmetic that both sides do ([`checksum`], [`hash`], [`tcp`], [`ports`], [`ecn`]).
//!
//! `no_std`, no allocation, no panic paths on what the programs call: it compiles for BPF and is tested on the host.
#![no_std]

pub mod abi;
pub mod checksum;
pub mod counters;
pub mod ecn;
pub mod hash;
pub mod limits;
pub mod ports;
pub mod tcp;
pub mod tick;
pub mod wire;
