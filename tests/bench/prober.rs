//! What it costs to probe a thousand backends: the time of the prober's thread, which on loopback has the kernel's work
//! for both ends in it. The TLS servers have a thread of their own, which does not count.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lb_userspace::{
    config::probe::{HttpsProbe, TlsProbe},
    health::{
        Outcome, ProbeKind, Prober, Target, TargetId,
        probe::{https::Https, tls::Tls},
    },
};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer, server::NoServerSessionStorage};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

const BACKENDS: u16 = 1000;
const INTERVAL: Duration = Duration::from_secs(2);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// Probes over loopback by each kind of probe.
pub fn measure() -> anyhow::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    probe("tcp", &ProbeKind::Tcp, listener.local_addr()?.port())?;
    let tls = ProbeKind::Tls(Arc::new(Tls::new(&TlsProbe::default())));
    let https = ProbeKind::Https(Arc::new(Https::new(&HttpsProbe::default())));
    let (resumed, full) = (serve(true)?, serve(false)?);
    probe("tls, resumed", &tls, resumed)?;
    probe("tls, full handshakes", &tls, full)?;
    probe("https, resumed", &https, resumed)?;
    probe("https, full handshakes", &https, full)
}

/// Probes for five intervals, after everybody has answered once.
fn probe(name: &str, kind: &ProbeKind, port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (prober, mut results) = Prober::start();
        let target = |number: u16| {
            let [high, low] = number.to_be_bytes();
            let target = Target {
                address: SocketAddr::from(([127, 1, high, low], port)),
                source: None,
                foreign_ports: Some(10_000..=29_999),
                kind: kind.clone(),
                interval: INTERVAL,
                fast_interval: INTERVAL / 4,
                timeout: INTERVAL / 2,
            };
            (TargetId(number.into()), target)
        };
        prober.replace((0..BACKENDS).map(target).collect());
        for _ in 0..BACKENDS {
            let _first = results.recv().await;
        }
        let (begun, cpu) = (Instant::now(), thread_cpu_time());
        let (mut answers, mut failures) = (0u32, 0u32);
        while begun.elapsed() < 5 * INTERVAL
            && let Some((_, result)) = results.recv().await
        {
            answers += 1;
            failures += u32::from(result.outcome != Outcome::Up);
        }
        let (cpu, wall) = (thread_cpu_time().saturating_sub(cpu), begun.elapsed());
        println!(
            "{name}: {BACKENDS} backends every {} s: {answers} probes, {failures} failed, {:.0} us each, {:.1} % of a core",
            INTERVAL.as_secs(),
            cpu.as_secs_f64() * 1e6 / f64::from(answers),
            100.0 * cpu.as_secs_f64() / wall.as_secs_f64(),
        );
    });
    Ok(())
}

/// A server on every loopback address, in a thread of its own that lives as long as the process.
fn serve(resumes: bool) -> anyhow::Result<u16> {
    let identity = rcgen::generate_simple_self_signed(["backend".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(identity.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)?;
    if resumes {
        // As Go's servers do: one ticket a connection, which holds all that there is to know.
        config.ticketer = ring::Ticketer::new()?;
        config.send_tls13_tickets = 1;
    } else {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(accept(listener, acceptor)));
    Ok(port)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut stream = acceptor.accept(stream).await?;
            // A request, or the goodbye of a probe that only shakes hands.
            if stream.read(&mut [0; 4096]).await? > 0 {
                stream.write_all(ANSWER).await?;
            }
            stream.shutdown().await
        });
    }
}

/// The CPU time of this thread.
fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
