//! Netlink and the few sysctls: links, addresses, routes, neighbours of the present network namespace.
//!
//! [`Netlink`] asks, [`watch`] listens, [`Neighbours`] keeps next hops resolved, [`FibSysctls`] make the kernel's
//! look-up answer without making the host a router. What it must never do: add or remove an address or a route, delete
//! a neighbour entry, or write any sysctl but the two of [`FibSysctls`].
//!
//! Everything is read through the thread's own network namespace (sockets, `/proc/sys/net`, `/proc/thread-self/net`)
//! and nothing through `/sys/class/net`, which shows the namespace in which `/sys` was mounted: under
//! `nsenter --net` that is another one.

mod conduct;
mod driver;
mod error;
mod facts;
mod forwarding;
mod frames;
mod listeners;
mod neighbour;
mod neighbours;
mod ports;
mod route;
mod watch;
mod xdp_advice;
mod xdp_programs;

#[cfg(test)]
pub(crate) mod namespace;
#[cfg(test)]
mod tests;

pub use self::conduct::Conduct;
pub use self::error::Error;
pub use self::facts::{Address, Facts, Interface, Scope};
pub use self::forwarding::FibSysctls;
pub use self::frames::FrameSocket;
pub use self::listeners::{Listener, listeners};
pub use self::neighbour::{Neighbour, NextHop, State};
pub use self::neighbours::{Neighbours, Refreshed};
pub use self::ports::{PortRange, ephemeral_port_range, reserved_ports};
pub use self::route::Route;
pub use self::watch::{Event, watch};
pub use self::xdp_advice::{XdpAdvice, xdp_advice};
pub use self::xdp_programs::XdpProgram;

use rtnetlink::Handle;

/// An open rtnetlink connection. Clones share it; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// Opens a connection to the network namespace of the calling thread, served by the present tokio runtime.
    pub fn open() -> Result<Self, Error> {
        let (connection, handle, _unsolicited) = rtnetlink::new_connection().map_err(Error::Open)?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }
}
