//! Who may connect and do what: users with hashed passwords, rules by topic, mosquitto's files.

mod acl;
mod files;
mod throttle;

pub(crate) use acl::Grants;
pub(crate) use files::with_password;

use super::message::Who;
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
    users: Users,
    /// None: whoever is connected may do everything.
    rules: Option<acl::Rules>,
    /// What listeners have instead, by their names.
    own: BTreeMap<String, Own>,
    checks: Arc<Semaphore>,
    doors: Arc<Mutex<Doors>>,
    key: Key,
}

type Users = BTreeMap<String, Arc<User>>;

/// What a listener has of its own.
#[derive(Debug)]
struct Own {
    users: Option<Users>,
    rules: Option<acl::Rules>,
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
        let mut users = match &config.password_file {
            Some(path) => filed_users(path)?,
            None => Users::new(),
        };
        for user in &config.user {
            let secret = user.password.secret().map_err(|source| AccessError::Password {
                name: user.name.clone(),
                source,
            })?;
            users.insert(user.name.clone(), User::new(Some(secret)));
        }
        let lines = config.acl_file.as_deref().map(filed_rules).transpose()?;
        let ruled = lines.is_some() || !config.acl.is_empty();
        let mut own = BTreeMap::new();
        for (name, listener) in config.named_listeners() {
            let users = listener.password_file.as_deref().map(filed_users).transpose()?;
            let lines = listener.acl_file.as_deref().map(filed_rules).transpose()?;
            if users.is_some() || lines.is_some() {
                let rules = lines.map(|lines| acl::Rules::new(&[], lines));
                own.insert(name, Own { users, rules });
            }
        }
        Ok(Access {
            users,
            rules: ruled.then(|| acl::Rules::new(&config.acl, lines.unwrap_or_default())),
            own,
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
        listener: &str,
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
        let users = self.users_at(listener);
        let user = users.get(name);
        if let Some(user) = user
            && password.is_some()
            && locked(&user.known).is_some_and(|known| known.ct_eq(&digest).into())
        {
            return true;
        }
        // Somebody unknown costs what somebody else costs, always the same for the same name.
        let checked = user
            .filter(|user| user.secret.is_some())
            .or_else(|| self.stand_in(users, name))
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
    pub(crate) fn disowns(&self, who: &Who, next: &Access) -> bool {
        let Some(name) = who.user.as_deref() else {
            return false;
        };
        let secret = |access: &Access| {
            let user = access.users_at(&who.listener).get(name);
            user.map(|user| user.secret.clone())
        };
        let before = secret(self);
        before.is_some() && before != secret(next)
    }

    /// What a client may do, with its names put in.
    pub(crate) fn grants(&self, who: &Who) -> Grants {
        let own = self.own.get(&*who.listener).and_then(|own| own.rules.as_ref());
        match own.or(self.rules.as_ref()) {
            None => Grants::all(),
            Some(rules) => rules.for_client(who.user.as_deref(), &who.client),
        }
    }

    fn users_at(&self, listener: &str) -> &Users {
        let own = self.own.get(listener).and_then(|own| own.users.as_ref());
        own.unwrap_or(&self.users)
    }

    fn stand_in<'a>(&self, users: &'a Users, name: &str) -> Option<&'a Arc<User>> {
        let mut with: Vec<&Arc<User>> = users.values().filter(|user| user.secret.is_some()).collect();
        let digest = self.key.digest(name, b"");
        let number = u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
        let count = u64::try_from(with.len()).ok().filter(|count| *count > 0)?;
        Some(with.swap_remove(usize::try_from(number % count).unwrap_or(0)))
    }
}

fn filed_users(path: &Path) -> Result<Users, AccessError> {
    let (entries, remarks) = files::passwords(&AccessFile::Passwords.read(path)?);
    tell(path, &remarks);
    let entries = entries.into_iter();
    Ok(entries
        .map(|entry| (entry.name, User::new(entry.secret)))
        .collect())
}

fn filed_rules(path: &Path) -> Result<Vec<files::Line>, AccessError> {
    let read = files::rules(&AccessFile::Rules.read(path)?);
    if let Some(Remark { line, what }) = read.faults.into_iter().next() {
        let path = path.to_owned();
        return Err(AccessError::Line { path, line, what });
    }
    tell(path, &read.remarks);
    Ok(read.lines)
}

impl User {
    fn new(secret: Option<Secret>) -> Arc<User> {
        Arc::new(User {
            secret,
            known: Mutex::new(None),
        })
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
    /// The files that a configuration names, and the paths of their keys below `broker`.
    pub(crate) fn of(config: &Config) -> impl Iterator<Item = (String, AccessFile, &Path)> {
        let pair = |before: String, passwords, rules| {
            [(AccessFile::Passwords, passwords), (AccessFile::Rules, rules)]
                .into_iter()
                .filter_map(move |(file, path): (AccessFile, &Option<PathBuf>)| {
                    Some((format!("{before}{}", file.key()), file, path.as_deref()?))
                })
        };
        let listeners = config.listener.iter().enumerate();
        let own = listeners.flat_map(move |(i, listener)| {
            pair(
                format!("listener[{i}]."),
                &listener.password_file,
                &listener.acl_file,
            )
        });
        pair(String::new(), &config.password_file, &config.acl_file).chain(own)
    }

    /// Its key in the configuration.
    fn key(self) -> &'static str {
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
        let good = access.authenticate("", peer, name, Some(password)).await;
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
                access.authenticate("", None, name, password).await,
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
        assert!(!access.authenticate("", None, "e", Some(b"")).await);
        assert!(!access.authenticate("", None, "e", None).await);
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
            access.authenticate("", bad, "air", Some(b"guess")).await;
        }
        let start = tokio::time::Instant::now();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..80 {
            let access = access.clone();
            all.spawn(async move { access.authenticate("", bad, "air", Some(b"guess")).await });
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
            let first = access.stand_in(&access.users, name).unwrap();
            assert!((0..8).all(|_| Arc::ptr_eq(first, access.stand_in(&access.users, name).unwrap())));
            assert!(first.secret.is_some());
        }
        let nobody = Access::load(&Config::default()).unwrap();
        assert!(nobody.stand_in(&nobody.users, "a").is_none());
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

    fn who(user: Option<&str>) -> Who {
        Who {
            user: user.map(Into::into),
            client: "c".into(),
            listener: "127.0.0.1:1".into(),
        }
    }

    /// A file with this text.
    fn filed(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[tokio::test]
    async fn a_listener_with_files_of_its_own_knows_nothing_else() {
        let passwords = filed(&format!("own:{}\n", secret::pbkdf2_hash(b"secret", &[1; 12], 3)));
        let rules = filed("topic read a\n");
        let text = format!(
            "acl = [{{ topic = \"all\" }}]
            user = [{{ name = \"all\", password = \"secret\" }}]
            [[listener]]
            address = \"127.0.0.1:1\"
            password-file = {:?}
            acl-file = {:?}
            [[listener]]
            address = \"127.0.0.1:2\"",
            passwords.path(),
            rules.path()
        );
        let config: Config = toml::from_str(&text).unwrap();
        let access = Access::load(&config).unwrap();
        for (listener, name, good) in [
            ("127.0.0.1:1", "own", true),
            ("127.0.0.1:1", "all", false),
            ("127.0.0.1:2", "own", false),
            ("127.0.0.1:2", "all", true),
        ] {
            let may = access.authenticate(listener, None, name, Some(b"secret")).await;
            assert_eq!(may, good, "{name} at {listener}");
        }
        let (first, mut second) = (access.grants(&who(None)), who(None));
        assert!(first.may_receive("a") && !first.may_receive("all"));
        second.listener = "127.0.0.1:2".into();
        let second = access.grants(&second);
        assert!(second.may_receive("all") && !second.may_receive("a"));

        let broken = filed("topics a\n");
        let text = format!(
            "listener = [{{ address = \"127.0.0.1:1\", acl-file = {:?} }}]",
            broken.path()
        );
        let error = Access::load(&toml::from_str(&text).unwrap()).unwrap_err();
        assert!(matches!(error, AccessError::Line { line: 1, .. }), "{error}");
    }

    #[test]
    fn rules_are_for_those_who_have_some() {
        let none = Access::load(&Config::default()).unwrap();
        assert!(none.grants(&who(None)).may_publish("a") && none.grants(&who(Some("u"))).may_subscribe("#"));
        let some = access("acl = [{ topic = \"a\", user = \"u\" }]");
        assert!(some.grants(&who(Some("u"))).may_publish("a") && !some.grants(&who(None)).may_publish("a"));
    }
}
