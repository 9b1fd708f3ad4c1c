//! A network namespace of the test's own: a thread that left the host's. It is gone with the thread, whatever the test
//! does.

use std::{
    io::Write,
    process::{Command, Stdio},
    thread,
};

/// Runs the work on a thread of its own in a new namespace.
pub fn inside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: no pointers are passed; only this thread changes its namespace.
            let left = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
            assert!(left, "a network namespace can be made: {}", std::io::Error::last_os_error());
            work()
        });
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
