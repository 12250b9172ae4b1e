//! What a process says, line by line, for those who wait for it.

use super::{PATIENCE, left};
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The lines of a stream so far, and the news of more.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Said>, Condvar)>);

#[derive(Default)]
struct Said {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Collects what `stream` says until it ends.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let to = lines.clone();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                to.said().lines.push(text);
                to.0.1.notify_all();
                line.clear();
            }
            to.said().ended = true;
            to.0.1.notify_all();
        });
        lines
    }

    /// Every line so far.
    pub(crate) fn all(&self) -> Vec<String> {
        self.said().lines.clone()
    }

    /// The whole text so far.
    pub(crate) fn text(&self) -> String {
        self.all().join("\n")
    }

    /// How many lines hold all of `parts`.
    pub(crate) fn count(&self, parts: &[&str]) -> usize {
        self.said().lines.iter().filter(|line| holds(line, parts)).count()
    }

    /// Waits for a line that holds all of `parts`.
    #[track_caller]
    pub(crate) fn wait(&self, parts: &[&str]) -> String {
        self.wait_from(0, parts).1
    }

    /// Waits for a line that holds all of `parts`, at `mark` or later. Gives the place after it, and the line.
    #[track_caller]
    pub(crate) fn wait_from(&self, mark: usize, parts: &[&str]) -> (usize, String) {
        match self.find_within(PATIENCE, mark, parts) {
            Some(found) => found,
            None => panic!("no line with {parts:?} came in:\n{}", self.text()),
        }
    }

    /// Waits until so many lines hold all of `parts`.
    #[track_caller]
    pub(crate) fn wait_count(&self, count: usize, parts: &[&str]) {
        let enough = |said: &Said| {
            (said.lines.iter().filter(|line| holds(line, parts)).count() >= count).then_some(())
        };
        if self.until(PATIENCE, enough).is_none() {
            panic!("no {count} lines with {parts:?} came in:\n{}", self.text());
        }
    }

    /// Waits for such a line, but not longer than `bound` nor than the stream lasts.
    pub(crate) fn find_within(
        &self,
        bound: Duration,
        mark: usize,
        parts: &[&str],
    ) -> Option<(usize, String)> {
        self.until(bound, |said| {
            let at = said.lines.iter().skip(mark).position(|line| holds(line, parts))? + mark;
            Some((at + 1, said.lines[at].clone()))
        })
    }

    /// Waits for the stream's end: true when it has come.
    pub(crate) fn wait_end(&self, bound: Duration) -> bool {
        self.until(bound, |said| said.ended.then_some(())).is_some()
    }

    /// Waits until `look` finds something, the stream ends, or the time is over.
    fn until<T>(&self, bound: Duration, look: impl Fn(&Said) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + bound;
        let mut said = self.said();
        loop {
            if let Some(found) = look(&said) {
                return Some(found);
            }
            let left = left(deadline).filter(|_| !said.ended)?;
            said = self
                .0
                .1
                .wait_timeout(said, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds(line: &str, parts: &[&str]) -> bool {
    parts.iter().all(|part| line.contains(part))
}
