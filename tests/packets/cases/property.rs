//! Whatever a frame holds: what passes is untouched, what leaves carries no worse checksums than it came with.

use std::cell::RefCell;

use proptest::{
    collection::vec,
    prelude::{Strategy, any, prop, prop_oneof},
    test_runner::{Config, TestCaseError, TestRunner},
};

use crate::{
    packet::{
        Packet,
        flags::{ACK, FIN, PSH, SYN},
        fold, sum,
    },
    rig::{
        Conversation, Rig, Verdict, each_family,
        setting::{FIRST, Family, Service},
    },
};

/// Frames of one family and one kind.
const CASES: u32 = 1_500;

/// Connections that are open in the beginning.
const OPEN: u16 = 40;

/// Where a frame's segment lies, and what its checksums sum up to: 0xffff where they are right.
pub struct Seen {
    /// Where TCP begins.
    pub tcp_at: usize,
    /// Where the packet ends.
    pub end: usize,
    /// That of the IPv4 header.
    pub ip_sum: u16,
    /// That of the segment.
    pub tcp_sum: u16,
}

/// Reads a frame as a host would; `None` where it is not a whole TCP segment.
pub fn see(frame: &[u8]) -> Option<Seen> {
    let field = |at: usize| Some(usize::from(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?])));
    let (tcp_at, end, addresses, ip_sum) = match field(12)? {
        0x0800 => {
            let tcp_at = 14 + usize::from(frame.get(14)? & 15) * 4;
            (tcp_at, 14 + field(16)?, 26..34, fold(sum(frame.get(14..tcp_at)?)))
        }
        0x86dd => {
            let (mut next, mut at) = (*frame.get(20)?, 54);
            while matches!(next, 0 | 60) {
                next = *frame.get(at)?;
                at += usize::from(*frame.get(at + 1)?) * 8 + 8;
            }
            (at, 54 + field(18)?, 22..54, 0xffff)
        }
        _ => return None,
    };
    let segment = frame.get(tcp_at..end)?;
    let length = segment.len() as u64;
    let tcp_sum = fold(sum(frame.get(addresses)?) + 6 + length + sum(segment));
    (length >= 20).then_some(Seen { tcp_at, end, ip_sum, tcp_sum })
}

fn check(rig: &mut Rig, frame: &[u8]) -> Result<(), TestCaseError> {
    let fail = |what: &str, output: &[u8]| {
        Err(TestCaseError::fail(format!("{what}\n in {frame:02x?}\nout {output:02x?}")))
    };
    let ran = rig.run(frame);
    let output = &ran.output[..];
    match ran.verdict {
        Verdict::Drop => return Ok(()),
        Verdict::Pass if output == frame => return Ok(()),
        Verdict::Pass => return fail("a frame that passes is changed", output),
        Verdict::Transmit | Verdict::Redirect => {}
    }
    let (Some(before), Some(after)) = (see(frame), see(output)) else {
        return fail("a frame leaves that is no TCP segment", output);
    };
    let no_worse = |before: u16, after: u16| after == 0xffff || after == before;
    if !no_worse(before.ip_sum, after.ip_sum) || !no_worse(before.tcp_sum, after.tcp_sum) {
        return fail("a checksum is worse than it came", output);
    }
    let is_answer = output[..6] == frame[6..12]
        && ran.verdict == Verdict::Transmit
        && output.get(6..12) == frame.get(..6);
    if !is_answer
        && (output.len() != frame.len() || output[before.tcp_at + 18..] != frame[before.tcp_at + 18..])
    {
        return fail("what lies behind the checksum is changed", output);
    }
    if after.end > output.len() {
        return fail("the packet is longer than its frame", output);
    }
    Ok(())
}

/// Packets of every kind: new ones, those of open connections, those from nowhere.
fn packets(family: Family, open: &[Conversation]) -> Vec<Packet> {
    let mut packets = Vec::new();
    for talk in open {
        for flags in [ACK, ACK | PSH, FIN | ACK] {
            packets.push(talk.clone().client_says(flags, b"some payload"));
            packets.push(talk.clone().backend_says(flags, b"some other payload"));
        }
    }
    for port in 0..OPEN {
        for service in [Service::Api, Service::Agents, Service::Mapped, Service::Empty] {
            let mut talk = Conversation::new(family, service, 30_000 + port, FIRST);
            packets.push(talk.clone().client_says(SYN, &[]));
            packets.push(talk.client_says(ACK, b"from the middle"));
        }
    }
    packets
}

/// A packet of the list with some bytes overwritten, and perhaps cut or lengthened.
fn mutated(packets: &[Packet]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let frames: Vec<Vec<u8>> = packets.iter().map(Packet::bytes).collect();
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let length = prop_oneof![3 => 0..1_i32, 1 => -40..40_i32];
    (prop::sample::select(frames), changes, length).prop_map(|(mut frame, changes, length)| {
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        let wanted = frame.len().saturating_add_signed(length as isize).max(14);
        frame.resize(wanted, 0xcc);
        frame
    })
}

/// Bytes, of which the first may look like the beginning of a packet to us.
fn garbage(family: Family) -> impl Strategy<Value = Vec<u8>> {
    let begin = Conversation::new(family, Service::Api, 1, FIRST).client_says(SYN, &[]).bytes();
    (0..begin.len(), vec(any::<u8>(), 14..300)).prop_map(move |(kept, mut frame)| {
        let kept = kept.min(frame.len());
        frame[..kept].copy_from_slice(&begin[..kept]);
        frame
    })
}

fn property(rig: &mut Rig, strategy: &impl Strategy<Value = Vec<u8>>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let rig = RefCell::new(rig);
    let outcome = TestRunner::new(config).run(strategy, |frame| check(&mut rig.borrow_mut(), &frame));
    if let Err(error) = outcome {
        panic!("a frame was treated wrongly: {error}");
    }
}

#[test]
fn garbage_is_never_changed() {
    each_family("garbage_is_never_changed", |rig, family| property(rig, &garbage(family)));
}

#[test]
fn mutated_packets_leave_no_worse_than_they_came() {
    each_family("mutated_packets_leave_no_worse_than_they_came", |rig, family| {
        let mut open: Vec<Conversation> =
            (0..OPEN).map(|number| Conversation::new(family, Service::Api, 31_000 + number, FIRST)).collect();
        for talk in &mut open {
            rig.open(talk);
        }
        property(rig, &mutated(&packets(family, &open)));
    });
}
