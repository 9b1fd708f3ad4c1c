//! The one task that owns the state: events in, table writes out.
