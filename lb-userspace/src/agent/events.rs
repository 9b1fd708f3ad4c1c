//! What changed, when and why: the last thousand events, for `xdplb events`. Each is a line in the log too, made here
//! and nowhere else, so that both say the same.
//!
//! [`Ring`] is pure and takes the time. [`EventLog`] is the agent's handle to it. Whoever follows reads from the ring
//! itself, at its own pace, and holds nobody: a reader that is more than a thousand events behind is told how many it
//! has missed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::{mpsc, watch};

use super::news::News;
use crate::control::{
    Chunk, Chunks,
    types::{Event, EventFilter, EventKind, EventLevel, Timestamp},
};

/// Events that are kept: weeks of a quiet cluster, a day of a bad one, a few hundred kilobytes.
pub const KEPT: usize = 1000;
/// Events that are handed to a reader at once.
const CHUNK: usize = 100;
/// Chunks that wait for a slow reader.
const CHUNKS: usize = 2;

/// The last events, the oldest first.
#[derive(Debug, Default)]
pub struct Ring {
    kept: VecDeque<Event>,
    /// The number of the newest.
    newest: u64,
}

impl Ring {
    /// Takes in what has changed; the oldest event goes when there are too many.
    pub fn push(&mut self, news: News, now: SystemTime) -> &Event {
        self.newest += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(news.into_event(self.newest, Timestamp::new(now)));
        &self.kept[self.kept.len() - 1]
    }

    /// What a new reader counts as seen: all that is no longer kept.
    pub fn before_oldest(&self) -> u64 {
        self.newest - self.kept.len() as u64
    }

    /// The next events of a reader that has seen all up to `seen`, which moves on; none when there are none. Where some
    /// of them are no longer kept, the first tells how many.
    pub fn after(&self, seen: &mut u64, now: SystemTime) -> Vec<Event> {
        let mut events = Vec::new();
        let before_oldest = self.before_oldest();
        if *seen < before_oldest {
            events.push(missed(*seen, before_oldest, now));
            *seen = before_oldest;
        }
        let skip = usize::try_from(*seen - before_oldest).unwrap_or(usize::MAX);
        events.extend(self.kept.iter().skip(skip).take(CHUNK).cloned());
        *seen = events.last().map_or(*seen, |last| last.sequence);
        events
    }
}

/// That events were missed between two of them.
fn missed(seen: u64, last: u64, now: SystemTime) -> Event {
    let count = last - seen;
    let words = format!("{count} events were missed");
    Event {
        level: EventLevel::Warning,
        count: Some(count),
        why: Some(format!(
            "they were read too slowly; the last {KEPT} are kept, and the agent's log has all"
        )),
        ..Event::new(last, Timestamp::new(now), EventKind::Missed, words)
    }
}

/// The agent's events. Clones are of one log.
#[derive(Clone, Debug)]
pub struct EventLog {
    ring: Arc<Mutex<Ring>>,
    /// Wakes those that follow; they end when the last clone has gone, or with [`Self::close`].
    news: Arc<watch::Sender<Progress>>,
}

/// How far the log has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// Something may come.
    #[default]
    Open,
    /// Nothing more comes.
    Closed,
}

impl Default for EventLog {
    fn default() -> Self {
        Self { ring: Arc::default(), news: Arc::new(watch::channel(Progress::Open).0) }
    }
}

impl EventLog {
    /// Says what has changed, here and in the log.
    pub fn tell(&self, news: News) {
        let event = lock(&self.ring).push(news, SystemTime::now()).clone();
        match event.level {
            EventLevel::Info => log::info!("{event}"),
            EventLevel::Warning => log::warn!("{event}"),
        }
        self.news.send_modify(|_| {});
    }

    /// Nothing more comes; whoever follows gets the last ones and the end.
    pub fn close(&self) {
        self.news.send_replace(Progress::Closed);
    }

    /// Those that are kept; with `follow` also what comes, until the reader has gone or the log is closed.
    pub fn read(&self, filter: &EventFilter) -> Chunks<Event> {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let reader = Reader { ring: Arc::clone(&self.ring), seen: 0, sender };
        let news = filter.follow.then(|| self.news.subscribe());
        tokio::spawn(reader.run(news));
        receiver
    }
}

/// Where a reader's events go.
type Sink = mpsc::Sender<Chunk<Event>>;

/// Somebody who reads the events.
struct Reader {
    ring: Arc<Mutex<Ring>>,
    /// The number of the last event that it was given.
    seen: u64,
    sender: Sink,
}

impl Reader {
    /// Hands out what there is, then what comes.
    async fn run(mut self, news: Option<watch::Receiver<Progress>>) {
        // What is kept already counts from the oldest: nobody has missed what was before they asked.
        self.seen = lock(&self.ring).before_oldest();
        if !self.hand_out().await {
            return;
        }
        let Some(mut news) = news else { return };
        loop {
            // Looked at before the events: those that came until it was closed are handed out.
            let progress = *news.borrow_and_update();
            if !self.hand_out().await || progress == Progress::Closed {
                return;
            }
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = self.sender.closed() => return,
            }
        }
    }

    /// Hands out all that the reader has not had; whether it is still there.
    async fn hand_out(&mut self) -> bool {
        loop {
            let events = lock(&self.ring).after(&mut self.seen, SystemTime::now());
            if events.is_empty() {
                return true;
            }
            if self.sender.send(Ok(events)).await.is_err() {
                return false;
            }
        }
    }
}

/// The ring is whole between any two statements, also where somebody panicked.
fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
