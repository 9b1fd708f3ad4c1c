//! The program of a controller, with VIPs and counters of its own.

use lb_common::abi::decap::Counter;
use lb_tests::requirements;
use lb_userspace::kernel::{Decap, decap::Tunnels};

use super::tunnel::{Tunnel, vip};
use crate::rig::{Verdict, difference, run};

/// The UDP port of GUE in the tests: not the usual one, so that it is told and not known.
pub const GUE: u16 = 6099;

/// The loaded program.
pub struct Controller {
    /// The program.
    pub decap: Decap,
}

/// Runs a test with a program that knows the VIP of each family. Skips it where the machine does not permit that.
pub fn with_controller(test: &str, work: impl FnOnce(&mut Controller)) {
    if !requirements::met(test, requirements::LAB) {
        return;
    }
    let tunnels = Tunnels { vips: [vip(false), vip(true)].into(), gue_port: GUE };
    let decap = Decap::load(&tunnels).unwrap_or_else(|error| panic!("the program loads: {error}"));
    work(&mut Controller { decap });
}

impl Controller {
    /// Runs the program on a frame; gives what becomes of it, and the counters that it moved, each as often as it did.
    pub fn run(&mut self, frame: &[u8]) -> (Verdict, Vec<u8>, Vec<&'static str>) {
        let before = self.counters();
        let ran = run(self.decap.program().expect("it is loaded"), frame, 0);
        let moved = before.into_iter().zip(self.counters());
        let moved = moved.flat_map(|((name, before), (_, after))| (before..after).map(move |_| name));
        (ran.verdict, ran.output, moved.collect())
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        self.decap.counter_values().expect("the counters can be read")
    }

    #[track_caller]
    fn check(
        &mut self,
        what: &str,
        frame: &[u8],
        verdict: Verdict,
        output: Option<&[u8]>,
        moved: &[Counter],
    ) {
        let (ran, left, counted) = self.run(frame);
        let mut expected: Vec<&str> = moved.iter().map(|counter| counter.name()).collect();
        expected.sort_unstable();
        let mut sorted = counted;
        sorted.sort_unstable();
        assert_eq!(ran, verdict, "{what}: the verdict (counters {sorted:?})");
        if let Some(output) = output.filter(|output| **output != left) {
            panic!("{what}: the frame that goes on differs\n{}", difference(output, &left));
        }
        assert_eq!(sorted, expected, "{what}: the counters");
    }

    /// The tunnel is taken off, and nothing else is changed.
    #[track_caller]
    pub fn takes(&mut self, what: &str, tunnel: &Tunnel, moved: &[Counter]) {
        self.turns(what, tunnel, tunnel, moved);
    }

    /// The tunnel is taken off, and what was in it is then as in the other one.
    #[track_caller]
    pub fn turns(&mut self, what: &str, tunnel: &Tunnel, into: &Tunnel, moved: &[Counter]) {
        self.check(what, &tunnel.bytes(), Verdict::Pass, Some(&into.taken_out()), moved);
    }

    /// The frame goes to the host as it came.
    #[track_caller]
    pub fn passes(&mut self, what: &str, frame: &[u8], moved: &[Counter]) {
        self.check(what, frame, Verdict::Pass, Some(frame), moved);
    }

    /// The frame is dropped.
    #[track_caller]
    pub fn drops(&mut self, what: &str, frame: &[u8], moved: &[Counter]) {
        self.check(what, frame, Verdict::Drop, None, moved);
    }
}
