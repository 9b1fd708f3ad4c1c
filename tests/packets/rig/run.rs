//! One packet through the program.

use std::iter;

use aya::programs::{TestRun, TestRunOptions, Xdp};

use super::Rig;

/// What becomes of a frame (`enum xdp_action`, `include/uapi/linux/bpf.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Gone.
    Drop,
    /// To the host.
    Pass,
    /// Out by the link it came by.
    Transmit,
    /// Out by another link.
    Redirect,
}

/// What a run made of a frame.
#[derive(Debug)]
pub struct Ran {
    /// The verdict.
    pub verdict: Verdict,
    /// The frame as it is after it.
    pub output: Vec<u8>,
}

/// `struct xdp_md`: the frame from its first byte to its last, from this interface's first queue.
fn context(length: usize, interface: u32) -> Vec<u8> {
    let end = u32::try_from(length).expect("a frame is short");
    let fields = [0, end, 0, interface, 0, 0];
    fields.into_iter().flat_map(u32::to_ne_bytes).collect()
}

/// Runs the program on a frame that came by this interface.
pub fn run(program: &Xdp, frame: &[u8], interface: u32) -> Ran {
    let mut output = vec![0; frame.len() + 256];
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut output),
            ctx_in: Some(&context(frame.len(), interface)),
            ..TestRunOptions::default()
        })
        .unwrap_or_else(|error| panic!("the kernel runs the program on {} bytes: {error:?}", frame.len()));
    output.truncate(result.data_size_out as usize);
    let verdict = match result.return_value {
        1 => Verdict::Drop,
        2 => Verdict::Pass,
        3 => Verdict::Transmit,
        4 => Verdict::Redirect,
        other => panic!("the program returned {other}, which is no verdict of ours"),
    };
    Ran { verdict, output }
}

impl Rig {
    /// Runs the program on a frame that came by the ingress link.
    pub fn run(&mut self, frame: &[u8]) -> Ran {
        let interface = self.interfaces[self.ingress];
        run(self.forwarder(), frame, interface)
    }

    /// Every counter, by its number.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.plane.tables.counter_values().expect("the counters can be read")
    }

    /// What the closed flows' ring holds, each the bytes of a key.
    pub fn closed(&mut self) -> Vec<Vec<u8>> {
        let ring = &mut self.plane.tables.closed;
        iter::from_fn(|| ring.next().map(|item| item.to_vec())).collect()
    }
}
