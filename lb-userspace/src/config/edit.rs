//! The configuration file, edited in place.
