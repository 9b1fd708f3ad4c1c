//! The layout of every map: what the programs and the agent read and write together.
//!
//! Addresses and ports stay as they are on the wire (big-endian byte arrays); all else is in the machine's byte order.
//! No type has padding: `zerocopy::IntoBytes` refuses it at compile time, or a key's look-up would depend on it.
//! A change of any layout or meaning changes [`ABI_VERSION`].

mod address;
pub mod collect;
pub mod decap;
mod evidence;
mod flow;
mod layout;
mod settings;
mod tables;

#[cfg(test)]
mod tests;

pub use self::{address::*, evidence::*, flow::*, settings::*, tables::*};

/// The version of everything in this module. An agent does not take over pinned maps of another version.
pub const ABI_VERSION: u32 = 3;

/// Index of a backend in the backend arrays. 0 is nobody; an id is not given to another backend while flows hold it.
pub type BackendId = u16;
/// Index of a link in the link arrays. 0 is none.
pub type LinkId = u8;
/// Index of a service in the choice tables.
pub type ServiceId = u8;
