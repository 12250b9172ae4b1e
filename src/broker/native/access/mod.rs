//! Who may connect and do what: users with hashed passwords, rules by topic, mosquitto's files.

mod acl;
mod files;
mod hash;
mod throttle;

pub(crate) use acl::Grants;

use crate::broker::Config;
use crate::fold::Bucket;
use files::Remark;
use hash::{HashError, Secret};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq as _;
use throttle::{Throttle, Wait};
use tokio::sync::Semaphore;

/// The largest password file or ACL file that is read: some 40,000 users.
const LARGEST: u64 = 8 << 20;
/// How many passwords are checked at once: each takes a processor for some tens of milliseconds, and memory.
const AT_ONCE: usize = 2;
/// How many lines about failed log-ins may come at once, and how often one more after that.
const LINES: u32 = 4;
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Who may connect, and what each may do.
#[derive(Debug)]
pub(crate) struct Access {
    users: BTreeMap<String, Arc<User>>,
    /// None: whoever is connected may do everything.
    rules: Option<acl::Rules>,
    checks: Arc<Semaphore>,
    doors: Arc<Mutex<Doors>>,
    key: Key,
}

#[derive(Debug)]
struct User {
    secret: Option<Secret>,
    /// What the last good password looked like, so that a client that comes again costs nothing.
    known: Mutex<Option<[u8; 32]>>,
}

/// What failed log-ins leave behind.
#[derive(Debug)]
struct Doors {
    throttle: Throttle,
    lines: Bucket,
    untold: u64,
}

/// A secret of this process: makes digests that are worth nothing to anybody else.
#[derive(Clone)]
struct Key([u8; 32]);

/// Why users and rules can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// A file can't be read.
    #[error("can't read the {what} {}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A line of a file can't be.
    #[error("{}:{line}: {what}", path.display())]
    Line { path: PathBuf, line: usize, what: String },
    /// A password of the configuration can't be.
    #[error("the password of the user \"{}\" can't be used", name.escape_debug())]
    Password {
        name: String,
        #[source]
        source: HashError,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random(#[source] io::Error),
}

impl Access {
    /// Reads the files that the configuration names. Lines that mosquitto passes over are told in the log.
    pub(crate) fn load(config: &Config) -> Result<Access, AccessError> {
        let mut users = BTreeMap::new();
        if let Some(path) = &config.password_file {
            let (entries, remarks) = files::passwords(&read("password file", path)?);
            tell(path, &remarks);
            users.extend(entries.into_iter().map(|entry| (entry.name, entry.secret)));
        }
        for user in &config.user {
            let secret = Secret::configured(&user.password.0).map_err(|source| AccessError::Password {
                name: user.name.clone(),
                source,
            })?;
            users.insert(user.name.clone(), Some(secret));
        }
        let mut lines = Vec::new();
        if let Some(path) = &config.acl_file {
            let read = files::rules(&read("ACL file", path)?);
            if let Some(Remark { line, what }) = read.faults.into_iter().next() {
                let path = path.clone();
                return Err(AccessError::Line { path, line, what });
            }
            tell(path, &read.remarks);
            lines = read.lines;
        }
        let ruled = config.acl_file.is_some() || !config.acl.is_empty();
        let user = |secret| Arc::new(User { secret, known: Mutex::new(None) });
        Ok(Access {
            users: users.into_iter().map(|(name, secret)| (name, user(secret))).collect(),
            rules: ruled.then(|| acl::Rules::new(&config.acl, lines)),
            checks: Arc::new(Semaphore::new(AT_ONCE)),
            doors: Arc::new(Mutex::new(Doors {
                throttle: Throttle::default(),
                lines: Bucket::new(LINES, LINE_EVERY),
                untold: 0,
            })),
            key: Key(random().map_err(AccessError::Random)?),
        })
    }

    /// Whether this is the user's password. An address that has failed waits first; so does whoever must be checked
    /// while two others are. A good log-in of a user who has been here before is quick.
    pub(crate) async fn authenticate(&self, peer: Option<IpAddr>, name: &str, password: Option<&[u8]>) -> bool {
        let wait = peer.and_then(|peer| locked(&self.doors).throttle.wait(peer, Instant::now()));
        let mut gate = None;
        if let Some(Wait { delay, gate: shared }) = wait {
            gate = shared.acquire_owned().await.ok();
            tokio::time::sleep(delay).await;
        }
        let digest = self.key.digest(name, password.unwrap_or_default());
        let user = self.users.get(name);
        if let Some(user) = user
            && password.is_some()
            && locked(&user.known).is_some_and(|known| known.ct_eq(&digest).into())
        {
            return true;
        }
        // Somebody unknown costs what somebody else costs, always the same for the same name.
        let checked = user.filter(|user| user.secret.is_some()).or_else(|| self.stand_in(name)).cloned();
        let may = password.is_some() && user.is_some_and(|user| user.secret.is_some());
        let given = password.unwrap_or_default().to_vec();
        let Ok(check) = self.checks.clone().acquire_owned().await else {
            return false;
        };
        let doors = self.doors.clone();
        let name = name.to_owned();
        // What is held goes along: a client that leaves meanwhile does not make room for a third check.
        let verified = tokio::task::spawn_blocking(move || {
            let (_check, _gate) = (check, gate);
            let secret = checked.as_ref().and_then(|user| user.secret.as_ref());
            let good = secret.is_some_and(|secret| secret.verify(&given)) && may;
            match &checked {
                Some(user) if good => *locked(&user.known) = Some(digest),
                _ => locked(&doors).failed(peer, &name, Instant::now()),
            }
            good
        });
        verified.await.unwrap_or(false)
    }

    /// Whether a user is listed without a password: one that a client certificate stands for.
    pub(crate) fn known_without_password(&self, name: &str) -> bool {
        self.users.get(name).is_some_and(|user| user.secret.is_none())
    }

    /// What a client may do, with its names put in.
    pub(crate) fn grants(&self, user: Option<&str>, client: &str) -> Grants {
        match &self.rules {
            None => Grants::all(),
            Some(rules) => rules.for_client(user, client),
        }
    }

    fn stand_in(&self, name: &str) -> Option<&Arc<User>> {
        let mut with: Vec<&Arc<User>> = self.users.values().filter(|user| user.secret.is_some()).collect();
        let digest = self.key.digest(name, b"");
        let number = u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
        let count = u64::try_from(with.len()).ok().filter(|count| *count > 0)?;
        Some(with.swap_remove(usize::try_from(number % count).unwrap_or(0)))
    }
}

impl Doors {
    fn failed(&mut self, peer: Option<IpAddr>, name: &str, now: Instant) {
        if let Some(peer) = peer {
            self.throttle.failed(peer, now);
        }
        if !self.lines.take(now) {
            self.untold += 1;
            return;
        }
        let address = peer.map_or_else(|| "a Unix socket".to_owned(), |peer| peer.to_string());
        let name: String = name.chars().take(64).collect();
        let more = match std::mem::take(&mut self.untold) {
            0 => String::new(),
            n => format!(" (and {n} others since the last such line)"),
        };
        tracing::warn!("failed log-in from {address} as \"{}\"{more}", name.escape_debug());
    }
}

impl Key {
    fn digest(&self, name: &str, password: &[u8]) -> [u8; 32] {
        let length = name.len().to_le_bytes();
        let hash = Sha256::new().chain_update(self.0).chain_update(length);
        hash.chain_update(name).chain_update(password).finalize().into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, AccessError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    let read = read.and_then(|length| match u64::try_from(length) {
        Ok(length) if length <= LARGEST => Ok(bytes),
        _ => Err(io::Error::other(format!("it is larger than {} MiB", LARGEST >> 20))),
    });
    read.map_err(|source| AccessError::File {
        what,
        path: path.to_owned(),
        source,
    })
}

fn tell(path: &Path, remarks: &[Remark]) {
    for Remark { line, what } in remarks {
        tracing::warn!("{}:{line}: {what}", path.display());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics with the lock held; if it did, what is behind it is whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
