//! Running other programs: shown, without a terminal to ask questions on, and never for ever.

use std::{
    env,
    io::{BufRead, BufReader, IsTerminal},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The repository's top.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).into()
}

/// Runs it with its output on ours, at most so long.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let shown = show(command);
    wait(start(command, Stdio::inherit())?, &shown, limit)
}

/// Runs it, shows its standard output line by line and hands each line on.
pub(crate) fn run_reading(
    command: &mut Command,
    limit: Duration,
    mut each: impl FnMut(&str) + Send,
) -> Result<ExitStatus> {
    let shown = show(command);
    let mut child = start(command, Stdio::piped())?;
    let stdout = child.stdout.take().context("the output was piped")?;
    thread::scope(|scope| {
        scope.spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("{line}");
                each(&line);
            }
        });
        wait(child, &shown, limit)
    })
}

/// What it prints, when it succeeds; nothing is shown.
pub(crate) fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A program by its name: on `PATH`, in the system's own folders or where cargo installs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    let folders = path.split(':').map(PathBuf::from).chain(["/usr/sbin".into(), "/sbin".into(), cargo_bin()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Where `cargo install` puts programs.
fn cargo_bin() -> PathBuf {
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).unwrap_or_default().join("bin")
}

fn show(command: &Command) -> String {
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    [program.into_owned()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Without a terminal a child gets a group of its own, so that all of it ends when its time is over. At a terminal
/// it stays in ours, so that a Ctrl-C reaches all of it.
fn at_a_terminal() -> bool {
    std::io::stdin().is_terminal()
}

fn start(command: &mut Command, stdout: Stdio) -> Result<Child> {
    let shown = show(command);
    println!("$ {shown}");
    command.stdin(Stdio::null()).stdout(stdout);
    if !at_a_terminal() {
        command.process_group(0);
    }
    command.spawn().with_context(|| format!("cannot run `{shown}`; is it installed?"))
}

fn wait(mut child: Child, shown: &str, limit: Duration) -> Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > limit {
            let child_id = child.id().cast_signed();
            let target = if at_a_terminal() { child_id } else { -child_id };
            // SAFETY: plain system call on our own child or its group; it has not been waited for.
            unsafe { libc::kill(target, libc::SIGKILL) };
            child.wait()?;
            bail!("`{shown}` took longer than {limit:?} and was ended; run it by itself to see why");
        }
        thread::sleep(Duration::from_millis(50));
    }
}
