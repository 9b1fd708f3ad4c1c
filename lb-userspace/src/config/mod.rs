//! From text to a validated configuration, in one place.
