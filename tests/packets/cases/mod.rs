//! The tables, one file for each thing that the program does.

mod handshake;
