//! Probes that fail leave no descriptor behind. A test of its own, for in no other process would the count hold still.

use std::{
    future::{Future as _, poll_fn},
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};

use lb_userspace::{
    config::probe::{HttpsProbe, TlsProbe},
    health::{
        Outcome, ProbeKind,
        probe::{Asker, https::Https, tls::Tls},
    },
};

/// How often each server is asked by each kind of probe.
const ROUNDS: usize = 50;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc is mounted wherever tests run").count()
}

/// A server that answers so many connections with these bytes and reads until the client has gone.
fn server(bytes: &'static [u8], connections: usize) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback must have a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let serving = thread::spawn(move || {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().expect("a listener accepts");
            let _gone = stream.write_all(bytes);
            let mut buffer = [0; 4096];
            while let Ok(1..) = stream.read(&mut buffer) {}
            let _gone = stream.shutdown(Shutdown::Both);
        }
    });
    (address, serving)
}

#[test]
fn probes_that_fail_leave_no_descriptor_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let before = descriptors();
    let kinds = || {
        [
            ProbeKind::Tls(Arc::new(Tls::new(&TlsProbe::default()))),
            ProbeKind::Https(Arc::new(Https::new(&HttpsProbe::default()))),
        ]
    };
    // Silence, half a TLS record, another protocol; and nobody at all.
    for bytes in [&b""[..], b"\x16\x03\x03\x00\x40\x02", b"220 mail.example ESMTP\r\n"] {
        let (address, serving) = server(bytes, ROUNDS * 2 * 2);
        for kind in kinds() {
            let asker = |to| Asker::new(to, kind.clone(), Duration::from_millis(20));
            for _ in 0..ROUNDS {
                let outcome = runtime.block_on(asker(address).ask()).outcome;
                assert!(matches!(outcome, Outcome::Failed(_)), "{bytes:?} is no answer");
                let outcome = runtime.block_on(asker(closed).ask()).outcome;
                assert!(matches!(outcome, Outcome::Failed(_)), "nobody listens there");
                // One that is given up in the middle, as when its target is removed.
                runtime.block_on(async {
                    let asker = asker(address);
                    let mut abandoned = Box::pin(asker.ask());
                    poll_fn(|context| {
                        let _begun = abandoned.as_mut().poll(context);
                        Poll::Ready(())
                    })
                    .await;
                });
            }
        }
        serving.join().expect("every connection came to its end");
    }
    assert_eq!(descriptors(), before, "as many descriptors as before the probes");
}
