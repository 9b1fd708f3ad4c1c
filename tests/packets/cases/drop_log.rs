//! What is told of packets that are dropped, where somebody asked for it.

use std::sync::Mutex;

use lb_common::{
    counters::Counter::{DropOrphanReply, DropUnknownReset},
    limits::DROP_LINES_PER_SECOND,
};
use lb_userspace::kernel::DropLines;

use crate::{
    packet::{
        Packet,
        flags::{ACK, RST, SYN},
    },
    rig::{
        Conversation, Rig, Verdict, now_ns,
        setting::{FAMILIES, FIRST, Family, Service},
        with_drop_log,
    },
};

/// More than the lines that a CPU may write in a second, and in two.
const FLOOD: usize = 200;

/// The lines that come of this work.
fn told(
    rig: &mut Rig,
    lines: &mut DropLines<impl Fn(&str) + Send + Sync>,
    heard: &Mutex<Vec<String>>,
    work: impl FnOnce(&mut Rig),
) -> Vec<String> {
    work(rig);
    lines.flush();
    std::mem::take(&mut *heard.lock().expect("nobody has panicked with it"))
}

fn talk(family: Family) -> Conversation {
    Conversation::new(family, Service::Api, 61_000, FIRST)
}

#[test]
fn a_dropped_packet_is_told_with_reason_and_addresses() {
    with_drop_log("a_dropped_packet_is_told_with_reason_and_addresses", |rig| {
        let heard = Mutex::new(Vec::new());
        let write = |line: &str| heard.lock().expect("nobody has panicked with it").push(line.to_owned());
        let mut lines = rig.plane.drop_lines(write).expect("the ring is there");
        for family in FAMILIES {
            let mut talk = talk(family);
            let orphan = talk.backend_says(ACK, b"whose is this?");
            let expected =
                format!("dropped (drop_orphan_reply): {} to {}", orphan.source, orphan.destination);
            let line = told(rig, &mut lines, &heard, |rig| {
                rig.drops(&talk, "an orphan", &orphan, &[DropOrphanReply]);
            });
            assert_eq!(line, [expected], "{family:?}");
            let reset = talk.client_says(RST, &[]);
            let expected = format!("dropped (drop_unknown_reset): {} to {}", talk.client, talk.address());
            let line =
                told(rig, &mut lines, &heard, |rig| rig.drops(&talk, "a RST", &reset, &[DropUnknownReset]));
            assert_eq!(line, [expected], "{family:?}");
        }
    });
}

#[test]
fn what_is_sent_on_or_passed_is_not_told() {
    with_drop_log("what_is_sent_on_or_passed_is_not_told", |rig| {
        let heard = Mutex::new(Vec::new());
        let write = |line: &str| heard.lock().expect("nobody has panicked with it").push(line.to_owned());
        let mut lines = rig.plane.drop_lines(write).expect("the ring is there");
        for family in FAMILIES {
            let line = told(rig, &mut lines, &heard, |rig| {
                let mut talk = talk(family);
                rig.open(&mut talk);
                let foreign =
                    Packet { destination: (family.foreign(), 6443).into(), ..talk.client_says(SYN, &[]) };
                assert_eq!(rig.run(&foreign.bytes()).verdict, Verdict::Pass, "it is nobody's");
            });
            assert_eq!(line, Vec::<String>::new(), "{family:?}");
        }
    });
}

/// A flood of packets that are dropped is counted, and not told packet by packet.
#[test]
fn a_flood_is_not_a_flood_of_lines() {
    with_drop_log("a_flood_is_not_a_flood_of_lines", |rig| {
        let heard = Mutex::new(Vec::new());
        let write = |line: &str| heard.lock().expect("nobody has panicked with it").push(line.to_owned());
        let mut lines = rig.plane.drop_lines(write).expect("the ring is there");
        let mut talk = talk(FAMILIES[0]);
        let orphan = talk.backend_says(ACK, &[]);
        let mut seconds_gone = 0;
        let told = told(rig, &mut lines, &heard, |rig| {
            let begun = now_ns();
            for _ in 0..FLOOD {
                rig.drops(&talk, "an orphan", &orphan, &[DropOrphanReply]);
            }
            // A busy machine may need seconds for it, each of which has lines of its own, on each CPU.
            seconds_gone = usize::try_from((now_ns() - begun) / 1_000_000_000).expect("a small number");
        });
        let most = DROP_LINES_PER_SECOND as usize
            * (seconds_gone + 2)
            * std::thread::available_parallelism().map_or(1, usize::from);
        assert!(!told.is_empty() && told.len() <= most, "{} lines, {seconds_gone} s", told.len());
    });
}
