//! Loading, attaching, pinning, typed maps: the only user of aya.
