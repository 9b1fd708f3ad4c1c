//! The tables, one file for each thing that the program does.

mod adoption;
mod again;
mod checksums;
mod close;
mod collector;
mod figures;
mod foreign;
mod fragments;
mod handshake;
mod headers;
mod malformed;
mod ports;
mod refusals;
mod resets;
mod spread;
mod tiers;
mod twins;
mod verifier;
