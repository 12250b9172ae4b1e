//! Who may connect and do what: users with hashed passwords, rules by topic, mosquitto's files.

mod acl;
mod files;
mod throttle;

pub(crate) use acl::Grants;
pub(crate) use files::with_password;

use crate::broker::Config;
use crate::broker::secret::{self, HashError, Secret};
use crate::fold::Bucket;
use files::Remark;
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
    Line {
        path: PathBuf,
        line: usize,
        what: String,
    },
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
            let (entries, remarks) = files::passwords(&AccessFile::Passwords.read(path)?);
            tell(path, &remarks);
            users.extend(entries.into_iter().map(|entry| (entry.name, entry.secret)));
        }
        for user in &config.user {
            let secret = user.password.secret().map_err(|source| AccessError::Password {
                name: user.name.clone(),
                source,
            })?;
            users.insert(user.name.clone(), Some(secret));
        }
        let mut lines = Vec::new();
        if let Some(path) = &config.acl_file {
            let read = files::rules(&AccessFile::Rules.read(path)?);
            if let Some(Remark { line, what }) = read.faults.into_iter().next() {
                let path = path.clone();
                return Err(AccessError::Line { path, line, what });
            }
            tell(path, &read.remarks);
            lines = read.lines;
        }
        let ruled = config.acl_file.is_some() || !config.acl.is_empty();
        let user = |secret| {
            Arc::new(User {
                secret,
                known: Mutex::new(None),
            })
        };
        Ok(Access {
            users: users
                .into_iter()
                .map(|(name, secret)| (name, user(secret)))
                .collect(),
            rules: ruled.then(|| acl::Rules::new(&config.acl, lines)),
            checks: Arc::new(Semaphore::new(AT_ONCE)),
            doors: Arc::new(Mutex::new(Doors {
                throttle: Throttle::default(),
                lines: Bucket::new(LINES, LINE_EVERY),
                untold: 0,
            })),
            key: Key(secret::random().map_err(AccessError::Random)?),
        })
    }

    /// Whether this is the user's password. An address that has failed waits first; so does whoever must be checked
    /// while two others are. A good log-in of a user who has been here before is quick.
    pub(crate) async fn authenticate(
        &self,
        peer: Option<IpAddr>,
        name: &str,
        password: Option<&[u8]>,
    ) -> bool {
        // An empty password is none, as for mosquitto.
        let password = password.filter(|password| !password.is_empty());
        let wait = peer.and_then(|peer| locked(&self.doors).throttle.wait(peer, now()));
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
        let checked = user
            .filter(|user| user.secret.is_some())
            .or_else(|| self.stand_in(name))
            .cloned();
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
                _ => locked(&doors).failed(peer, &name, now()),
            }
            good
        });
        verified.await.unwrap_or(false)
    }

    /// Whether a user of ours is no more, or has another password, in what came after.
    pub(crate) fn disowns(&self, name: &str, next: &Access) -> bool {
        let secret = |access: &Access| access.users.get(name).map(|user| user.secret.clone());
        self.users.contains_key(name) && secret(self) != secret(next)
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

/// A file of users or of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessFile {
    /// `password-file`.
    Passwords,
    /// `acl-file`.
    Rules,
}

/// A line of such a file that is worth a word.
#[derive(Debug)]
pub(crate) struct Line {
    /// From 1.
    pub(crate) number: usize,
    /// What is wrong with it.
    pub(crate) what: String,
    /// Whether the broker runs all the same.
    pub(crate) harmless: bool,
}

impl AccessFile {
    /// The files that a configuration names.
    pub(crate) fn of(config: &Config) -> impl Iterator<Item = (AccessFile, &Path)> {
        let files = [
            (AccessFile::Passwords, &config.password_file),
            (AccessFile::Rules, &config.acl_file),
        ];
        files
            .into_iter()
            .filter_map(|(file, path)| Some((file, path.as_deref()?)))
    }

    /// Its key in the configuration.
    pub(crate) fn key(self) -> &'static str {
        match self {
            AccessFile::Passwords => "password-file",
            AccessFile::Rules => "acl-file",
        }
    }

    /// What it is called.
    pub(crate) fn what(self) -> &'static str {
        match self {
            AccessFile::Passwords => "password file",
            AccessFile::Rules => "ACL file",
        }
    }

    /// Every line that is worth a word, in order.
    pub(crate) fn inspect(self, path: &Path) -> Result<Vec<Line>, AccessError> {
        let bytes = self.read(path)?;
        let (faults, remarks) = match self {
            AccessFile::Passwords => (Vec::new(), files::passwords(&bytes).1),
            AccessFile::Rules => {
                let read = files::rules(&bytes);
                (read.faults, read.remarks)
            }
        };
        let line = |harmless: bool| {
            move |remark: Remark| Line {
                number: remark.line,
                what: remark.what,
                harmless,
            }
        };
        let mut lines: Vec<Line> = faults.into_iter().map(line(false)).collect();
        lines.extend(remarks.into_iter().map(line(true)));
        lines.sort_by_key(|line| line.number);
        Ok(lines)
    }

    fn read(self, path: &Path) -> Result<Vec<u8>, AccessError> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        let read = read.and_then(|length| match u64::try_from(length) {
            Ok(length) if length <= LARGEST => Ok(bytes),
            _ => Err(io::Error::other(format!(
                "it is larger than {} MiB",
                LARGEST >> 20
            ))),
        });
        read.map_err(|source| AccessError::File {
            what: self.what(),
            path: path.to_owned(),
            source,
        })
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
        tracing::warn!(
            event = "login-failed",
            "failed log-in from {address} as \"{}\"{more}",
            name.escape_debug()
        );
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

fn tell(path: &Path, remarks: &[Remark]) {
    for Remark { line, what } in remarks {
        tracing::warn!(event = "users-doubtful", "{}:{line}: {what}", path.display());
    }
}

/// The time as timers see it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics with the lock held; if it did, what is behind it is whole all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// The user "air" with the password "secret", hashed, and "badge" without one.
    fn access(extra: &str) -> Access {
        let salt = [1; 12];
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "air:{}\nbadge:", secret::pbkdf2_hash(b"secret", &salt, 3)).unwrap();
        let mut config: Config = toml::from_str(extra).unwrap();
        config.password_file = Some(file.path().to_owned());
        Access::load(&config).unwrap()
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    async fn seconds(access: &Access, peer: Option<IpAddr>, name: &str, password: &[u8]) -> (bool, f32) {
        let start = tokio::time::Instant::now();
        let good = access.authenticate(peer, name, Some(password)).await;
        (good, start.elapsed().as_secs_f32())
    }

    #[tokio::test]
    async fn the_right_password_and_nothing_else_opens() {
        let access = access("user = [{ name = \"sun\", password = \"clear\" }]");
        for (name, password, good) in [
            ("air", Some("secret"), true),
            ("air", Some("secret"), true),
            ("air", Some("clear"), false),
            ("air", Some(""), false),
            ("air", None, false),
            ("sun", Some("clear"), true),
            ("sun", Some("secret"), false),
            ("badge", Some(""), false),
            ("badge", Some("secret"), false),
            ("badge", None, false),
            ("nobody", Some("secret"), false),
            ("", Some("secret"), false),
        ] {
            let password = password.map(str::as_bytes);
            assert_eq!(
                access.authenticate(None, name, password).await,
                good,
                "{name} {password:?}"
            );
        }
        assert!(!format!("{access:?}").contains("clear"));
    }

    #[tokio::test]
    async fn an_empty_password_is_none_whatever_the_file_says() {
        let salt = [1; 12];
        let hash = secret::pbkdf2_hash(b"", &salt, 3);
        let access = access(&format!("user = [{{ name = \"e\", password = \"{hash}\" }}]"));
        assert!(!access.authenticate(None, "e", Some(b"")).await);
        assert!(!access.authenticate(None, "e", None).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_waits_longer_and_longer_and_nobody_else_does() {
        let access = access("");
        let (bad, good) = (address("10.0.0.1"), address("10.0.0.2"));
        for wait in [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0] {
            let (opened, waited) = seconds(&access, bad, "air", b"guess").await;
            assert!(
                !opened && waited >= wait && waited < wait + 0.09,
                "{waited} for {wait}"
            );
            let (opened, waited) = seconds(&access, good, "air", b"secret").await;
            assert!(opened && waited < 0.09, "{waited}");
        }
        let (opened, waited) = seconds(&access, bad, "air", b"secret").await;
        assert!(
            opened && waited >= 2.0,
            "the answer must not come earlier if it is the right one: {waited}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_at_the_same_time_are_not_quicker() {
        let access = Arc::new(access(""));
        let bad = address("10.0.0.1");
        for _ in 0..8 {
            access.authenticate(bad, "air", Some(b"guess")).await;
        }
        let start = tokio::time::Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..80 {
            let access = access.clone();
            all.spawn(async move { access.authenticate(bad, "air", Some(b"guess")).await });
        }
        assert!(all.join_all().await.iter().all(|opened| !opened));
        assert!(
            start.elapsed() >= Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
    }

    #[test]
    fn the_same_unknown_name_always_costs_the_same() {
        let access = access("user = [{ name = \"sun\", password = \"clear\" }]");
        for name in ["a", "b", "badge"] {
            let first = access.stand_in(name).unwrap();
            assert!((0..8).all(|_| Arc::ptr_eq(first, access.stand_in(name).unwrap())));
            assert!(first.secret.is_some());
        }
        assert!(Access::load(&Config::default()).unwrap().stand_in("a").is_none());
    }

    #[test]
    fn a_file_that_cannot_be_is_named_with_its_line() {
        let load = |config: &Config| crate::causes::Causes(&Access::load(config).unwrap_err()).to_string();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "topic a\ntopics b").unwrap();
        let path = file.path().to_owned();
        let fault = load(&Config {
            acl_file: Some(path.clone()),
            ..Config::default()
        });
        assert!(
            fault.starts_with(&format!("{}:2: a line begins with", path.display())),
            "{fault}"
        );
        let user = crate::broker::User {
            name: "a".into(),
            password: crate::broker::Password("$2b$12$abc".into()),
        };
        let fault = load(&Config {
            user: vec![user],
            ..Config::default()
        });
        assert!(
            fault.contains("user \"a\" can't be used: the hash is of an unknown kind"),
            "{fault}"
        );
        let fault = load(&Config {
            password_file: Some("/nowhere/p".into()),
            ..Config::default()
        });
        assert!(
            fault.starts_with("can't read the password file /nowhere/p: No such file"),
            "{fault}"
        );
    }

    #[test]
    fn rules_are_for_those_who_have_some() {
        let none = Access::load(&Config::default()).unwrap();
        assert!(none.grants(None, "c").may_publish("a") && none.grants(Some("u"), "c").may_subscribe("#"));
        let some = access("acl = [{ topic = \"a\", user = \"u\" }]");
        assert!(some.grants(Some("u"), "c").may_publish("a") && !some.grants(None, "c").may_publish("a"));
    }
}
