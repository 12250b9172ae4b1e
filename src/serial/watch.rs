//! Noticing that ports come and go: one inotify for all of them, and no polling.

use super::config::Config;
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{read_link, symlink_metadata};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

const DEV: &str = "/dev";

/// As the kernel's own limit for following links (linux/namei.h: MAXSYMLINKS).
const LINKS: usize = 40;

/// Tells that a port may have come, gone, or changed its mode.
#[derive(Debug, Clone)]
pub struct Watcher {
    ticks: watch::Sender<u64>,
}

impl Watcher {
    /// Begins to watch for the `ports`: their folders, and those that their links lead to. The future is the
    /// watching itself, to be spawned by the caller; it ends only with an error.
    ///
    /// What changes after the return is noticed; so look for the ports after it.
    pub fn start(ports: &[Config]) -> io::Result<(Watcher, impl Future<Output = io::Error> + Send + use<>)> {
        let (ticks, _) = watch::channel(0);
        let watcher = Watcher { ticks };
        let watching = watcher.watch(ports)?;
        Ok((watcher, watching))
    }

    /// Watches for these ports, too, or instead: the future of `start` may then be dropped. Those who wait for changes
    /// wait on.
    pub fn watch(&self, ports: &[Config]) -> io::Result<impl Future<Output = io::Error> + Send + use<>> {
        let mut wanted = Wanted {
            paths: Vec::new(),
            usb: None,
        };
        for port in ports {
            wanted.paths.extend(port.path.clone());
            wanted.usb = wanted.usb.or(port.usb.as_ref().map(|_| Path::new(DEV)));
        }
        wanted.start(self.ticks.clone())
    }

    /// A signal that changes whenever it is worth to look for a port again. To miss nothing: mark it as seen
    /// (`borrow_and_update`), look, and only then wait for `changed`.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }
}

/// What the ports need to know about.
struct Wanted {
    paths: Vec<PathBuf>,
    /// Where any terminal that appears may be the adapter meant.
    usb: Option<&'static Path>,
}

impl Wanted {
    fn start(self, ticks: watch::Sender<u64>) -> io::Result<impl Future<Output = io::Error> + Send + use<>> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // SAFETY: an OwnedFd is open and stays the same for as long as it lives, here as long as the AsyncFd.
        let fd = unsafe { AsyncFd::register(fd) }?;
        let mut watches = Watches {
            fd,
            wanted: self,
            names: HashMap::new(),
        };
        watches.settle()?;
        Ok(async move {
            loop {
                if let Err(error) = watches.change().await {
                    break error;
                }
                ticks.send_modify(|tick| *tick += 1);
            }
        })
    }
}

struct Watches {
    fd: AsyncFd<OwnedFd>,
    wanted: Wanted,
    /// By watch descriptor: which names in that folder matter.
    names: HashMap<i32, Names>,
}

#[derive(Default)]
struct Names {
    exact: HashSet<OsString>,
    terminals: bool,
}

impl Names {
    fn matter(&self, name: &OsStr) -> bool {
        self.exact.contains(name) || (self.terminals && name.as_bytes().starts_with(b"tty"))
    }
}

impl Watches {
    /// Waits until something that matters has changed. Cancel-safe: what was read is acted upon at once.
    async fn change(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.fd.readable().await?;
            let matters = read_events(self.fd.get_ref(), &self.names)?;
            // All that was there is read. What comes from now on makes the descriptor ready again.
            ready.clear_ready();
            if matters {
                // Before anyone looks: links may lead elsewhere now, folders be new or gone.
                self.settle()?;
                return Ok(());
            }
        }
    }

    /// Watches what is to be watched as things stand now, and no more.
    fn settle(&mut self) -> io::Result<()> {
        let mut names = HashMap::new();
        for path in &self.wanted.paths {
            follow(path, &mut |folder, name| {
                let wd = add(self.fd.get_ref(), folder)?;
                names
                    .entry(wd)
                    .or_insert_with(Names::default)
                    .exact
                    .insert(name.to_owned());
                Ok(())
            })?;
        }
        if let Some(dev) = self.wanted.usb {
            let wd = add(self.fd.get_ref(), dev)?;
            names.entry(wd).or_insert_with(Names::default).terminals = true;
        }
        for wd in self.names.keys().filter(|wd| !names.contains_key(wd)) {
            // It may be gone by itself, with its folder.
            let _ = inotify::remove_watch(self.fd.get_ref(), *wd);
        }
        self.names = names;
        Ok(())
    }
}

fn add(fd: &OwnedFd, folder: &Path) -> rustix::io::Result<i32> {
    let changes = WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    inotify::add_watch(fd, folder, changes)
}

/// Reads all events that wait; whether any of them matters.
fn read_events(fd: &OwnedFd, names: &HashMap<i32, Names>) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(fd, &mut buffer);
    let mut matters = false;
    loop {
        match reader.next() {
            Ok(event) => {
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                matters |= match (names.get(&event.wd()), name) {
                    _ if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => true,
                    (Some(names), Some(name)) => names.matter(name),
                    // The folder itself is gone.
                    (Some(_), None) => true,
                    // One that was watched before.
                    (None, _) => false,
                };
            }
            Err(Errno::WOULDBLOCK) => return Ok(matters),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Walks to `path` as the kernel does, and names to `watch` each folder and name in it on which it depends
/// where that leads, as far as it leads anywhere. A name is looked at after its folder is watched, so nothing
/// is missed.
fn follow(path: &Path, watch: &mut impl FnMut(&Path, &OsStr) -> rustix::io::Result<()>) -> io::Result<()> {
    // Folders vanish between the look and the watch; not for ever.
    for _ in 0..LINKS {
        match walk(path, watch) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            // Not ours to watch. Opening will say so, too.
            Err(Errno::ACCESS) => return Ok(()),
            done => return Ok(done?),
        }
    }
    Ok(())
}

fn walk(
    path: &Path,
    watch: &mut impl FnMut(&Path, &OsStr) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let mut at = PathBuf::from("/");
    let mut rest = parts(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&name);
        let is_folder = || symlink_metadata(&next).is_ok_and(|found| found.is_dir());
        // Folders that stay are passed by: each file made in /tmp would wake us. Those of /dev come and go, and
        // do not always say so themselves (not while a shell stands in them).
        let passed = !rest.is_empty() && !at.starts_with(DEV) && is_folder();
        if !passed {
            watch(&at, &name)?;
        }
        if let Ok(target) = read_link(&next) {
            links += 1;
            if links > LINKS {
                break;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(parts(&target));
        } else if passed || is_folder() {
            // One that was passed by and is gone by now is missed when it is to be watched, and the walk begins anew.
            at = next;
        } else {
            break;
        }
    }
    Ok(())
}

/// The names on the way, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let parts = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.rev().map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::{Pty, open};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    /// A watcher of one path, and its signal.
    fn watch(path: &Path) -> watch::Receiver<u64> {
        let (watcher, watching) = Watcher::start(&[Config::at(path)]).unwrap();
        tokio::spawn(watching);
        watcher.changes()
    }

    async fn noticed(changes: &mut watch::Receiver<u64>) {
        let changed = tokio::time::timeout(Duration::from_secs(10), changes.changed()).await;
        changed.expect("the change went unnoticed").unwrap();
    }

    /// Whether something is noticed that happened before `sign`, which is noticed in any case.
    async fn ticks_until(changes: &mut watch::Receiver<u64>, sign: impl FnOnce()) -> u64 {
        let before = *changes.borrow_and_update();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        sign();
        noticed(changes).await;
        *changes.borrow() - before
    }

    #[tokio::test]
    async fn a_link_that_is_pointed_elsewhere_is_noticed_and_its_first_frame_read() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("sensor");
        let config = Config::at(&link);
        let mut pty = Pty::new().unwrap();
        symlink(pty.path(), &link).unwrap();
        let mut changes = watch(&link);
        let mut port = open(&link, &config).await.unwrap();
        for round in 0..1000 {
            drop(pty);
            assert!(port.read(&mut [0; 16]).await.is_err());
            drop(port);
            fs::remove_file(&link).unwrap();
            changes.borrow_and_update();

            pty = Pty::new().unwrap();
            symlink(pty.path(), &link).unwrap();
            let frame = format!("{round:04}\n");
            rustix::io::write(&pty, frame.as_bytes()).unwrap();
            port = loop {
                match open(&link, &config).await {
                    Ok(port) => break port,
                    Err(error) => assert!(error.waits_for_change(), "{error}"),
                }
                noticed(&mut changes).await;
            };
            let mut got = [0; 5];
            port.read_exact(&mut got).await.unwrap();
            assert_eq!(got, frame.as_bytes());
        }
    }

    #[tokio::test]
    async fn folders_may_come_and_go() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("serial/by-id/adapter");
        let folder = path.parent().unwrap();
        let mut changes = watch(&path);
        for _ in 0..3 {
            fs::create_dir_all(folder).unwrap();
            noticed(&mut changes).await;
            // Whatever was noticed so far, the node itself is:
            ticks_until(&mut changes, || drop(fs::File::create(&path).unwrap())).await;
            ticks_until(&mut changes, || {
                fs::remove_dir_all(root.path().join("serial")).unwrap()
            })
            .await;
        }
    }

    #[tokio::test]
    async fn a_folder_that_somebody_stands_in_may_go_too() {
        // Such a folder does not say that it is removed before that shell has left it.
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let folder = root.path().join("by-id");
        fs::create_dir(&folder).unwrap();
        let mut changes = watch(&folder.join("adapter"));
        let shell = fs::File::open(&folder).unwrap();
        ticks_until(&mut changes, || fs::remove_dir(&folder).unwrap()).await;
        ticks_until(&mut changes, || fs::create_dir(&folder).unwrap()).await;
        ticks_until(&mut changes, || {
            drop(fs::File::create(folder.join("adapter")).unwrap())
        })
        .await;
        drop(shell);
    }

    #[tokio::test]
    async fn a_change_of_mode_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("ttyUSB0");
        fs::File::create(&node).unwrap();
        let mut changes = watch(&node);
        fs::set_permissions(&node, fs::Permissions::from_mode(0o660)).unwrap();
        noticed(&mut changes).await;
    }

    #[tokio::test]
    async fn neighbours_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut changes = watch(&folder.path().join("ttyUSB0"));
        for n in 1..50 {
            fs::File::create(folder.path().join(format!("ttyUSB{n}"))).unwrap();
        }
        let node = folder.path().join("ttyUSB0");
        assert_eq!(
            ticks_until(&mut changes, || drop(fs::File::create(node).unwrap())).await,
            1
        );
    }

    #[tokio::test]
    async fn any_terminal_may_be_the_usb_adapter() {
        let dev: &'static Path = Box::leak(tempfile::tempdir().unwrap().keep().into_boxed_path());
        let (ticks, mut changes) = watch::channel(0);
        let watching = Wanted {
            paths: Vec::new(),
            usb: Some(dev),
        }
        .start(ticks)
        .unwrap();
        tokio::spawn(watching);
        fs::File::create(dev.join("loop9")).unwrap();
        let ticks = ticks_until(&mut changes, || {
            drop(fs::File::create(dev.join("ttyACM0")).unwrap())
        })
        .await;
        assert_eq!(ticks, 1);
        fs::remove_dir_all(dev).unwrap();
    }

    #[tokio::test]
    async fn a_pty_that_comes_is_noticed_under_its_own_name() {
        // The kernel gives the lowest free number, which another test may take; so it is tried more than once.
        for _ in 0..50 {
            let path = Pty::new().unwrap().path().to_owned();
            let mut changes = watch(&path);
            if Pty::new().unwrap().path() == path {
                return noticed(&mut changes).await;
            }
        }
        panic!("no pty came twice");
    }

    #[test]
    fn the_way_leads_through_links() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("real/by-id")).unwrap();
        symlink("real", root.join("serial")).unwrap();
        symlink("../../ttyUSB0", root.join("real/by-id/adapter")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let ways = |path: &str| {
            let mut ways = Vec::new();
            follow(&root.join(path), &mut |folder, name| {
                let way = folder.join(name);
                ways.push(way.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                Ok(())
            })
            .unwrap();
            ways
        };
        assert_eq!(
            ways("serial/by-id/adapter"),
            ["serial", "real/by-id/adapter", "ttyUSB0"]
        );
        assert_eq!(ways("gone/by-id/adapter"), ["gone"]);
        assert_eq!(ways("loop").len(), LINKS + 1);
    }
}
