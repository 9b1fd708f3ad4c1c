//! The agent and the command line of xdplb.
//!
//! A functional core ([`config`], [`health`], [`tables`]: pure, they take the time as an argument) in an
//! imperative shell ([`kernel`], [`net`], [`control`], [`view`], [`cli`]); [`agent`] wires them together.
//! The core never imports the shell.

pub mod agent;
pub mod cli;
pub mod config;
pub mod control;
pub mod health;
pub mod kernel;
pub mod net;
pub mod tables;
pub mod view;
