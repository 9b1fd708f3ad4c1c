//! Keeping next hops resolved that the kernel itself never uses.
//!
//! XDP sends to a backend without asking the kernel, so the kernel sees an entry that nobody uses, lets it go stale
//! and throws it away. Therefore the entries are put under its management: `NTF_EXT_MANAGED` (kernel 5.16) makes it
//! verify them for ever, `NTF_EXT_LEARNED` exempts them from garbage collection (both as `linux/neighbour.h` defines
//! them). Seen on kernel 6.18, without a packet of traffic:
//!
//! - a managed entry goes from reachable through delay and probe back to reachable by itself, each
//!   `base_reachable_time` (30 s, ± half) plus at most `interval_probe_time_ms` (5 s) and `delay_first_probe_time` (5 s);
//! - a silent neighbour is told as failed after 3 s, and asked again about every 7 s; one that comes back is told as
//!   reachable;
//! - when the interface loses its carrier or goes down, **every such entry is deleted and does not come back by
//!   itself**: whoever hears of a changed link or a removed neighbour calls [`Neighbours::refresh`];
//! - marking an administrator's *permanent* entry as managed *destroys* it (it becomes incomplete), so entries that
//!   are fixed, or that another control plane learned, are left as they are and used as they are;
//! - a message with `NTF_USE` and neither flag ends the management and leaves an ordinary cache entry. That is how an
//!   entry is let go: nothing is ever deleted, whoever made it.
//!
//! Kernels before 5.16 ignore the flag without a word. That is noticed by reading back; there, every refresh makes the
//! kernel verify the entry once (`NTF_USE`), so call it every few seconds in any case.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourState,
};
use rtnetlink::packet_route::route::RouteProtocol;

use super::error::reason;
use super::neighbour::PROTOCOL;
use super::{Error, Neighbour, Netlink, NextHop, State};

impl Netlink {
    /// All neighbour entries of both families: what to do after [`Resync`](super::Event::Resync).
    pub async fn neighbours(&self) -> Result<BTreeMap<NextHop, Neighbour>, Error> {
        let mut table = BTreeMap::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut entries = Box::pin(self.handle.neighbours().get().set_address_family(family).execute());
            while let Some(entry) = entries.try_next().await.map_err(Error::read("the neighbours"))? {
                if let Some(neighbour) = Neighbour::from_message(&entry) {
                    table.insert(neighbour.next_hop, neighbour);
                }
            }
        }
        Ok(table)
    }

    /// Ends the management of every neighbour that an xdplb has put under it. What an administrator or another control
    /// plane manages is left alone.
    ///
    /// # Errors
    ///
    /// The first that is refused; the others are let go all the same.
    pub async fn release_neighbours(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for (next_hop, entry) in self.neighbours().await? {
            if entry.managed && entry.ours {
                outcome = outcome.and(release(self, next_hop).await);
            }
        }
        outcome
    }
}

/// The next hops that are to stay resolved, and those that this process holds in the kernel.
///
/// Dropping it lets nothing go: programs that forward without an agent need the entries. [`Netlink::release_neighbours`]
/// lets go of all. Entries that a crashed agent left are taken over when they are wanted, and stay resolved when they are not.
#[derive(Debug)]
pub struct Neighbours {
    netlink: Netlink,
    wanted: BTreeSet<NextHop>,
    held: BTreeSet<NextHop>,
    kernel_manages: Option<bool>,
}

/// What a refresh found.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// The wanted neighbours that the kernel knows, as they are now; changes come through [`watch`](super::watch).
    pub neighbours: BTreeMap<NextHop, Neighbour>,
    /// The wanted ones that the kernel refused; the next refresh tries them again.
    pub refused: Vec<Error>,
}

impl Neighbours {
    /// Wants nothing yet.
    pub fn new(netlink: Netlink) -> Self {
        Self { netlink, wanted: BTreeSet::new(), held: BTreeSet::new(), kernel_manages: None }
    }

    /// Wants exactly these, from the next refresh on.
    pub fn want(&mut self, wanted: BTreeSet<NextHop>) {
        self.wanted = wanted;
    }

    /// Whether the kernel does the verifying (5.16 and later); `None` until something was wanted.
    pub fn kernel_manages(&self) -> Option<bool> {
        self.kernel_manages
    }

    /// Brings the kernel's table to what is wanted. Cheap: one dump when nothing is to do.
    pub async fn refresh(&mut self) -> Result<Refreshed, Error> {
        let table = self.netlink.neighbours().await?;
        self.let_go(&table).await;
        let mut refused = Vec::new();
        let mut took = Vec::new();
        for &next_hop in &self.wanted {
            if table.get(&next_hop).is_some_and(is_of_others) {
                self.held.remove(&next_hop);
                continue;
            }
            self.held.insert(next_hop);
            if table.get(&next_hop).is_some_and(|entry| entry.managed) {
                continue;
            }
            match take(&self.netlink, next_hop).await {
                Ok(()) => took.push(next_hop),
                Err(error) => refused.push(error),
            }
        }
        let mut table = if took.is_empty() { table } else { self.netlink.neighbours().await? };
        if let Some(entry) = took.iter().find_map(|next_hop| table.get(next_hop)) {
            self.kernel_manages = Some(entry.managed);
        }
        table.retain(|next_hop, _| self.wanted.contains(next_hop));
        Ok(Refreshed { neighbours: table, refused })
    }

    async fn let_go(&mut self, table: &BTreeMap<NextHop, Neighbour>) {
        let unwanted: Vec<_> = self.held.difference(&self.wanted).copied().collect();
        for next_hop in unwanted {
            self.held.remove(&next_hop);
            if table.get(&next_hop).is_some_and(|entry| entry.managed && entry.ours)
                && let Err(error) = release(&self.netlink, next_hop).await
            {
                // It costs an ARP request every half minute and nothing else.
                log::debug!("{} stays resolved: {error}", next_hop.address);
            }
        }
    }
}

/// Entries that are used as they are: those of an administrator and those of another control plane.
fn is_of_others(entry: &Neighbour) -> bool {
    entry.state == State::Fixed || entry.foreign || (entry.managed && !entry.ours)
}

async fn take(netlink: &Netlink, next_hop: NextHop) -> Result<(), Error> {
    let flags = NeighbourFlags::Use | NeighbourFlags::ExtLearned;
    send(netlink, next_hop, flags, NeighbourExtFlags::Managed).await
}

async fn release(netlink: &Netlink, next_hop: NextHop) -> Result<(), Error> {
    send(netlink, next_hop, NeighbourFlags::Use, NeighbourExtFlags::empty()).await
}

async fn send(
    netlink: &Netlink,
    next_hop: NextHop,
    flags: NeighbourFlags,
    extended: NeighbourExtFlags,
) -> Result<(), Error> {
    let NextHop { interface, address } = next_hop;
    let request = netlink.handle.neighbours().add(interface, address).replace();
    let mut request = request.state(NeighbourState::None).flags(flags);
    let attributes = &mut request.message_mut().attributes;
    attributes.push(NeighbourAttribute::ExtFlags(extended));
    attributes.push(NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
    request.execute().await.map_err(|error| refused(address, interface, &error))
}

fn refused(address: IpAddr, interface: u32, error: &rtnetlink::Error) -> Error {
    Error::Neighbour { address, interface, reason: reason(error) }
}
