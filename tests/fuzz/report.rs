//! A story and a difference, told so that a person can make a named test of them.

use std::fmt::Write;

use crate::{
    model::{
        Tier, Tuple,
        frame::{self, Meaning},
    },
    stored::Stored,
    story::Step,
};

/// Two frames that should be the same, in lines of 16 bytes, those that differ marked.
pub fn frames(expected: &[u8], came: &[u8]) -> String {
    let mut text = format!(
        "the frame that leaves differs (left: the model, {} bytes; right: the program, {}):\n",
        expected.len(),
        came.len()
    );
    let line = |bytes: &[u8], at: usize| -> String {
        let shown: Vec<String> = bytes.iter().skip(at).take(16).map(|byte| format!("{byte:02x}")).collect();
        shown.join(" ")
    };
    for at in (0..expected.len().max(came.len())).step_by(16) {
        let (expected, came) = (line(expected, at), line(came, at));
        let sign = if expected == came { ' ' } else { '!' };
        writeln!(text, "{sign} {at:4}  {expected:48} | {came}").expect("a string can be written to");
    }
    text
}

/// An entry that should be as the model has it.
pub fn entries((tier, key): (Tier, Tuple), expected: Option<Stored>, came: Option<Stored>) -> String {
    let shown = |entry: Option<Stored>| entry.map_or("none".into(), |entry| format!("{entry:x?}"));
    format!(
        "the entry {} → {} in {tier:?} differs:\n  the model:   {}\n  the program: {}\n",
        key.0,
        key.1,
        shown(expected),
        shown(came)
    )
}

/// A story, each frame in words and in hex.
pub fn story(steps: &[Step]) -> String {
    let mut text = String::new();
    for (number, step) in steps.iter().enumerate() {
        let line = match step {
            Step::Change(change) => format!("{change:?}\n"),
            Step::Frame { interface, bytes, meant } => {
                format!("by interface {interface}, {meant}: {}\n{}", words(bytes), hex(bytes))
            }
        };
        write!(text, "{number:3}. {line}").expect("a string can be written to");
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(48) {
        let shown: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "       {}", shown.concat()).expect("a string can be written to");
    }
    text
}

/// What a frame says.
fn words(bytes: &[u8]) -> String {
    match frame::read(bytes) {
        None => "no packet of one host for another".into(),
        Some((to, Meaning::Other)) => format!("something to {to} that is no TCP"),
        Some((_, Meaning::Defective { key, reason })) => format!("{} → {}, {}", key.0, key.1, reason.name()),
        Some((_, Meaning::Unreachable { answer, sequence })) => {
            format!(
                "{} cannot be reached from {}, says ICMP about sequence number {sequence:#x}",
                answer.0, answer.1
            )
        }
        Some((_, Meaning::Segment(segment))) => format!(
            "{} → {} {}, sequence {:#x}, acknowledgment {:#x}, {} bytes of data, {} of options, {} hops",
            segment.from,
            segment.to,
            flags(segment.flags),
            segment.sequence,
            segment.acknowledgment,
            segment.payload,
            segment.options.len(),
            segment.hops
        ),
    }
}

/// The names of TCP's flags.
pub fn flags(flags: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set = NAMES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, name)| *name);
    let set: Vec<&str> = set.collect();
    if set.is_empty() { "no flag".into() } else { set.join("|") }
}
