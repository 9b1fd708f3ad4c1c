//! The rise and fall machine (pure) and the probes.
