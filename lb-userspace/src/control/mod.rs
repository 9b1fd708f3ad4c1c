//! The API over the Unix socket: types, server, client.
