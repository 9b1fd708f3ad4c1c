//! Whole systems in network namespaces: each story tells what a user relies on.
