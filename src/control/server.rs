//! The Unix socket on which watchers are served.

use super::wire::{FORMAT, Hello, Line, Record, Request};
use super::{Feed, Watch};
use crate::fold::Run;
use crate::unix;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How many may watch at once: people with a terminal, and a recorder. Each costs up to 32 KiB of memory
/// and its share of writing every line.
pub const MAX_WATCHERS: usize = 16;

/// The longest request, in bytes: room for the names of hundreds of ports.
pub const MAX_REQUEST: usize = 16 * 1024;

/// How long a client may take to send its request, so that a silent one does not keep a place.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Lines are gathered up to about so many bytes before they are written: fewer calls in a flood.
const CHUNK: usize = 32 * 1024;

/// How long the watchers' last lines may take when the gateway stops; a part of the 2 s that it has.
const GOODBYE: Duration = Duration::from_millis(300);

/// How long to wait when a connection could not be accepted, so as not to spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// How many watchers wait to be accepted.
const BACKLOG: i32 = 16;

/// A bound control socket; its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket(unix::Socket);

/// Binds `path` and serves watchers until `stop` comes.
///
/// # Errors
/// When the path cannot be bound, as [`Socket::bind`] says.
pub async fn serve(path: &Path, feed: Feed, stop: impl Future<Output = ()>) -> io::Result<()> {
    Socket::bind(path)?.serve(feed, stop).await;
    Ok(())
}

impl Socket {
    /// Binds the path. The file of a dead process is replaced; one that somebody serves, or that is no
    /// socket, is an error. The folder is made if only it is missing.
    ///
    /// # Errors
    /// When the path is in use, too long (108 bytes) or not writable; the text names the path.
    pub fn bind(path: &Path) -> io::Result<Socket> {
        unix::Socket::bind(path, BACKLOG).map(Socket)
    }

    /// Serves watchers until `stop` comes; those who still watch then get the last lines and a `bye`.
    pub async fn serve(self, feed: Feed, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let (stopping, stopped) = watch::channel(());
        let mut watchers = JoinSet::new();
        let mut deaf = Run::default();
        // Each arm is cancel-safe: a connection is either accepted or still waits in the backlog.
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = watchers.join_next() => {}
                accepted = self.0.listener.accept() => match accepted {
                    Ok((stream, _)) if watchers.len() < MAX_WATCHERS => {
                        if let Some(n) = deaf.good() {
                            tracing::info!(n, "watchers are accepted again");
                        }
                        watchers.spawn(attend(stream, feed.clone(), stopped.clone()));
                    }
                    Ok((stream, _)) => refuse(&stream, format!("{MAX_WATCHERS} watch already, and no more may")),
                    Err(error) => {
                        // Out of descriptors, most likely: the listener stays readable, and would be tried at once.
                        if deaf.fault(Instant::now()).is_some() {
                            tracing::warn!(%error, "a watcher could not be accepted");
                        }
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
        drop(stopping);
        let _ = timeout(GOODBYE, async { while watchers.join_next().await.is_some() {} }).await;
    }
}

/// One watcher, from its request to its end. Its errors are its own: it is gone, and nobody else cares.
async fn attend(stream: UnixStream, feed: Feed, stopped: watch::Receiver<()>) {
    let (mut read, mut write) = stream.into_split();
    let ended = match timeout(REQUEST_WITHIN, request(&mut read)).await {
        Err(_) => Err(format!("no request came within {} s", REQUEST_WITHIN.as_secs())),
        Ok(Err(Refusal::Gone)) => return,
        Ok(Err(Refusal::Fault(text))) => Err(text),
        Ok(Ok(request)) => unknown_port(&request, &feed).map_or(Ok(request), Err),
    };
    let last = match ended {
        Err(error) => Line::Error { error },
        Ok(request) if request.reload => match feed.reload().await {
            Ok(reloaded) => Line::Reloaded { reloaded },
            Err(error) => Line::Error { error },
        },
        Ok(request) => match stream_events(&mut read, &mut write, &request, &feed, stopped).await {
            Some(line) => line,
            None => return,
        },
    };
    let mut out = Vec::new();
    last.write(&mut out);
    let _ = timeout(REQUEST_WITHIN, write.write_all(&out)).await;
}

/// Greets, then passes on what happens. Returns the line to end with, if there is anybody to read it.
async fn stream_events(
    read: &mut OwnedReadHalf,
    write: &mut OwnedWriteHalf,
    request: &Request,
    feed: &Feed,
    mut stopped: watch::Receiver<()>,
) -> Option<Line<'static>> {
    // From here on nothing is missed: who has read `hello` sees all that comes after.
    let mut watch = feed.watch();
    let mut out = Vec::new();
    let ports = feed.ports().iter().map(|name| name.to_string()).collect();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Line::Hello {
        hello: Hello {
            version,
            format: FORMAT,
            ports,
        },
    }
    .write(&mut out);
    write.write_all(&out).await.ok()?;
    let mut unasked = [0; 1];
    // Cancel-safe: recv() and changed() lose nothing, and what read() would take ends the connection.
    loop {
        out.clear();
        let event = tokio::select! {
            event = watch.events.recv() => event,
            _ = stopped.changed() => {
                while gather(&mut watch, request, &mut out) {
                    write.write_all(&out).await.ok()?;
                    out.clear();
                }
                return Some(Line::Bye { bye: "the gateway stops".to_owned() });
            }
            read = read.read(&mut unasked) => return match read {
                Ok(1..) => Some(Line::Error { error: "one request is all that a connection takes".to_owned() }),
                _ => None,
            },
        };
        match event {
            Ok(event) if request.wants(&event) => Line::Event(Record::from(&event)).write(&mut out),
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => Line::Missed { missed }.write(&mut out),
            // The gateway has dropped every tap: it stops, and `stopped` is about to say so.
            Err(RecvError::Closed) => {
                return Some(Line::Bye {
                    bye: "the gateway stops".to_owned(),
                });
            }
        }
        if gather(&mut watch, request, &mut out) {
            write.write_all(&out).await.ok()?;
        }
        tokio::task::yield_now().await;
    }
}

/// Appends what waits already, up to about [`CHUNK`]. Whether there is something to write.
fn gather(watch: &mut Watch, request: &Request, out: &mut Vec<u8>) -> bool {
    while out.len() < CHUNK {
        match watch.events.try_recv() {
            Ok(event) if request.wants(&event) => Line::Event(Record::from(&event)).write(out),
            Ok(_) => {}
            Err(TryRecvError::Lagged(missed)) => Line::Missed { missed }.write(out),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    !out.is_empty()
}

enum Refusal {
    Gone,
    Fault(String),
}

/// Reads the one line that a client sends.
async fn request(read: &mut OwnedReadHalf) -> Result<Request, Refusal> {
    let mut line = Vec::new();
    let mut part = [0; 512];
    loop {
        let n = read.read(&mut part).await.map_err(|_| Refusal::Gone)?;
        let end = part[..n].iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&part[..end.unwrap_or(n)]);
        if line.len() > MAX_REQUEST {
            return Err(Refusal::Fault(format!(
                "a request is at most {MAX_REQUEST} bytes long"
            )));
        }
        match (end, n) {
            (Some(end), _) if end + 1 < n => {
                return Err(Refusal::Fault(
                    "one request is all that a connection takes".to_owned(),
                ));
            }
            (Some(_), _) => break,
            (None, 0) => return Err(Refusal::Gone),
            (None, _) => {}
        }
    }
    serde_json::from_slice(&line)
        .map_err(|error| Refusal::Fault(format!("this request is not understood: {error}")))
}

fn unknown_port(request: &Request, feed: &Feed) -> Option<String> {
    let ports = feed.ports();
    let known = |name: &String| ports.is_empty() || ports.iter().any(|port| **port == **name);
    let name = request.ports.iter().find(|name| !known(name))?;
    Some(format!(
        "no port is called {name:?}: there are {}",
        ports.join(", ")
    ))
}

/// Says why, if that can be said at once.
fn refuse(stream: &UnixStream, error: String) {
    let mut out = Vec::new();
    Line::Error { error }.write(&mut out);
    let _ = stream.try_write(&out);
}

#[cfg(test)]
mod tests {
    use super::super::{Direction, Event, QUEUE, Tap, Verdict};
    use super::*;
    use bytes::Bytes;
    use std::time::SystemTime;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    struct House {
        folder: tempfile::TempDir,
        tap: Tap,
        stop: oneshot::Sender<()>,
        server: JoinHandle<()>,
    }

    impl House {
        fn new() -> House {
            let folder = tempfile::tempdir().unwrap();
            let (tap, feed) = Tap::new();
            let (stop, stopped) = oneshot::channel();
            let socket = Socket::bind(&folder.path().join("sock")).unwrap();
            let feed = feed.with_ports(["air".into(), "scale".into()]);
            let server = tokio::spawn(socket.serve(feed, async { drop(stopped.await) }));
            House {
                folder,
                tap,
                stop,
                server,
            }
        }

        async fn client(&self, request: &str) -> Client {
            let stream = UnixStream::connect(self.folder.path().join("sock"))
                .await
                .unwrap();
            let mut client = Client(BufReader::new(stream));
            client.0.write_all(request.as_bytes()).await.unwrap();
            client
        }

        async fn watcher(&self, request: &str) -> Client {
            let mut client = self.client(request).await;
            assert!(matches!(client.line().await, Some(Line::Hello { .. })));
            client
        }
    }

    struct Client(BufReader<UnixStream>);

    impl Client {
        async fn line(&mut self) -> Option<Line<'static>> {
            let mut text = String::new();
            match self.0.read_line(&mut text).await {
                Ok(0) | Err(_) => None,
                Ok(_) => Some(Line::parse(&text).expect(&text)),
            }
        }

        async fn error(&mut self) -> String {
            match self.line().await {
                Some(Line::Error { error }) => {
                    assert_eq!(self.line().await, None, "an error is the last line");
                    error
                }
                other => panic!("no error but {other:?}"),
            }
        }
    }

    fn event(port: &str, direction: Direction, verdict: Verdict, bytes: Bytes) -> Event {
        Event {
            time: SystemTime::UNIX_EPOCH,
            port: port.into(),
            direction,
            bytes,
            verdict,
        }
    }

    fn good(bytes: &'static [u8]) -> Event {
        event(
            "air",
            Direction::Up,
            Verdict::Published,
            Bytes::from_static(bytes),
        )
    }

    #[tokio::test]
    async fn a_watcher_is_greeted_and_sees_what_it_asked_for() {
        let house = House::new();
        assert!(!house.tap.watched());
        let mut all = house.client("{}\n").await;
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            format: FORMAT,
            ports: vec!["air".into(), "scale".into()],
        };
        assert_eq!(all.line().await, Some(Line::Hello { hello }));
        assert!(house.tap.watched());
        let mut bad = house.watcher("{\"bad\":true,\"ports\":[\"scale\"]}\n").await;
        let damaged = event(
            "scale",
            Direction::Up,
            Verdict::Damaged("check"),
            Bytes::from_static(b"x"),
        );
        house.tap.send(good(b"a"));
        house.tap.send(damaged.clone());
        assert_eq!(all.line().await, Some(Line::Event(Record::from(&good(b"a")))));
        assert_eq!(all.line().await, Some(Line::Event(Record::from(&damaged))));
        assert_eq!(bad.line().await, Some(Line::Event(Record::from(&damaged))));
    }

    #[tokio::test]
    async fn stopping_says_the_last_and_goodbye_and_takes_the_file_away() {
        let house = House::new();
        let mut client = house.watcher("{}\n").await;
        let mut stalled = house.watcher("{}\n").await;
        house.tap.send(good(b"last"));
        house.stop.send(()).unwrap();
        assert_eq!(
            client.line().await,
            Some(Line::Event(Record::from(&good(b"last"))))
        );
        assert!(matches!(client.line().await, Some(Line::Bye { .. })));
        assert_eq!(client.line().await, None);
        house.server.await.unwrap();
        assert!(!house.folder.path().join("sock").exists());
        assert!(stalled.line().await.is_some());
    }

    #[tokio::test]
    async fn the_slow_one_is_told_what_it_missed_and_the_quick_one_misses_nothing() {
        const SENT: u64 = 3000;
        let house = House::new();
        let mut slow = house.watcher("{}\n").await;
        let mut quick = house.watcher("{}\n").await;
        for _ in 0..SENT {
            house.tap.send(good(&[0x55; 1000]));
            assert!(matches!(quick.line().await, Some(Line::Event(_))));
        }
        let (mut seen, mut missed) = (0, 0);
        while seen + missed < SENT {
            match slow.line().await {
                Some(Line::Event(_)) => seen += 1,
                Some(Line::Missed { missed: n }) => missed += n,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen + missed, SENT);
        assert!(missed > 0 && seen >= QUEUE as u64, "{seen} seen, {missed} missed");
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_with_the_reason() {
        let house = House::new();
        for (request, reason) in [
            ("hello\n", "this request is not understood"),
            ("{\"prots\":[]}\n", "unknown field `prots`"),
            (
                "{\"ports\":[\"aire\"]}\n",
                "no port is called \"aire\": there are air, scale",
            ),
            ("{}\n{}\n", "one request is all"),
            ("\n", "this request is not understood"),
        ] {
            let error = house.client(request).await.error().await;
            assert!(error.contains(reason), "{request}: {error}");
        }
        let error = house.client(&"x".repeat(MAX_REQUEST + 1)).await.error().await;
        assert!(error.contains("at most 16384 bytes"), "{error}");
        let mut client = house.watcher("{}\n").await;
        client.0.write_all(b"more").await.unwrap();
        assert!(client.error().await.contains("one request is all"));
        assert!(!house.tap.watched());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_does_not_keep_its_place() {
        let house = House::new();
        assert!(house.client("{").await.error().await.contains("within 5 s"));
    }

    #[tokio::test]
    async fn one_more_than_may_watch_is_told_so_until_one_leaves() {
        let house = House::new();
        let mut watchers = Vec::new();
        for _ in 0..MAX_WATCHERS {
            watchers.push(house.watcher("{}\n").await);
        }
        assert!(house.client("").await.error().await.contains("16 watch already"));
        watchers.pop();
        loop {
            let mut client = house.client("{}\n").await;
            match client.line().await {
                Some(Line::Hello { .. }) => break,
                _ => tokio::task::yield_now().await,
            }
        }
    }
}
