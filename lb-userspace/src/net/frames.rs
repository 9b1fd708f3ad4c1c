//! Whole Ethernet frames, out of an interface: for the RSTs that end a connection at both ends.
//!
//! They go past the host's routes and its packet filter, by the same next hops as the connection's own packets.

use std::io;

use lb_common::wire::Mac;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

/// A socket that sends frames and receives none.
#[derive(Debug)]
pub struct FrameSocket(Socket);

impl FrameSocket {
    /// Opens it; with `CAP_NET_RAW`.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        // No protocol: nothing is received.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        Ok(Self(socket))
    }

    /// Sends one frame, with its Ethernet header.
    ///
    /// # Errors
    ///
    /// What the kernel says: the interface is gone or down, or its queue is full.
    pub fn send(&self, interface: u32, destination: Mac, frame: &[u8]) -> io::Result<()> {
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: the storage is larger than any socket address, and aligned for it.
        let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
        address.sll_family = libc::AF_PACKET as libc::sa_family_t;
        address.sll_ifindex = interface.cast_signed();
        address.sll_halen = destination.len() as u8;
        address.sll_addr[..destination.len()].copy_from_slice(&destination);
        let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the storage holds an address of that length.
        let address = unsafe { SockAddr::new(storage, length) };
        self.0.send_to(frame, &address).map(drop)
    }
}
