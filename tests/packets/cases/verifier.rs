//! What the verifier thinks of the programs.

use crate::rig::{SMALL, with};

/// A fifth of what the kernel allows (`BPF_COMPLEXITY_LIMIT_INSNS`, `include/linux/bpf.h`: one million), so that another
/// kernel's verifier, which may count otherwise, accepts them too.
const MOST_INSTRUCTIONS: u32 = 200_000;

#[test]
fn the_verifier_has_room_to_spare() {
    with("the_verifier_has_room_to_spare", SMALL, |rig| {
        let plane = &mut rig.plane;
        let forwarder = plane.forwarder().expect("it is loaded").info();
        let collector = plane.collector().expect("it is loaded").info();
        for (name, info) in [("xdplb", forwarder), ("collect", collector)] {
            let info = info.expect("the kernel tells about a program");
            let count =
                info.verified_instruction_count().expect("the kernel tells the count, since Linux 5.16");
            println!("{name}: {count} instructions verified");
            assert!(count < MOST_INSTRUCTIONS, "{name}: the verifier went through {count} instructions");
        }
    });
}
