//! Maglev, desired state, difference (pure).
