//! What changes, as the kernel tells it.
//!
//! The stream says what is new, not what was: begin with a dump *after* [`watch`] has returned, and dump again after
//! [`Event::Resync`]. Route changes come coarse and gathered, for a router may see thousands a second.

use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::proto::sys::{AsyncSocket, SocketAddr};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Address, Error, Interface, Neighbour, NextHop};

/// Events that may wait for their reader. When it is slower than that, it gets a [`Event::Resync`] instead.
const EVENTS: usize = 1024;

/// The kernel's buffer: bursts (a link with hundreds of neighbours goes down) fit; it is capped by `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Route changes within this time are one event.
const GATHER: Duration = Duration::from_millis(50);

/// A change in the network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An interface appeared or changed. Its `driver` and `addresses` are not filled.
    Link(Box<Interface>),
    /// An interface is gone.
    LinkRemoved {
        /// Its index, which no other interface gets soon.
        index: u32,
        /// Its last name.
        name: String,
    },
    /// An address was added or changed.
    AddressAdded {
        /// On this interface.
        interface: u32,
        /// The address.
        address: Address,
    },
    /// An address is gone.
    AddressRemoved {
        /// From this interface.
        interface: u32,
        /// The address.
        address: Address,
    },
    /// A neighbour changed its state or MAC.
    Neighbour(Neighbour),
    /// A neighbour entry is gone, as all of an interface that loses its carrier.
    NeighbourRemoved(NextHop),
    /// Routes or rules changed: ask again for every next hop.
    RoutesChanged,
    /// Events were lost: dump everything again.
    Resync,
}

/// Listens for changes in the network namespace of the calling thread, until the receiver is dropped.
///
/// The stream ends when the kernel closes the socket, which it does not do by itself.
pub fn watch() -> Result<mpsc::Receiver<Event>, Error> {
    let groups = [
        MulticastGroup::Link,
        MulticastGroup::Neigh,
        MulticastGroup::Ipv4Ifaddr,
        MulticastGroup::Ipv6Ifaddr,
        MulticastGroup::Ipv4Route,
        MulticastGroup::Ipv6Route,
        MulticastGroup::Ipv4Rule,
        MulticastGroup::Ipv6Rule,
        MulticastGroup::Nexthop,
    ];
    let (mut connection, handle, messages) =
        rtnetlink::new_multicast_connection(&groups).map_err(Error::Open)?;
    let socket = connection.socket_mut().socket_mut();
    socket.set_rx_buf_sz(RECEIVE_BUFFER).map_err(Error::Open)?;
    tokio::spawn(connection);
    let (events, receiver) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        // The connection ends with its last handle.
        let _handle = handle;
        forward(messages, events).await;
    });
    Ok(receiver)
}

type Messages = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

async fn forward(mut messages: Messages, events: mpsc::Sender<Event>) {
    let mut routes_at: Option<Instant> = None;
    loop {
        let event = tokio::select! {
            message = messages.next() => match message {
                Some((message, _)) => translate(message.payload),
                None => return,
            },
            () = sleep_until(routes_at.unwrap_or_else(Instant::now)), if routes_at.is_some() => {
                routes_at = None;
                Some(Translated::Now(Event::RoutesChanged))
            },
            () = events.closed() => return,
        };
        let passed = match event {
            Some(Translated::Now(event)) => pass_on(event, &mut messages, &events).await,
            Some(Translated::RoutesSoon) => {
                routes_at.get_or_insert_with(|| Instant::now() + GATHER);
                true
            }
            None => true,
        };
        if !passed {
            return;
        }
    }
}

/// Passes an event on without ever waiting for the reader with messages piling up. False when nobody listens any more.
async fn pass_on(event: Event, messages: &mut Messages, events: &mpsc::Sender<Event>) -> bool {
    match events.try_send(event) {
        Ok(()) => true,
        Err(mpsc::error::TrySendError::Closed(_)) => false,
        Err(mpsc::error::TrySendError::Full(_)) => loop {
            tokio::select! {
                biased;
                message = messages.next() => if message.is_none() { return false },
                room = events.reserve() => {
                    let Ok(room) = room else { return false };
                    room.send(Event::Resync);
                    return true;
                },
            }
        },
    }
}

enum Translated {
    Now(Event),
    /// A route changed; more will follow.
    RoutesSoon,
}

fn translate(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Translated> {
    use RouteNetlinkMessage as Message;
    let message = match payload {
        // The receive buffer overflowed (ENOBUFS).
        NetlinkPayload::Overrun(_) => return Some(Translated::Now(Event::Resync)),
        NetlinkPayload::InnerMessage(message) => message,
        _ => return None,
    };
    let event = match message {
        Message::NewLink(link) => Event::Link(Box::new(Interface::from_message(&link)?)),
        Message::DelLink(link) => {
            let Interface { index, name, .. } = Interface::from_message(&link)?;
            Event::LinkRemoved { index, name }
        }
        Message::NewAddress(message) => {
            let (interface, address) = Address::from_message(&message)?;
            Event::AddressAdded { interface, address }
        }
        Message::DelAddress(message) => {
            let (interface, address) = Address::from_message(&message)?;
            Event::AddressRemoved { interface, address }
        }
        Message::NewNeighbour(message) => Event::Neighbour(Neighbour::from_message(&message)?),
        Message::DelNeighbour(message) => {
            Event::NeighbourRemoved(Neighbour::from_message(&message)?.next_hop)
        }
        Message::NewRoute(_) | Message::DelRoute(_) | Message::NewRule(_) | Message::DelRule(_) => {
            return Some(Translated::RoutesSoon);
        }
        _ => return None,
    };
    Some(Translated::Now(event))
}
