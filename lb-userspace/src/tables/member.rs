//! A backend as the tables of one service see it.

use std::net::IpAddr;

use lb_common::abi::BackendId;

/// The id that is no backend's: an empty slot.
pub(super) const NOBODY: BackendId = 0;

/// A backend that takes new connections of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// What the data plane calls it on this balancer; never 0.
    pub id: BackendId,
    /// Its address in the service's family: what it is called on every balancer.
    pub address: IpAddr,
    /// Its share of new connections, relative to the others'; one of weight 0 is no member. While one of them ramps up
    /// those of all are multiples of what the configuration has.
    pub weight: u16,
}

/// The members in the order of every balancer, each once.
pub(super) fn in_order(members: &[Member]) -> Vec<Member> {
    let is_member = |member: &&Member| member.id != NOBODY && member.weight != 0;
    let mut members: Vec<Member> = members.iter().filter(is_member).copied().collect();
    members.sort_unstable_by_key(|member| (member.address, member.id));
    members.dedup_by_key(|member| member.id);
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: BackendId, last_byte: u8, weight: u16) -> Member {
        Member { id, address: IpAddr::from([10, 0, 0, last_byte]), weight }
    }

    #[test]
    fn addresses_give_the_order_and_each_backend_is_there_once() {
        let members = [member(1, 30, 1), member(2, 9, 1), member(1, 30, 1), member(3, 200, 1)];
        assert_eq!(in_order(&members), [member(2, 9, 1), member(1, 30, 1), member(3, 200, 1)]);
    }

    #[test]
    fn nobody_and_weightless_are_no_members() {
        assert_eq!(in_order(&[member(NOBODY, 1, 1), member(1, 2, 0)]), []);
    }
}
