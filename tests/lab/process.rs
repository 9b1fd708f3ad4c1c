//! A process of the lab: what it prints can be waited for, and it ends with its handle.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::moment;

#[derive(Debug, Default)]
struct Transcript {
    lines: Mutex<(Vec<String>, bool)>,
    news: Condvar,
}

/// A running process. Its standard error goes to a log, the tail of which is in every error.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    transcript: Arc<Transcript>,
    log: PathBuf,
    leave: bool,
}

impl Process {
    /// Starts it; `logs` is the directory for its log.
    pub fn spawn(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let append = File::options().create(true).append(true).open(&log);
        let stderr = append.with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().with_context(|| {
            format!("cannot start {name} ({}); is it built?", command.get_program().display())
        })?;
        let transcript = Arc::new(Transcript::default());
        if let Some(stdout) = child.stdout.take() {
            let transcript = Arc::clone(&transcript);
            thread::spawn(move || transcript.fill(BufReader::new(stdout)));
        }
        let stdin = child.stdin.take();
        Ok(Self { name: name.into(), child, stdin, transcript, log, leave: false })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.transcript.lock().0.clone()
    }

    /// Waits for the first line, old or new, that pleases, and gives it.
    pub fn wait_for_line(
        &self,
        what: &str,
        timeout: Duration,
        pleases: impl Fn(&str) -> bool,
    ) -> Result<String> {
        self.wait_for_line_after(0, what, timeout, pleases).map(|(line, _)| line)
    }

    /// As [`Self::wait_for_line`], but skips the first lines; also gives how many to skip next time.
    pub fn wait_for_line_after(
        &self,
        skip: usize,
        what: &str,
        timeout: Duration,
        pleases: impl Fn(&str) -> bool,
    ) -> Result<(String, usize)> {
        let deadline = moment::deadline(timeout);
        let mut seen = skip;
        let mut guard = self.transcript.lock();
        loop {
            let (lines, ended) = &*guard;
            while let Some(line) = lines.get(seen) {
                seen += 1;
                if pleases(line) {
                    return Ok((line.clone(), seen));
                }
            }
            if *ended {
                bail!("{} ended before {what}{}", self.name, self.tail());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} did not come to {what} within {timeout:?}{}", self.name, self.tail());
            }
            guard = self.transcript.news.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends it without a chance to clean up.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (stdin closes, SIGTERM) and waits.
    pub fn stop(&mut self, timeout: Duration) -> Result<ExitStatus> {
        self.stdin = None;
        self.signal(libc::SIGTERM);
        self.wait(timeout)
    }

    /// Waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = moment::deadline(timeout);
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} did not end within {timeout:?}{}", self.name, self.tail());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Does it still run?
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(&mut self, signal: i32) {
        if self.is_alive() {
            // SAFETY: plain system call on a child that has not been waited for, so the id is still its own.
            unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        }
    }

    /// It may go on when its handle is dropped.
    pub fn leave_running(&mut self) {
        self.leave = true;
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn tail(&self) -> String {
        let words = self.last_words();
        if words.is_empty() { words } else { format!("; its log ends with:\n{words}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.leave && self.is_alive() {
            // It may have ended in between, which is all that is wanted.
            let _ = self.kill();
        }
    }
}

impl Transcript {
    fn lock(&self) -> std::sync::MutexGuard<'_, (Vec<String>, bool)> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, from: impl BufRead) {
        for line in from.lines().map_while(Result::ok) {
            self.lock().0.push(line);
            self.news.notify_all();
        }
        self.lock().1 = true;
        self.news.notify_all();
    }
}
