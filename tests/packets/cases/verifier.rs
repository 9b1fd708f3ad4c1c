//! What the verifier thinks of the programs.

use super::decap::controller::with_controller;
use crate::rig::{Rig, SMALL, with, with_drop_log};

/// A fifth of what the kernel allows (`BPF_COMPLEXITY_LIMIT_INSNS`, `include/linux/bpf.h`: one million), so that another
/// kernel's verifier, which may count otherwise, accepts them too.
const MOST_INSTRUCTIONS: u32 = 200_000;

fn assert_room(rig: &mut Rig, setting: &str) {
    let plane = &mut rig.plane;
    let forwarder = plane.forwarder().expect("it is loaded").info();
    let collector = plane.collector().expect("it is loaded").info();
    for (name, info) in [("xdplb", forwarder), ("collect", collector)] {
        let info = info.expect("the kernel tells about a program");
        let count = info.verified_instruction_count().expect("the kernel tells the count, since Linux 5.16");
        println!("{name} {setting}: {count} instructions verified");
        assert!(
            count < MOST_INSTRUCTIONS,
            "{name} {setting}: the verifier went through {count} instructions"
        );
    }
}

#[test]
fn the_verifier_has_room_to_spare() {
    with("the_verifier_has_room_to_spare", SMALL, |rig| assert_room(rig, "as usual"));
    with_drop_log("the_verifier_has_room_to_spare", |rig| assert_room(rig, "with log_drops"));
}

/// What the program of a controller may take: it has less to do, and stays small.
const MOST_OF_A_CONTROLLER: u32 = 10_000;

#[test]
fn the_verifier_has_little_to_do_for_a_controller() {
    with_controller("the_verifier_has_little_to_do_for_a_controller", |controller| {
        let info = controller.decap.program().expect("it is loaded").info();
        let info = info.expect("the kernel tells about a program");
        let count = info.verified_instruction_count().expect("the kernel tells the count, since Linux 5.16");
        println!("decap: {count} instructions verified");
        assert!(count < MOST_OF_A_CONTROLLER, "decap: the verifier went through {count} instructions");
    });
}
