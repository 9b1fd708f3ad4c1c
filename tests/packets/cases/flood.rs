//! A flood of SYNs from everywhere, which must neither take the ports nor the connections of others.

use lb_common::{
    counters::Counter::{FlowEstablished, Forwarded, ResetNoPort},
    limits::HALF_OPEN_CONNECTIONS,
    tcp::State::{Established, SynSent},
};

use crate::{
    packet::flags::{ACK, PSH, RST, SYN},
    rig::{
        Conversation, Rig, SMALL, Tier, Verdict, run,
        setting::{FAMILIES, FIRST, FOURTH, Family, Service},
        with,
    },
};

/// SYNs of one family. There are 20,000 ports.
const SYNS: u32 = 100_000;

/// Marsaglia's xorshift (2003): sources without a pattern, the same in every run.
fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// What comes behind each SYN of a flood, from the same source.
#[derive(Clone, Copy, Debug)]
enum Behind {
    /// Nothing.
    Nothing,
    /// The same SYN, which is sent to another backend and leaves a mapping that was taken back.
    Itself,
    /// A RST, which leaves a closed pair.
    Reset,
}

impl Behind {
    /// The TCP flags of each source's packets.
    fn flags(self) -> &'static [u8] {
        match self {
            Self::Nothing => &[SYN],
            Self::Itself => &[SYN, SYN],
            Self::Reset => &[SYN, RST],
        }
    }
}

/// Sends SYNs whose source differs in host and port. Their checksums are not made anew: nobody looks at them.
fn flood(rig: &mut Rig, family: Family, behind: Behind) {
    let template = Conversation::new(family, Service::Api, 1, FIRST).client_says(SYN, &[]);
    let mut frame = template.bytes();
    let (host_at, port_at) = (if family == Family::V4 { 29 } else { 37 }, template.tcp_at());
    let flags_at = port_at + 13;
    let interface = rig.interfaces[0];
    let program = rig.forwarder();
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for number in 0..SYNS {
        let [host, high, low, ..] = next_random(&mut state).to_le_bytes();
        // Hosts with even numbers from 128 on, of which none is another's client.
        frame[host_at] = host & 0xfe | 0x80;
        frame[port_at..port_at + 2].copy_from_slice(&[high, low]);
        for flags in behind.flags() {
            frame[flags_at] = *flags;
            let verdict = run(program, &frame, interface).verdict;
            assert_eq!(verdict, Verdict::Transmit, "packets of source {number} are served as any other");
        }
    }
}

/// How many SYNs have been refused for want of a port.
fn refused(rig: &Rig) -> u64 {
    let counters = rig.counters();
    counters.iter().find(|(name, _)| *name == ResetNoPort.name()).expect("there is such a counter").1
}

/// A handshake like any other, with whatever port there is.
fn handshake(rig: &mut Rig, family: Family, port: u16) {
    let mut talk = Conversation::new(family, Service::Api, port, FIRST);
    let syn = talk.client_says(SYN, &[]);
    rig.ingress = 0;
    let ran = rig.run(&syn.bytes());
    let entry = rig.get(Tier::HalfOpen, talk.forward_key()).expect("the SYN made an entry");
    talk.snat = entry.twin.1;
    assert_eq!(ran.output, talk.forwarded(&syn).bytes(), "the SYN after the flood");
    rig.expect(&talk, Tier::HalfOpen, SynSent, 0);
    let syn_ack = talk.backend_says(SYN | ACK, &[]);
    rig.returns(&talk, "the SYN-ACK", &syn_ack, &[Forwarded]);
    let ack = talk.client_says(ACK, &[]);
    rig.forwards(&talk, "the ACK", &ack, &[FlowEstablished, Forwarded]);
    rig.expect(&talk, Tier::Flows, Established, 0);
}

fn survive(rig: &mut Rig, family: Family, behind: Behind) {
    rig.choose_from(family, Service::Api, &[FIRST], &[FIRST, FOURTH]);
    let mut old: Vec<Conversation> =
        (0..20).map(|number| Conversation::new(family, Service::Api, 61_000 + number, FIRST)).collect();
    for talk in &mut old {
        rig.open(talk);
    }
    let mut before = rig.all(family, Tier::Flows);
    let refused_before = refused(rig);
    flood(rig, family, behind);
    assert_eq!(refused(rig), refused_before, "a flood of SYNs is refused no port, behind each: {behind:?}");
    let mut after = rig.all(family, Tier::Flows);
    before.sort_by_key(|(at, _)| *at);
    after.sort_by_key(|(at, _)| *at);
    assert_eq!(before.len(), after.len(), "the entries of connections before and after the flood");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after, "an entry of a connection before and after the flood");
    }
    for port in 62_000..62_100 {
        handshake(rig, family, port);
    }
    for talk in &mut old {
        let up = talk.client_says(ACK | PSH, b"still there?");
        rig.forwards(talk, "an old connection", &up, &[Forwarded]);
        let down = talk.backend_says(ACK | PSH, b"as ever");
        rig.returns(talk, "an old connection", &down, &[Forwarded]);
    }
}

fn survives(test: &str, behind: Behind) {
    let sizes = lb_userspace::kernel::Sizes { half_open_table: HALF_OPEN_CONNECTIONS, ..SMALL };
    with(test, sizes, |rig| {
        for family in FAMILIES {
            survive(rig, family, behind);
        }
    });
}

#[test]
fn a_flood_of_syns_takes_neither_ports_nor_connections() {
    survives("a_flood_of_syns_takes_neither_ports_nor_connections", Behind::Nothing);
}

#[test]
fn a_flood_of_doubled_syns_takes_neither_ports_nor_connections() {
    survives("a_flood_of_doubled_syns_takes_neither_ports_nor_connections", Behind::Itself);
}

#[test]
fn a_flood_of_syns_and_resets_takes_neither_ports_nor_connections() {
    survives("a_flood_of_syns_and_resets_takes_neither_ports_nor_connections", Behind::Reset);
}
