//! What the whole of `config` promises.
