//! The program as users and enemies meet it: what it refuses, what it says, what it leaves behind.
//!
//! Run them one at a time (`--test-threads=1`): two cores are few.

mod bad_input;
mod capacity;
mod decap;
mod detach;
mod drop_log;
mod edits;
mod endings;
mod events;
mod memory;
mod no_agent;
mod privileges;
mod reload;
mod schema;
mod setting;
mod take_over;
mod two_agents;
