//! What the XDP programs and the agent must agree on, and nothing else.
#![no_std]
