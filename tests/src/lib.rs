//! The laboratory: namespaces, packets, servers and clients for the tests that cross a crate.
