//! A handshake that its backend does not take is offered to the next one, before the client hears of it.

mod bounds;
mod checksums;
mod crowded;
mod foreign;
mod frames;
mod icmp;
mod property;
mod refusal;
mod silence;
mod tables;
mod two_cpus;
mod undone;
