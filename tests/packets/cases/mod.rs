//! The tables, one file for each thing that the program does.

mod adoption;
mod again;
mod checksums;
mod close;
mod collector;
mod drop_log;
mod evidence;
mod figures;
mod flood;
mod foreign;
mod fragments;
mod handshake;
mod headers;
mod local_socket;
mod malformed;
mod operator;
mod ports;
mod property;
mod redispatch;
mod refusals;
mod resets;
mod spread;
mod tiers;
mod twins;
mod two_cpus;
mod verifier;
