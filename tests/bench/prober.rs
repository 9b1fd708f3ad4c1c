//! What it costs to probe a thousand backends, both ends of the probes included.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use lb_userspace::health::{ProbeKind, Prober, Target, TargetId};

const INTERVAL: Duration = Duration::from_secs(2);

/// Probes over loopback for five intervals.
pub fn measure() -> anyhow::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:0")?;
    let port = listener.local_addr()?.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (prober, mut results) = Prober::start();
        let target = |number: u16| {
            let [high, low] = number.to_be_bytes();
            let address = SocketAddr::from(([127, 1, high, low], port));
            let kind = ProbeKind::Tcp;
            let target = Target { address, source: None, kind, interval: INTERVAL, timeout: INTERVAL / 2 };
            (TargetId(number.into()), target)
        };
        prober.replace((0..1000).map(target).collect());
        let (begun, cpu) = (Instant::now(), super::collector::cpu_time());
        let mut answers = 0u32;
        while begun.elapsed() < 5 * INTERVAL && results.recv().await.is_some() {
            answers += 1;
        }
        let (cpu, wall) = (super::collector::cpu_time().saturating_sub(cpu), begun.elapsed());
        println!(
            "1000 backends every {} s: {answers} probes, {:.0} us each, {:.1} % of a core",
            INTERVAL.as_secs(),
            cpu.as_secs_f64() * 1e6 / f64::from(answers),
            100.0 * cpu.as_secs_f64() / wall.as_secs_f64(),
        );
    });
    Ok(())
}
