//! A network namespace for one test: a thread that left the host's. It is gone when the thread is, whatever the test did.

use std::process::Command;
use std::sync::mpsc;
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own.
pub(crate) struct Namespace {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
    thread_id: i32,
}

/// A new namespace with the loopback up; or `None`, said aloud, where that is not permitted.
pub(crate) fn namespace_or_skip(test: &str) -> Option<Namespace> {
    let namespace = Namespace::new();
    if namespace.is_none() {
        println!("skipped {test}: it needs root, to make a network namespace");
    }
    namespace
}

impl Namespace {
    fn new() -> Option<Self> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let (born, birth) = mpsc::channel();
        let thread = thread::spawn(move || {
            // SAFETY: no pointers are passed; only this thread changes its namespace.
            let left = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            // SAFETY: no arguments.
            let thread_id = unsafe { libc::gettid() };
            born.send(left.then_some(thread_id)).expect("the test waits for the thread");
            while let Ok(job) = receiver.recv() {
                job();
            }
        });
        let thread_id = birth.recv().expect("the thread says whether it could leave")?;
        let namespace = Self { jobs: Some(jobs), thread: Some(thread), thread_id };
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// Runs a closure inside.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            // The test that waits for it is the only reader, and it may have panicked.
            let _gone = done.send(work());
        });
        self.jobs.as_ref().expect("the namespace lives").send(job).expect("the thread lives");
        result.recv().expect("the work inside the namespace must not panic")
    }

    /// Runs a future inside, on a runtime of this thread.
    pub(crate) fn block_on<F>(&self, future: impl FnOnce() -> F + Send + 'static) -> F::Output
    where
        F: Future<Output: Send + 'static>,
    {
        self.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(future())
        })
    }

    /// `ip …` inside.
    pub(crate) fn ip(&self, arguments: &str) {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        self.run(move || {
            let output = Command::new("ip").args(&arguments).output().expect("iproute2 is installed");
            assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        });
    }

    /// The name by which `ip link … netns` knows it.
    pub(crate) fn id(&self) -> i32 {
        self.thread_id
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(Err(panic)) = self.thread.take().map(thread::JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
