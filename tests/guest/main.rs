//! What needs a kernel of its own: the oldest one that is promised, and devices that the kernel here may lack.
//!
//! `in_a_guest` boots guests and runs tests in them: those of the other binaries as they are, and those of `devices`, which
//! run on the host too where it has such devices.

mod devices;
mod in_a_guest;
