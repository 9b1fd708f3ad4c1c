//! Arguments, and what a person sees of each command.

pub mod args;
