//! Figures that drift with the machine, and so are no tests: `cargo bench -p lb-tests`, as root.

mod collector;
mod prober;

use clap::Parser;

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// Connections in the flow table.
    #[arg(long, default_value_t = 1_000_000)]
    flows: u32,
    /// Measure the probes only, which takes no privilege.
    #[arg(long)]
    probes: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    prober::measure()?;
    if arguments.probes {
        return Ok(());
    }
    collector::measure(arguments.flows)
}
