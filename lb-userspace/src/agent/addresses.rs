//! Our addresses: those that are wanted, and those that flows still hold.
//!
//! A VIP or a SNAT address that is wanted no more may be in the entries of flows that live on. If the data plane let go
//! of it, their packets would pass to the host, which answers with RST. So it stays until a walk over the flow tables,
//! begun after the tables ceased to name it, has met no entry with it. Pure: it is told of the time and of the walks.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

use super::census::Census;

/// The addresses that the tables hold.
#[derive(Debug, Default)]
pub struct Addresses {
    wanted: BTreeSet<IpAddr>,
    /// Those that are wanted no more, and since when no table names them to new flows; `None` until that is written.
    lingering: BTreeMap<IpAddr, Option<Instant>>,
}

impl Addresses {
    /// Begins with those that a former agent's tables hold.
    pub fn of_former(held: &BTreeSet<IpAddr>) -> Self {
        Self { wanted: held.clone(), lingering: BTreeMap::new() }
    }

    /// Wants exactly these, and gives all that the tables are to hold.
    pub fn want(&mut self, wanted: BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
        let former = std::mem::replace(&mut self.wanted, wanted);
        self.lingering.retain(|address, _| !self.wanted.contains(address));
        for address in former.difference(&self.wanted) {
            self.lingering.insert(*address, None);
        }
        self.wanted.iter().chain(self.lingering.keys()).copied().collect()
    }

    /// Learns that the tables are written: from now on no new flow gets an address that is wanted no more.
    pub fn written(&mut self, now: Instant) {
        for since in self.lingering.values_mut() {
            since.get_or_insert(now);
        }
    }

    /// Lets go of what no flow holds, by a walk; whether there was any.
    pub fn release(&mut self, census: &Census) -> bool {
        let before = self.lingering.len();
        self.lingering.retain(|address, since| {
            let is_told = since.is_some_and(|since| census.is_since(since));
            !is_told || census.addresses.contains(address)
        });
        self.lingering.len() < before
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OLD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));
    const NEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 20));

    fn census(begun: Instant, addresses: &[IpAddr]) -> Census {
        let addresses = addresses.iter().copied().collect();
        Census { begun: Some(begun), addresses, ..Census::default() }
    }

    /// Addresses of which one has been replaced; the tables were written at the moment that is given.
    fn replaced() -> (Addresses, Instant) {
        let mut addresses = Addresses::default();
        assert_eq!(addresses.want([OLD].into()), [OLD].into());
        assert_eq!(addresses.want([NEW].into()), [OLD, NEW].into(), "flows may hold the old one");
        let written = Instant::now() + Duration::from_secs(1);
        addresses.written(written);
        (addresses, written)
    }

    #[test]
    fn an_address_stays_while_an_entry_names_it() {
        let (mut addresses, written) = replaced();
        let later = written + Duration::from_secs(1);
        assert!(!addresses.release(&census(later, &[OLD])), "flows hold it");
        assert_eq!(addresses.want([NEW].into()), [OLD, NEW].into());
        assert!(addresses.release(&census(later, &[NEW])), "none does");
        assert_eq!(addresses.want([NEW].into()), [NEW].into());
    }

    #[test]
    fn a_walk_that_began_before_the_change_tells_nothing() {
        let before = Instant::now();
        let (mut addresses, written) = replaced();
        assert!(!addresses.release(&census(before, &[])), "it may have passed by");
        assert!(addresses.release(&census(written, &[])));
    }

    #[test]
    fn nor_does_one_before_the_tables_are_written() {
        let mut addresses = Addresses::of_former(&[OLD].into());
        addresses.want([NEW].into());
        assert!(!addresses.release(&census(Instant::now(), &[])), "new flows may still be given it");
        assert_eq!(addresses.want([NEW].into()), [OLD, NEW].into(), "what a former agent had stays too");
    }

    #[test]
    fn one_that_is_wanted_again_is_let_go_only_anew() {
        let (mut addresses, written) = replaced();
        addresses.want([OLD, NEW].into());
        assert_eq!(addresses.want([NEW].into()), [OLD, NEW].into());
        assert!(!addresses.release(&census(written, &[])), "that walk began before it was dropped again");
    }
}
