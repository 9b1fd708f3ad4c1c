//! What is left of a mapping that was taken back: a closed reverse entry, which keeps the port for as long as the old
//! backend may hold the connection half open.

use lb_common::{
    counters::Counter::{
        DropOrphanReply, DropUnknownReset, FlowEstablished, FlowOpened, Forwarded, HalfOpenTakenOver,
        PortCollision, Redispatched, ResetUndone, SynRetransmitted,
    },
    tcp::State::{Closed, Established, SynSent},
};

use crate::{
    icmp::IcmpError,
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, RST, SYN},
    },
    rig::{
        Conversation, Rig, Row, TIMEOUTS, Tier, each_family,
        setting::{FIRST, FOURTH, Family, Service, THIRD},
    },
};

/// More than the ticks that may go by while a row is run.
const MARGIN: u32 = 250;

/// A connection that has gone from one backend to another: as it was, as it is, and the SYN.
fn moved(rig: &mut Rig, family: Family, port: u16) -> (Conversation, Conversation, Packet) {
    rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, THIRD]);
    let mut old = Conversation::new(family, Service::Api, port, FIRST);
    let syn = rig.syn(&mut old);
    let new = old.clone().to(THIRD);
    rig.moves((&old, &new), "the SYN again", &syn, &[SynRetransmitted, Redispatched, Forwarded]);
    (old, new, syn)
}

/// Everything that the old backend may still say; the connection is not touched by it.
fn says_everything(rig: &mut Rig, old: &Conversation, new: &Conversation, tier: Tier) {
    let before = rig.pair(new, tier);
    for flags in [SYN | ACK, ACK, ACK | PSH, FIN | ACK] {
        let late = old.clone().backend_says(flags, &[]);
        rig.answers(old, &format!("flags {flags:#x}"), &late, &[ResetUndone]);
        // It may hold another connection at this port, which lives.
        let other = Packet { acknowledgment: late.acknowledgment.wrapping_add(1 << 20), ..late };
        rig.drops(old, &format!("of another connection, flags {flags:#x}"), &other, &[DropOrphanReply]);
    }
    for flags in [SYN, 0, RST] {
        let late = old.clone().backend_says(flags, &[]);
        rig.drops(old, &format!("of nobody knows what, flags {flags:#x}"), &late, &[DropOrphanReply]);
    }
    let reset = old.clone().backend_says(RST | ACK, &[]);
    rig.drops(old, "its RST is answered with nothing", &reset, &[DropUnknownReset]);
    let after = rig.pair(new, tier);
    assert_eq!((before.forward, before.reverse), (after.forward, after.reverse), "the connection");
    let undone = rig.get(Tier::HalfOpen, old.reverse_key()).expect("the old mapping keeps its port");
    assert_eq!(undone.word().state(), Closed, "the old mapping");
    assert_eq!(rig.told(), [], "a late answer says nothing of a backend");
}

#[test]
fn a_late_answer_is_reset_and_disturbs_nothing() {
    each_family("a_late_answer_is_reset_and_disturbs_nothing", |rig, family| {
        let (old, mut new, syn) = moved(rig, family, 20_000);
        rig.told();
        says_everything(rig, &old, &new, Tier::HalfOpen);
        new.client_next = syn.sequence.wrapping_add(1);
        let syn_ack = new.backend_says(SYN | ACK, &[]);
        rig.returns(&new, "the SYN-ACK", &syn_ack, &[Forwarded]);
        says_everything(rig, &old, &new, Tier::HalfOpen);
        let ack = new.client_says(ACK, &[]);
        rig.forwards(&new, "the ACK", &ack, &[FlowEstablished, Forwarded]);
        rig.expect(&new, Tier::Flows, Established, 0);
        says_everything(rig, &old, &new, Tier::Flows);
        let data = new.client_says(ACK, b"hello");
        rig.forwards(&new, "data", &data, &[Forwarded]);
    });
}

#[test]
fn an_unreachable_old_backend_is_the_hosts_own_business() {
    each_family("an_unreachable_old_backend_is_the_hosts_own_business", |rig, family| {
        let (old, new, syn) = moved(rig, family, 20_100);
        rig.told();
        let error = IcmpError::unreachable(family.gateway(), &old.forwarded(&syn), 1);
        rig.check(&Row::passed("about the old mapping", &error));
        rig.expect(&new, Tier::HalfOpen, SynSent, 0);
        assert_eq!(rig.told(), [], "it says nothing new of a backend");
    });
}

/// Another client's connection that would get the same port at the same backend.
fn rival(old: &Conversation) -> Conversation {
    let candidates = (1..u16::MAX).map(|port| {
        let client = std::net::SocketAddr::new(old.family.client(66), port);
        Conversation::of(client, old.family, old.service, FIRST)
    });
    let mut rivals = candidates.filter(|rival| rival.snat == old.snat);
    rivals.next().expect("one of 65,000 connections has the same first port")
}

#[test]
fn the_port_is_not_given_to_another_before_its_time() {
    each_family("the_port_is_not_given_to_another_before_its_time", |rig, family| {
        let (old, new, _) = moved(rig, family, 20_200);
        let mut rival = rival(&old);
        rig.age(Tier::HalfOpen, old.reverse_key(), TIMEOUTS.closed - MARGIN);
        let mut other = rival.clone().with_candidate(1);
        let syn = other.client_says(SYN, &[]);
        rig.forwards(&other, "the port waits", &syn, &[PortCollision, FlowOpened, Forwarded]);
        rig.expect(&other, Tier::HalfOpen, SynSent, 0);
        rig.expect_moved(&old, &new);
        for at in [other.forward_key(), other.reverse_key()] {
            rig.remove(Tier::HalfOpen, at);
        }
        rig.age(Tier::HalfOpen, old.reverse_key(), MARGIN + 10);
        let syn = rival.client_says(SYN, &[]);
        rig.forwards(&rival, "its time is over", &syn, &[HalfOpenTakenOver, FlowOpened, Forwarded]);
        rig.expect(&rival, Tier::HalfOpen, SynSent, 0);
        rig.expect(&new, Tier::HalfOpen, SynSent, 0);
    });
}

#[test]
fn the_collector_takes_the_old_mapping_alone() {
    each_family("the_collector_takes_the_old_mapping_alone", |rig, family| {
        let (old, new, _) = moved(rig, family, 20_300);
        let keys = [old.reverse_key(), new.reverse_key(), new.forward_key()];
        rig.age(Tier::HalfOpen, old.reverse_key(), TIMEOUTS.closed - MARGIN);
        assert_eq!(rig.collect(Tier::HalfOpen, &keys), 0, "it is not its time");
        rig.age(Tier::HalfOpen, old.reverse_key(), MARGIN + 10);
        assert_eq!(rig.collect(Tier::HalfOpen, &keys), 1, "it is");
        assert_eq!(rig.get(Tier::HalfOpen, old.reverse_key()), None, "the old mapping");
        rig.expect(&new, Tier::HalfOpen, SynSent, 0);
    });
}

/// A mapping that was taken back is not taken up again by the client's next SYN, also where it comes round.
#[test]
fn a_connection_that_comes_back_leaves_the_old_port_alone() {
    each_family("a_connection_that_comes_back_leaves_the_old_port_alone", |rig, family| {
        rig.choose_from(family, Service::Mapped, &[FIRST], &[FIRST, FOURTH]);
        let mut old = Conversation::new(family, Service::Mapped, 20_400, FIRST);
        let syn = rig.syn(&mut old);
        let between = old.clone().to(FOURTH);
        rig.redispatches((&old, &between), "a refusal", &old.refusal(), &syn, &[Redispatched, Forwarded]);
        let back = old.clone().with_candidate(1);
        let moved = [SynRetransmitted, PortCollision, Redispatched, Forwarded];
        rig.moves((&between, &back), "the SYN comes round", &syn, &moved);
        let late = old.clone().backend_says(SYN | ACK, &[]);
        rig.answers(&old, "the first port", &late, &[ResetUndone]);
        let syn_ack = back.clone().backend_says(SYN | ACK, &[]);
        rig.returns(&back, "the second port", &syn_ack, &[Forwarded]);
    });
}
