//! Whom a connection goes to: the policy's choice, then the service's list of the moment from a place on that follows from the
//! flow's hash.

use std::net::SocketAddr;

use lb_common::hash::FlowHasher;

use super::{
    Condition, Model, Policy, Service, Tuple,
    frame::octets,
    tables::{hash_words, hashed_bytes},
};

impl Model {
    /// The keyed hash of a client's connection.
    pub(super) fn hash(&self, key: Tuple) -> u64 {
        self.hash_of(&hashed_bytes(key))
    }

    fn hash_of(&self, bytes: &[u8]) -> u64 {
        hash_words(bytes).into_iter().fold(FlowHasher::new(self.tables.hash_key), FlowHasher::word).finish()
    }

    /// The policy's choice for a new connection: `maglev` looks it up by the hash; with `spread` the source takes its turn,
    /// and begins at a place of its own.
    pub(super) fn policys_choice(&mut self, service: &Service, source: SocketAddr, hash: u64) -> Option<u16> {
        let place = match service.policy {
            Policy::Maglev => hash,
            Policy::Spread => {
                let first = self.hash_of(&octets(source.ip())) >> 8;
                let turn = self.turns.entry((source.ip(), service.id)).or_insert(first);
                let place = *turn;
                *turn = turn.wrapping_add(1);
                place
            }
        };
        pick(&self.tables.choices[&service.id].slots, place)
    }

    /// The service's list from the place on that follows from the flow's hash.
    pub(super) fn list_from(&self, service: u8, hash: u64) -> Vec<u16> {
        let mut list = self.tables.choices[&service].list.clone();
        if !list.is_empty() {
            let start = (hash >> 48) as usize % list.len();
            list.rotate_left(start);
        }
        list
    }

    /// The `number`-th backend after `first`, the policy's choice. All are named before one comes again: where the list comes
    /// to the first, the one at the list's beginning stands in for it.
    pub(super) fn other_than(&self, first: u16, service: u8, hash: u64, number: usize) -> Option<u16> {
        let list = self.list_from(service, hash);
        let other = pick(&list, number as u64)?;
        Some(if other == first { list[0] } else { other })
    }

    /// The backend of a guess at a connection that was begun elsewhere. Nobody knows whose turn it was there.
    pub(super) fn guess(&self, service: &Service, hash: u64, number: usize) -> Option<u16> {
        let first = match service.policy {
            Policy::Maglev => pick(&self.tables.choices[&service.id].slots, hash),
            Policy::Spread => self.list_from(service.id, hash).first().copied(),
        };
        // A service may have a list and no slots.
        if number == 0 { first } else { self.other_than(first.unwrap_or(0), service.id, hash, number) }
    }

    /// Whether new connections can go to a backend.
    pub(super) fn is_usable(&self, end: SocketAddr, backend: u16) -> bool {
        self.tables.backend(end, backend).condition == Condition::Active
    }
}

fn pick(list: &[u16], place: u64) -> Option<u16> {
    let length = list.len() as u64;
    (length != 0).then(|| list[(place % length) as usize])
}
