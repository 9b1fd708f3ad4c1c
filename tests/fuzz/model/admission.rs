//! A new connection: from somebody, to a backend, from a SNAT port, in both directions.

use lb_common::{counters::Counter, tcp::State};

use super::{
    Model, Outcome, Packet, Service, Tuple,
    ports::{Beginning, Port},
    tables::is_martian,
};

/// Backends tried before a SYN is dropped for want of one that can be reached.
const BACKEND_TRIES: usize = 5;

impl Model {
    /// Enters the connection of a SYN; its forward key.
    pub(super) fn admit(&mut self, packet: Packet<'_>, service: &Service) -> Result<Tuple, Outcome> {
        let segment = packet.segment;
        self.refuse_martians(packet)?;
        let hop = self.next_hop_of_client(packet)?;
        let hash = self.hash(packet.key());
        let backend = match self.policys_choice(service, segment.from, hash) {
            Some(backend) => self.reachable(packet, service, hash, backend)?,
            None => return Err(self.answer(packet, Counter::ResetNoBackend)),
        };
        let Some(mut syn) = self.keep(packet) else {
            return Err(Outcome::Dropped(Counter::DropTtlExpired));
        };
        (syn.hash, syn.backend) = (hash, backend);
        let beginning = Beginning::of(packet, State::SynSent, service.clone(), hop, syn);
        match self.allocate(&beginning, backend, hash) {
            Port::Entered => {
                self.count(Counter::FlowOpened);
                Ok(packet.key())
            }
            Port::NoneFree => Err(self.answer(packet, Counter::ResetNoPort)),
        }
    }

    /// From an address that cannot be a client's, ours included.
    pub(super) fn refuse_martians(&self, packet: Packet<'_>) -> Result<(), Outcome> {
        let source = packet.segment.from.ip();
        if is_martian(source) || self.tables.ours.contains(&source) {
            return Err(Outcome::Dropped(Counter::DropMartianSource));
        }
        Ok(())
    }

    /// The policy's choice, or the next one that can be reached.
    fn reachable(
        &self,
        packet: Packet<'_>,
        service: &Service,
        hash: u64,
        first: u16,
    ) -> Result<u16, Outcome> {
        let others = (1..BACKEND_TRIES).filter_map(|number| self.other_than(first, service.id, hash, number));
        let mut usable = std::iter::once(first)
            .chain(others)
            .filter(|backend| self.is_usable(packet.segment.from, *backend));
        usable.next().ok_or(Outcome::Dropped(Counter::DropNoNextHop))
    }
}
