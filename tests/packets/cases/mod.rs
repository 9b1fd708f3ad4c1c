//! The tables, one file for each thing that the program does.

mod adoption;
mod again;
mod close;
mod handshake;
mod ports;
mod refusals;
mod resets;
mod spread;
mod tiers;
mod twins;
