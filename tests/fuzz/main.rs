//! The loaded program against a model of it: sequences of packets of every kind, with changes of the tables in between, run
//! through both, and everything compared: the verdict, every byte that leaves, every counter, every entry, what the agent is
//! told.
//!
//! [`model`] is what xdplb is to do, once more, slow and obvious. [`generator`] makes stories: some clients, their backends, what
//! both say in and out of turn, and what nobody would say. [`duel`] runs a story through both; [`invariants`] must hold whatever
//! the model says. A difference is made as short as it goes and told in words ([`shorten`], [`report`]).
//!
//! `cargo xtask test` runs a fixed portion, `cargo xtask fuzz` goes on until it is told to end.

mod coverage;
mod duel;
mod generator;
#[path = "../packets/icmp.rs"]
mod icmp;
mod invariants;
mod model;
#[path = "../packets/packet.rs"]
mod packet;
mod program;
mod random;
mod report;
#[expect(dead_code, unused_imports, reason = "it is made for the packet tables, which use all of it")]
#[path = "../packets/rig/mod.rs"]
mod rig;
mod run;
mod shorten;
mod stored;
mod story;
mod world;
