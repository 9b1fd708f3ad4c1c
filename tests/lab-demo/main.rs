//! The engine of `cargo xtask demo`: a lab, three controllers, an agent, and what a user came for, live.
//!
//! Everything in the summary was measured in this run. It waits for events, not for the clock.

mod screen;
mod stage;
mod story;
mod summary;

use std::{
    path::Path,
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use lb_tests::{binaries, cleanup, requirements};
use tokio::signal::unix::{SignalKind, signal};

use screen::{Screen, line};
use stage::Stage;

/// The id of the demo's lab: there is one at a time.
const ID: &str = "demo";

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Shows xdplb at work in a lab of network namespaces.
#[derive(Parser)]
struct Arguments {
    /// Leave the lab standing at the end, to play with.
    #[arg(long)]
    keep: bool,
    /// Remove the lab that an earlier `--keep` left, and do nothing else.
    #[arg(long)]
    clean: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.clean {
        let words = if cleanup::exists(ID) { "the lab is removed" } else { "there is no lab" };
        cleanup::remove(ID);
        println!("{words}");
        return ExitCode::SUCCESS;
    }
    if let Some(why) = requirements::LAB.iter().find_map(|need| need.missing()) {
        eprintln!("the demo cannot run here: {why}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = clean_up_when_interrupted() {
        eprintln!("the demo cannot run here: {error:#}");
        return ExitCode::FAILURE;
    }
    let outcome = run(arguments.keep);
    while INTERRUPTED.load(Ordering::Relaxed) {
        // The other thread removes the lab and ends the process.
        thread::park();
    }
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nthe demo ended early: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(keep: bool) -> Result<bool> {
    let mut screen = Screen::new();
    let mut stage = Stage::set_up(&screen)?;
    let facts = story::tell(&mut stage, &mut screen)?;
    let as_promised = summary::print(&screen, &facts);
    if keep {
        stage.leave_standing();
        line("");
        line("the lab stays; play with it:");
        for command in play(&binaries::xdplb()?, &stage) {
            line(&format!("  {command}"));
        }
    }
    Ok(as_promised)
}

/// What to type in a lab that stays.
fn play(xdplb: &Path, stage: &Stage) -> Vec<String> {
    let lab = &stage.lab;
    let home = lab.directory().display();
    let enter = |node: &str| {
        let path = lab.namespace(node).map(|namespace| namespace.path().display().to_string());
        format!("nsenter --net={}", path.unwrap_or_default())
    };
    let target = lab.service(6443);
    vec![
        format!("export XDPLB_SOCKET={home}/xdplb.sock"),
        format!("{} {} --pin-dir {home}/bpf/xdplb status", enter("lb"), xdplb.display()),
        format!("{} curl -sk https://{target}/whoami", enter("client")),
        format!(
            "kill $(ip netns pids {})    # a controller dies",
            enter("c2").rsplit('/').next().unwrap_or("")
        ),
        "cargo xtask demo --clean    # removes the lab".into(),
    ]
}

/// On Ctrl-C or SIGTERM removes the lab from a thread of its own, whatever the story is at.
fn clean_up_when_interrupted() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _inside = runtime.enter();
        let listen = |kind| signal(kind).context("cannot listen for signals");
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        INTERRUPTED.store(true, Ordering::Relaxed);
        eprintln!("\ninterrupted; removing the lab");
        // More than once, as the story may be in the middle of making something.
        for _ in 0..3 {
            cleanup::remove(ID);
            thread::sleep(Duration::from_millis(50));
        }
        // The shell's way to say "ended by SIGINT".
        std::process::exit(130);
    });
    Ok(())
}
