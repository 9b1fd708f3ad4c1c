//! Loading, attaching, pinning, typed maps: the only user of aya and of the `bpf` system call.
//!
//! The kernel's state outlives the agent: maps and links are pinned under the pin directory ([`pins`]), a new agent
//! opens the same maps ([`Tables`]) and replaces the program in the links ([`attach()`]) atomically.

pub mod attach;
pub mod batch;
pub mod collect;
pub mod decap;
pub mod document;
pub mod drop_lines;
pub mod error;
pub mod load;
pub mod number;
pub mod pins;
pub mod release;
pub mod remains;
pub mod syscall;
pub mod tables;

pub use attach::{Attachment, attach, attach_anew};
pub use decap::Decap;
pub use drop_lines::DropLines;
pub use error::Error;
pub use load::{DataPlane, DropLog, Sizes};
pub use pins::PinDirectory;
pub use tables::Tables;
