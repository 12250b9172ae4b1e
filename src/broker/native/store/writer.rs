//! The thread that writes, and how it is spoken to.

use super::StoreError;
use super::change::{Change, Loaded};
use super::file::{File, FileError};
use super::folder::Folder;
use super::group::Group;
use super::wall::Wall;
use crate::causes::Causes;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{error, info, warn};

/// So much may wait for the thread before those who publish should; bytes, counted generously.
const BEHIND: usize = 4 << 20;
/// More than this is not held: the store then asks for everything instead.
const MOST: usize = 32 << 20;
/// What need not be written at once waits so long for something that must.
const LAZY: Duration = Duration::from_secs(1);
/// How long to wait after a failure, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The broker's memory, open.
#[derive(Debug)]
pub(crate) struct Store {
    shared: Arc<Shared>,
    committed: watch::Receiver<u64>,
    wanted: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    bell: Condvar,
    committed: Arc<AtomicU64>,
    behind: Arc<AtomicBool>,
}

/// What lies ready for the thread.
#[derive(Debug, Default)]
struct Desk {
    batches: VecDeque<Batch>,
    weight: usize,
    ticket: u64,
    /// More came than could be held: what is here is not everything.
    spilt: bool,
    closing: bool,
}

#[derive(Debug)]
struct Batch {
    changes: Vec<Change>,
    wall: Wall,
    /// It is all that there is.
    whole: bool,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing is done under the lock that can be left half done.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, changes: Vec<Change>, whole: bool) -> u64 {
        let weight: usize = changes.iter().map(Change::weight).sum();
        let mut desk = self.desk();
        if !whole {
            desk.ticket += 1;
        } else {
            desk.batches.clear();
            desk.weight = 0;
            desk.spilt = false;
        }
        desk.weight += weight;
        // Everything is as large as it is, and the hub holds it anyway.
        if desk.weight > MOST && !whole {
            desk.batches.clear();
            desk.weight = 0;
            desk.spilt = true;
        } else {
            let wall = Wall::now();
            desk.batches.push_back(Batch { changes, wall, whole });
        }
        // Who waits is woken by a ticket, and everything has none.
        if !whole {
            self.behind.store(desk.weight > BEHIND, Ordering::Release);
        }
        let ticket = desk.ticket;
        drop(desk);
        self.bell.notify_one();
        ticket
    }
}

impl Store {
    /// Opens the store in `folder`, or makes one, and reads it; the disk is asked to make sure of what was written
    /// once per `sync`, or, if that is zero, before anything counts as committed. Blocks.
    pub(crate) fn open(folder: &Path, sync: Duration) -> Result<(Store, Loaded), StoreError> {
        let folder = Folder::lock(folder, sync.is_zero())?;
        let (file, loaded) = folder.open(Wall::now())?;
        Ok((Store::start(folder, file, sync)?, loaded))
    }

    pub(super) fn start(folder: Folder, file: File, sync: Duration) -> Result<Store, StoreError> {
        let shared = Arc::new(Shared::default());
        let (committed, watch_committed) = watch::channel(0);
        let (wanted, watch_wanted) = watch::channel(false);
        let writer = Writer {
            shared: shared.clone(),
            committed,
            wanted,
            folder,
            file,
            sync,
            group: Group::default(),
            lazy_since: None,
            unsynced_since: None,
            trouble: None,
            lost: false,
        };
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::Thread)?;
        Ok(Store {
            shared,
            committed: watch_committed,
            wanted: watch_wanted,
            thread: Some(thread),
        })
    }

    /// Hands over changes, in order, and gives their ticket: 1 the first time, and one more each time. Never waits.
    pub(crate) fn commit(&self, batch: Vec<Change>) -> u64 {
        self.shared.put(batch, false)
    }

    /// Hands over everything: what was there before and is not in `all` is forgotten. Has no ticket.
    pub(crate) fn replace(&self, all: Vec<Change>) {
        self.shared.put(all, true);
    }

    /// The highest ticket whose changes survive the end of the process (and, where each commit waits for the disk,
    /// a power cut), or were given up with a word in the log. It ends if the thread does.
    pub(crate) fn committed(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    /// The same number, to look at in passing.
    pub(crate) fn position(&self) -> Arc<AtomicU64> {
        self.shared.committed.clone()
    }

    /// Whether so much waits for the disk that publishers should wait, too. When that changes to no, a ticket is
    /// committed after it. A disk that takes nothing at all holds nobody: see `Trouble`.
    pub(crate) fn behind(&self) -> Arc<AtomicBool> {
        self.shared.behind.clone()
    }

    /// Turns true when changes were lost and the disk is well again: whoever knows everything is asked to
    /// [`replace`](Store::replace) what is there.
    pub(crate) fn needs_snapshot(&self) -> watch::Receiver<bool> {
        self.wanted.clone()
    }

    /// Writes what waits, makes sure of it, and ends.
    pub(crate) async fn close(mut self) {
        self.hang_up();
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                error!(
                    event = "memory-failing",
                    "the thread that writes the broker's memory died"
                );
            }
        }
    }

    fn hang_up(&self) {
        self.shared.desk().closing = true;
        self.shared.bell.notify_one();
    }
}

impl Drop for Store {
    /// The thread still writes what it has, but nobody waits for it.
    fn drop(&mut self) {
        self.hang_up();
    }
}

struct Writer {
    shared: Arc<Shared>,
    committed: watch::Sender<u64>,
    wanted: watch::Sender<bool>,
    folder: Folder,
    file: File,
    sync: Duration,
    /// What is not written yet.
    group: Group,
    /// Since when something waits in it that need not be written at once.
    lazy_since: Option<Instant>,
    /// Since when something is written that the disk may not have.
    unsynced_since: Option<Instant>,
    trouble: Option<Trouble>,
    /// Changes were given up: what is on disk is of the past until everything is replaced.
    lost: bool,
}

/// Writing fails.
struct Trouble {
    again: Instant,
    wait: Duration,
    /// The disk did not take what had been written: it is written once more, into the file itself.
    sync: bool,
}

impl Writer {
    fn run(mut self) {
        loop {
            let (batches, ticket, spilt, closing) = self.wait();
            if spilt {
                self.give_up("more than can be held waits for the disk");
            }
            let prompt = self.take(batches);
            let now = Instant::now();
            let lazy_due = self.lazy_since.is_some_and(|since| now >= since + self.lazy());
            if prompt || lazy_due || closing {
                self.write(now, closing);
            }
            self.shared.committed.store(ticket, Ordering::Release);
            self.committed
                .send_if_modified(|at| std::mem::replace(at, ticket) != ticket);
            if let Some(since) = self.unsynced_since
                && (closing || Instant::now() >= since + self.sync)
            {
                self.make_sure();
            }
            if self.trouble.is_none()
                && let Err(error) = self.file.tidy()
            {
                self.fail(error, false);
            }
            if closing {
                return self.end();
            }
        }
    }

    /// Until there is something to do.
    fn wait(&self) -> (VecDeque<Batch>, u64, bool, bool) {
        let lazy = self.lazy_since.map(|since| since + self.lazy());
        let sync = self.unsynced_since.map(|since| since + self.sync);
        let again = self.trouble.as_ref().map(|trouble| trouble.again);
        // While nothing can be written, only another try is due.
        let due = again.or_else(|| [lazy, sync].into_iter().flatten().min());
        let mut desk = self.shared.desk();
        loop {
            if !desk.batches.is_empty() || desk.spilt || desk.closing {
                break;
            }
            let Some(due) = due else {
                desk = self
                    .shared
                    .bell
                    .wait(desk)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.shared.bell.wait_timeout(desk, left);
            desk = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        desk.weight = 0;
        self.shared.behind.store(false, Ordering::Release);
        let batches = std::mem::take(&mut desk.batches);
        (
            batches,
            desk.ticket,
            std::mem::take(&mut desk.spilt),
            desk.closing,
        )
    }

    fn lazy(&self) -> Duration {
        LAZY.min(self.sync)
    }

    /// Adds batches to what is to be written. Whether some of it is to be written at once.
    fn take(&mut self, batches: VecDeque<Batch>) -> bool {
        let mut prompt = self.trouble.is_some();
        for Batch { changes, wall, whole } in batches {
            if whole {
                (self.group, self.lost) = (Group::anew(), false);
                self.wanted.send_replace(false);
                prompt = true;
            } else if self.lost {
                // It will be in everything.
                continue;
            }
            for change in changes {
                if change.is_lazy() {
                    self.lazy_since.get_or_insert(wall.now);
                } else {
                    prompt = true;
                }
                self.group.add(change, wall);
            }
        }
        prompt
    }

    fn write(&mut self, now: Instant, closing: bool) {
        if let Some(trouble) = &self.trouble
            && now < trouble.again
            && !closing
        {
            if self.group.weight() > MOST {
                self.give_up("what waits for the disk is more than can be held");
            }
            return;
        }
        let healed = match &self.trouble {
            Some(Trouble { sync: true, .. }) => self.file.checkpoint(),
            // Nothing to try with: the smallest thing that the disk must take.
            Some(_) if self.group.is_empty() => self.file.touch(),
            _ => Ok(()),
        };
        match healed.and_then(|()| self.file.write(&self.group, Wall::now())) {
            Ok(()) => {
                if !self.group.is_empty() {
                    self.unsynced_since.get_or_insert(now);
                }
                self.group = Group::default();
                self.lazy_since = None;
                self.well();
            }
            Err(error) => self.fail(error, false),
        }
    }

    /// Asks the disk for its word.
    fn make_sure(&mut self) {
        // With an interval of nothing, each commit has it already.
        let done = match self.sync.is_zero() {
            true => Ok(()),
            false => self.file.sync(),
        };
        match done {
            Ok(()) => self.unsynced_since = None,
            Err(error) => {
                self.unsynced_since = None;
                self.fail(error.into(), true);
            }
        }
    }

    fn fail(&mut self, error: FileError, sync: bool) {
        if let FileError::Damaged(_) = error {
            match self.folder.anew(&error) {
                Ok(file) => {
                    self.file = file;
                    self.trouble = None;
                    self.unsynced_since = None;
                    self.give_up("the file is a new one");
                    self.wanted.send_replace(true);
                    return;
                }
                Err(worse) => error!(
                    event = "memory-failing",
                    "can't begin a new file: {}",
                    Causes(&worse)
                ),
            }
        }
        let now = Instant::now();
        match &mut self.trouble {
            Some(trouble) => {
                trouble.wait = (trouble.wait * 2).min(RETRY.1);
                trouble.again = now + trouble.wait;
                trouble.sync |= sync;
            }
            None => {
                warn!(
                    event = "memory-failing",
                    "can't write the broker's memory: retained messages and sessions are not safe until it is said here \
                     that they are: {}",
                    Causes(&error)
                );
                self.trouble = Some(Trouble {
                    again: now + RETRY.0,
                    wait: RETRY.0,
                    sync,
                });
            }
        }
    }

    fn well(&mut self) {
        if self.trouble.take().is_none() {
            return;
        }
        if self.lost {
            info!(
                event = "memory-written",
                "the broker's memory can be written again, and is made up to date"
            );
            self.wanted.send_replace(true);
        } else {
            info!(
                event = "memory-written",
                "the broker's memory is written again, and nothing is missing"
            );
        }
    }

    fn give_up(&mut self, why: &str) {
        self.group = Group::default();
        self.lazy_since = None;
        if !std::mem::replace(&mut self.lost, true) {
            warn!("what is on disk is not up to date, and will be replaced: {why}");
        }
        if self.trouble.is_none() {
            self.wanted.send_replace(true);
        }
    }

    fn end(self) {
        match self.trouble {
            Some(_) => error!(
                event = "memory-failing",
                "the broker's memory ends without what could not be written"
            ),
            None => {
                if let Err(error) = self.file.checkpoint() {
                    warn!("can't tidy up the broker's memory: {}", Causes(&error));
                }
            }
        }
    }
}
