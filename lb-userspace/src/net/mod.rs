//! Netlink: links, addresses, neighbours.
