//! Network namespaces of the tests' own. They are gone with the process, whatever the tests do.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    process::{Command, Stdio},
    thread,
};

/// A network namespace, which lives as long as somebody is in it or holds this.
pub struct Namespace(File);

impl Namespace {
    /// Takes this thread to a new namespace.
    pub fn leave_for_a_new_one() -> Self {
        // SAFETY: no pointers are passed; only this thread changes its namespace.
        let left = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
        assert!(left, "a network namespace can be made: {}", io::Error::last_os_error());
        Self(File::open("/proc/thread-self/ns/net").expect("a thread can name its namespace"))
    }

    /// Takes this thread there.
    pub fn enter(&self) {
        // SAFETY: the descriptor is open; only this thread changes its namespace.
        let entered = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) } == 0;
        assert!(entered, "a namespace can be entered: {}", io::Error::last_os_error());
    }
}

/// Runs the work on a thread of its own, which may change its namespace.
pub fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(work);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Feeds lines to `ip -batch` in the namespace of this thread.
pub fn ip(lines: &[String]) {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("iproute2 is installed");
    let mut input = child.stdin.take().expect("its input is a pipe");
    input.write_all((lines.join("\n") + "\n").as_bytes()).expect("ip reads its input");
    drop(input);
    let output = child.wait_with_output().expect("ip ends");
    assert!(
        output.status.success(),
        "ip lays out the namespace: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The kernel's number of an interface in the namespace of this thread.
pub fn index_of(interface: &str) -> u32 {
    let name = std::ffi::CString::new(interface).expect("an interface's name has no zero");
    // SAFETY: the name is a valid C string.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    assert!(index != 0, "interface {interface} is there");
    index
}
