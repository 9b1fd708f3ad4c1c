//! What a walk over the flow tables counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Instant,
};

use lb_common::{
    abi::{AddressV4, AddressV6, BackendId, Flow, FlowKey, StateWord, flow_flags},
    tcp::{Direction, State},
};

use crate::kernel::{
    batch::{FlowTables, Walk, WalkFamily},
    collect::Tier,
};

/// What a walk counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Live connections of each backend: not closed yet.
    pub flows: BTreeMap<BackendId, u64>,
    /// The backends that any entry still names.
    pub held: BTreeSet<BackendId>,
    /// The VIPs and SNAT addresses that any connection's entry names.
    pub addresses: BTreeSet<IpAddr>,
    /// SNAT ports in use, of each pool: closed connections hold theirs until they are collected.
    pub ports: BTreeMap<PortPool, u64>,
    /// Connections that the flow tables hold, in whatever state.
    pub flow_table_used: u64,
    /// Connections that the half-open tiers hold, in whatever state.
    pub half_open_used: u64,
    /// When the walk began.
    pub begun: Option<Instant>,
    /// When the walk ended, `CLOCK_MONOTONIC`, nanoseconds.
    pub at_ns: u64,
}

/// Whose connections share the SNAT ports: each backend and port has the whole range, once for each SNAT address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortPool {
    /// The backend.
    pub backend: BackendId,
    /// Its port.
    pub port: u16,
    /// The SNAT address.
    pub snat: IpAddr,
}

/// Addresses of a family as the standard library has them.
pub trait Standard: WalkFamily {
    /// The address.
    fn ip(self) -> IpAddr;
}

impl Standard for AddressV4 {
    fn ip(self) -> IpAddr {
        IpAddr::V4(self.into())
    }
}

impl Standard for AddressV6 {
    fn ip(self) -> IpAddr {
        IpAddr::V6(self.into())
    }
}

impl Census {
    /// A census that begins now.
    pub fn begin() -> Self {
        Self { begun: Some(Instant::now()), ..Self::default() }
    }

    /// Counts all tables at once; the agent itself does it in slices.
    pub fn of(tables: &FlowTables) -> io::Result<Self> {
        let mut census = Self::begin();
        // As the agent does: a pair that is promoted meanwhile is in the upper tier before it has gone from the lower.
        for tier in [Tier::HalfOpen, Tier::Flows] {
            census.walk::<AddressV4>(tables, tier)?;
            census.walk::<AddressV6>(tables, tier)?;
        }
        Ok(census)
    }

    fn walk<A: Standard>(&mut self, tables: &FlowTables, tier: Tier) -> io::Result<()> {
        let mut walk = Walk::<A>::new(tables, tier);
        while let Some(slice) = walk.next_slice()? {
            slice.for_each(|(key, flow)| self.count(tier, &key, &flow));
        }
        Ok(())
    }

    /// Takes one entry into account.
    pub fn count<A: Standard>(&mut self, tier: Tier, key: &FlowKey<A>, flow: &Flow<A>) {
        let word = StateWord(flow.meta.state);
        self.held.insert(flow.meta.backend);
        if word.direction() == Direction::Reverse {
            return;
        }
        match tier {
            Tier::Flows => self.flow_table_used += 1,
            Tier::HalfOpen => self.half_open_used += 1,
        }
        let pool = PortPool {
            backend: flow.meta.backend,
            port: u16::from_be_bytes(flow.twin.source_port),
            snat: flow.twin.destination.ip(),
        };
        self.addresses.extend([key.destination.ip(), pool.snat]);
        *self.ports.entry(pool).or_default() += 1;
        if !matches!(word.state(), State::Closed | State::Dead) && !word.has(flow_flags::RESET) {
            *self.flows.entry(flow.meta.backend).or_default() += 1;
        }
    }

    /// Whether the walk began after this moment, and so has seen all that was there.
    pub fn is_since(&self, moment: Instant) -> bool {
        self.begun.is_some_and(|begun| begun >= moment)
    }
}

#[cfg(test)]
mod tests {
    use lb_common::abi::{FlowKeyV4, FlowMeta, flow_flags};

    use super::*;

    #[test]
    fn a_connection_names_its_vip_and_its_snat_address() {
        let (client, vip) = (AddressV4([192, 0, 2, 100]), AddressV4([192, 0, 2, 10]));
        let (backend, snat) = (AddressV4([10, 0, 0, 11]), AddressV4([10, 0, 0, 2]));
        let forward = FlowKeyV4::new(client, [0x80, 1], vip, [0x19, 0x2b]);
        let reverse = FlowKeyV4::new(backend, [0x19, 0x2b], snat, [0x4e, 0x20]);
        let entry = |flags, twin| {
            let state = StateWord::new(State::Closed, flags, 0, 0).0;
            Flow { meta: FlowMeta { state, backend: 1, ..FlowMeta::default() }, twin }
        };
        let mut census = Census::begin();
        census.count(Tier::Flows, &forward, &entry(0, reverse));
        census.count(Tier::Flows, &reverse, &entry(flow_flags::REVERSE, forward));
        assert_eq!(census.addresses, [vip.ip(), snat.ip()].into(), "ours, and nobody else's");
    }
}
