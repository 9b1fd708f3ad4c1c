//! Rigs that are used by one test after the other: the verifier takes a third of a second for the programs, most tests
//! a hundredth for the rest.

use std::{
    panic,
    sync::{Mutex, mpsc},
    thread,
};

use super::{Rig, SMALL, namespace, setting::FAMILIES, tables::Tier};

type Job = Box<dyn FnOnce(&mut Rig) + Send>;

/// A thread in a namespace of its own, with a rig.
struct Worker {
    jobs: mpsc::Sender<Job>,
    thread: thread::JoinHandle<()>,
}

/// Those that no test uses now. They end with the process.
static IDLE: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

fn idle() -> std::sync::MutexGuard<'static, Vec<Worker>> {
    IDLE.lock().expect("nobody panics while he holds the list")
}

/// Runs the work on a rig with the usual sizes, whose tables are as they were in the beginning.
pub fn run(work: impl FnOnce(&mut Rig) + Send + 'static) {
    let found = idle().pop();
    let worker = found.unwrap_or_else(hire);
    let (done, end) = mpsc::channel();
    let job: Job = Box::new(move |rig| {
        work(rig);
        rig.clear();
        done.send(()).expect("the test waits for the end");
    });
    worker.jobs.send(job).expect("an idle worker takes a job");
    if end.recv().is_ok() {
        idle().push(worker);
    } else if let Err(failure) = worker.thread.join() {
        // The rig went with its thread; the next test makes another.
        panic::resume_unwind(failure);
    }
}

fn hire() -> Worker {
    let (jobs, receiver) = mpsc::channel::<Job>();
    let thread = thread::spawn(move || {
        namespace::leave();
        let mut rig = Rig::new(SMALL);
        while let Ok(job) = receiver.recv() {
            job(&mut rig);
        }
    });
    Worker { jobs, thread }
}

impl Rig {
    /// Forgets every flow and writes the first setting again.
    fn clear(&mut self) {
        for family in FAMILIES {
            for tier in [Tier::Flows, Tier::HalfOpen] {
                for (at, _) in self.all(family, tier) {
                    self.remove(tier, at);
                }
            }
        }
        self.closed();
        self.ingress = 0;
        self.settings = super::fill::settings();
        self.fill();
    }
}
