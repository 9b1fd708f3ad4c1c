//! Packet tables: the real program, run by the kernel on one packet after the other (`BPF_PROG_TEST_RUN`).
//!
//! Every row says which packet comes in, and what must become of it: the verdict, every byte of what leaves, and every
//! counter that moves. What leaves is written down by [`packet`], which builds a packet from its fields and sums its
//! checksums from scratch, and shares nothing with the program. Each test has a network namespace, programs and maps of
//! its own ([`rig`]), so that the kernel's routes and neighbours answer, and nothing of it is left.
//!
//! No test sleeps: what is to be old is made old in the table.

mod cases;
mod icmp;
mod packet;
mod rig;
