//! `mqttyd watch`: what passes on the ports of a running gateway, live.

mod table;

use crate::control::Direction;
use crate::control::wire::{Line, Request};
use anyhow::{Context, anyhow, bail};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use table::Table;
pub(crate) use table::clean;

/// The longest line that is read: a gateway sends no frame of 8 MiB, so that what does is no gateway.
const MAX_LINE: u64 = 16 << 20;

/// What to watch, and how to show it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// Only this port; may be given several times. All ports when it is not given
    #[arg(long = "port", short, value_name = "NAME")]
    pub ports: Vec<String>,

    /// Only frames from the device to MQTT
    #[arg(long, conflicts_with = "down")]
    pub up: bool,

    /// Only frames from MQTT to the device
    #[arg(long)]
    pub down: bool,

    /// Only what went wrong: damaged frames and refused commands
    #[arg(long)]
    pub bad: bool,

    /// End after so many frames
    #[arg(long, short = 'n', value_name = "N")]
    pub count: Option<NonZeroU64>,

    /// Show long frames whole, on as many rows as they need
    #[arg(long, short)]
    pub full: bool,

    /// Show the seconds since the first frame instead of the time of day (which is UTC)
    #[arg(long, short)]
    pub relative: bool,

    /// Print the gateway's JSON lines as they come: a recording that can be kept
    #[arg(long, conflicts_with_all = ["full", "relative", "width"])]
    pub json: bool,

    /// How many columns to fill; the terminal's when not given
    #[arg(long, value_name = "COLUMNS")]
    pub width: Option<usize>,
}

/// Watches the gateway that serves `socket` until `count` is reached, the gateway stops, or Ctrl-C.
///
/// # Errors
/// When no gateway is there, when it may not be asked, when it refuses the request or vanishes.
pub fn run(socket: &Path, options: &Options, out: &mut impl Write, colour: bool) -> anyhow::Result<()> {
    let stream = connect(socket, &options.request())?;
    match show(BufReader::new(stream), options, out, colour) {
        Ok(true) => Ok(()),
        Ok(false) => {
            bail!(
                "the gateway at {} is gone, and it did not say why: see its log (journalctl -u mqttyd)",
                socket.display()
            )
        }
        // Who piped us into `head` has seen enough.
        Err(error) if error.root_cause().downcast_ref().is_some_and(broken_pipe) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asks the gateway that serves `socket`.
pub(super) fn connect(socket: &Path, request: &Request) -> anyhow::Result<UnixStream> {
    if socket.as_os_str().is_empty() {
        bail!("the gateway has no control socket: its configuration turns it off (`control` in `[gateway]`)");
    }
    let mut stream = UnixStream::connect(socket).map_err(|error| advise(socket, error))?;
    let mut request = serde_json::to_vec(request).context("failed to write the request")?;
    request.push(b'\n');
    // One that refuses at once closes before it reads; what it said is read below.
    if let Err(error) = stream.write_all(&request)
        && error.kind() != ErrorKind::BrokenPipe
    {
        return Err(error).with_context(|| format!("failed to ask the gateway at {}", socket.display()));
    }
    Ok(stream)
}

fn broken_pipe(error: &io::Error) -> bool {
    error.kind() == ErrorKind::BrokenPipe
}

impl Options {
    fn request(&self) -> Request {
        let direction = match (self.up, self.down) {
            (true, _) => Some(Direction::Up),
            (_, true) => Some(Direction::Down),
            _ => None,
        };
        Request {
            ports: self.ports.clone(),
            direction,
            bad: self.bad,
            reload: false,
        }
    }
}

/// Says what a failed connection means and what to do.
fn advise(socket: &Path, error: io::Error) -> anyhow::Error {
    let place = socket.display();
    match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "no gateway runs here: there is no control socket at {place}\n\
             start one with `mqttyd run`, or name the socket of the one that runs with `--socket PATH`"
        ),
        ErrorKind::ConnectionRefused => anyhow!(
            "no gateway runs here: the control socket at {place} was left by one that is gone\n\
             see why it ended (journalctl -u mqttyd), and start it again"
        ),
        ErrorKind::PermissionDenied => {
            let gid = std::fs::metadata(socket).map(|file| file.gid());
            let way = way_in(gid.ok());
            anyhow!("the control socket at {place} is not for this user\n{way}")
        }
        _ => anyhow::Error::new(error).context(format!("failed to reach the gateway at {place}")),
    }
}

/// How somebody may watch whom this group would let in. Nobody is told to join root's.
fn way_in(gid: Option<u32>) -> String {
    match gid {
        None | Some(0) => "run it with sudo".to_owned(),
        Some(gid) => format!(
            "run it with sudo, or join the group for good: sudo usermod -aG {} $USER",
            group(gid)
        ),
    }
}

/// The group's name, or its number where it has none.
fn group(gid: u32) -> String {
    let file = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let mut lines = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines
        .find(|parts| parts.get(2).is_some_and(|id| *id == gid.to_string()))
        .map_or_else(|| gid.to_string(), |parts| parts[0].to_owned())
}

/// Shows lines until the last; whether there was one that says that it is.
fn show(
    mut lines: BufReader<impl Read>,
    options: &Options,
    out: &mut impl Write,
    colour: bool,
) -> anyhow::Result<bool> {
    let mut table = Table::new(options, colour);
    let mut left = options.count.map(NonZeroU64::get);
    let mut text = String::new();
    loop {
        if lines.buffer().is_empty() {
            out.flush()?;
        }
        text.clear();
        match lines.by_ref().take(MAX_LINE).read_line(&mut text) {
            // The server's way to close on one who has said too much.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error).context("failed to read from the gateway"),
            Ok(_) if !text.ends_with('\n') => return Ok(false),
            Ok(_) => {}
        }
        let line = Line::parse(&text);
        if options.json {
            out.write_all(text.as_bytes())?;
        } else if let Some(line) = &line {
            out.write_all(table.show(line).as_bytes())?;
        }
        match line {
            Some(Line::Error { error }) => {
                out.flush()?;
                bail!("the gateway refuses: {}", clean(&error));
            }
            Some(Line::Bye { .. }) => {
                out.flush()?;
                return Ok(true);
            }
            Some(Line::Event(record)) if record.verdict != "state" => {
                left = left.map(|left| left - 1);
                if left == Some(0) {
                    out.flush()?;
                    return Ok(true);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Event, Socket, Tap, Verdict};
    use bytes::Bytes;
    use std::time::SystemTime;

    const HELLO: &str = "{\"hello\":{\"version\":\"0.1.0\",\"format\":1,\"ports\":[\"air\",\"scale\"]}}\n";

    fn line(direction: &str, verdict: &str, why: &str, bytes: &str) -> String {
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(",\"why\":{why:?}")
        };
        format!(
            "{{\"time\":\"2026-03-01T12:00:00.000250Z\",\"port\":\"air\",\"direction\":\"{direction}\",\
             \"verdict\":\"{verdict}\"{why},\"bytes\":\"{bytes}\"}}\n"
        )
    }

    fn shown(text: &str, options: &Options, colour: bool) -> (anyhow::Result<bool>, String) {
        let mut out = Vec::new();
        let end = show(BufReader::new(text.as_bytes()), options, &mut out, colour);
        (end, String::from_utf8(out).unwrap())
    }

    fn options() -> Options {
        Options {
            width: Some(100),
            ..Options::default()
        }
    }

    #[test]
    fn rows_say_when_where_what_and_its_bytes() {
        let text = [
            HELLO.to_owned(),
            line("up", "state", "open /dev/ttyUSB0", ""),
            line("up", "published", "", "543d32312e35"),
            line("up", "damaged", "check", "424d00ff"),
            line("down", "sent", "", &"41".repeat(40)),
            line("down", "refused", "retained", "41"),
            line("up", "skipped", "", ""),
            "{\"missed\":12}\n".to_owned(),
            "{\"news\":1}\n".to_owned(),
            "{\"bye\":\"the gateway stops\"}\n".to_owned(),
        ]
        .concat();
        let (end, table) = shown(&text, &options(), false);
        assert!(end.unwrap());
        insta::assert_snapshot!(table, @r"
        -- mqttyd 0.1.0: air, scale; times are UTC; ↑ device to MQTT, ↓ MQTT to device
        12:00:00.000250 air   · state              open /dev/ttyUSB0
        12:00:00.000250 air   ↑ published          54 3d 32 31 2e 35                    T=21.5
        12:00:00.000250 air   ↑ damaged: check     42 4d 00 ff                          BM..
        12:00:00.000250 air   ↓ sent               41 41 41 41 41 41 41 41 41 41 41 41  AAAAAAAAAAAA… +28
        12:00:00.000250 air   ↓ refused            41                                   A
                                └ retained
        12:00:00.000250 air   ↑ skipped            (empty)
        -- 12 events were missed: they came faster than they were read
        -- the gateway stops
        ");
        let full = shown(
            &text,
            &Options {
                full: true,
                relative: true,
                ..options()
            },
            false,
        )
        .1;
        insta::assert_snapshot!(full, @r"
        -- mqttyd 0.1.0: air, scale; seconds since the first frame; ↑ device to MQTT, ↓ MQTT to device
             0.000000 air   · state              open /dev/ttyUSB0
             0.000000 air   ↑ published          54 3d 32 31 2e 35                    T=21.5
             0.000000 air   ↑ damaged: check     42 4d 00 ff                          BM..
             0.000000 air   ↓ sent               41 41 41 41 41 41 41 41 41 41 41 41  AAAAAAAAAAAA
                                                 41 41 41 41 41 41 41 41 41 41 41 41  AAAAAAAAAAAA
                                                 41 41 41 41 41 41 41 41 41 41 41 41  AAAAAAAAAAAA
                                                 41 41 41 41                          AAAA
             0.000000 air   ↓ refused            41                                   A
                              └ retained
             0.000000 air   ↑ skipped            (empty)
        -- 12 events were missed: they came faster than they were read
        -- the gateway stops
        ");
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        let text = format!("{HELLO}{}", line("up", "damaged", "check", "00"));
        assert!(!shown(&text, &options(), false).1.contains('\x1b'));
        assert!(
            shown(&text, &options(), true)
                .1
                .contains("\x1b[31mdamaged: check")
        );
    }

    #[test]
    fn a_terminal_is_not_commanded_by_what_passes() {
        let text = line("up", "refused", "\u{1b}[2J\u{7}", "1b5b324a07")
            + "{\"bye\":\"\\u001b[2J\\u009b\\u202e\"}\n";
        let table = shown(
            &text.replace("\\u{1b}", "\\u001b").replace("\\u{7}", "\\u0007"),
            &options(),
            false,
        )
        .1;
        assert!(table.contains("\\u{1b}[2J"), "{table}");
        assert!(!table.chars().any(|c| c.is_control() && c != '\n'), "{table:?}");
    }

    #[test]
    fn counts_frames_and_tells_a_goodbye_from_a_loss() {
        let good = line("up", "published", "", "00");
        let text = [line("up", "state", "open", ""), good.repeat(5)].concat();
        let two = Options {
            count: NonZeroU64::new(2),
            ..options()
        };
        let (end, table) = shown(&text, &two, false);
        assert!(end.unwrap());
        assert_eq!(table.matches("published").count(), 2);
        assert!(!shown(&good, &options(), false).0.unwrap());
        let (end, _) = shown("{\"error\":\"no port is called x\"}\n", &options(), false);
        assert!(end.unwrap_err().to_string().contains("no port is called x"));
    }

    #[test]
    fn json_is_what_the_gateway_said() {
        let text = [
            HELLO,
            line("up", "published", "", "00").as_str(),
            "{\"news\": 1}\n{\"bye\":\"x\"}\n",
        ]
        .concat();
        let json = Options {
            json: true,
            ..Options::default()
        };
        assert_eq!(shown(&text, &json, true).1, text);
    }

    #[test]
    fn without_a_gateway_it_says_where_it_looked_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let said = |path: &Path| {
            let error = run(path, &options(), &mut Vec::new(), false).unwrap_err();
            format!("{error:#}").replace(folder.path().to_str().unwrap(), "/run")
        };
        insta::assert_snapshot!(said(&path), @r"
        no gateway runs here: there is no control socket at /run/sock
        start one with `mqttyd run`, or name the socket of the one that runs with `--socket PATH`
        ");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        insta::assert_snapshot!(said(&path), @r"
        no gateway runs here: the control socket at /run/sock was left by one that is gone
        see why it ended (journalctl -u mqttyd), and start it again
        ");
        let denied = advise(Path::new("/no/such"), ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.contains("not for this user\nrun it with sudo"), "{denied}");
        assert_eq!(way_in(Some(0)), "run it with sudo");
        assert!(way_in(Some(4_000_000_000)).contains("usermod -aG 4000000000"));
        assert!(said(Path::new("")).contains("turns it off"));
        assert_eq!(group(0), "root");
        assert_eq!(group(4_000_000_000), "4000000000");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn it_speaks_to_the_real_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let (tap, feed) = Tap::new();
        let socket = Socket::bind(&path).unwrap();
        let server = tokio::spawn(socket.serve(feed.with_ports(["air".into()]), std::future::pending()));
        let watch = |options: Options| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || {
                let mut out = Vec::new();
                let end = run(&path, &options, &mut out, false);
                (end, String::from_utf8(out).unwrap())
            })
        };
        let bad = watch(Options {
            bad: true,
            count: NonZeroU64::new(1),
            ..options()
        });
        while !tap.watched() {
            tokio::task::yield_now().await;
        }
        for verdict in [Verdict::Published, Verdict::Damaged("check"), Verdict::Published] {
            tap.send(Event {
                time: SystemTime::now(),
                port: "air".into(),
                direction: Direction::Up,
                bytes: Bytes::from_static(b"T=21.5"),
                verdict,
            });
        }
        let (end, table) = bad.await.unwrap();
        end.unwrap();
        assert!(
            table.contains("T=21.5") && !table.contains("published"),
            "{table}"
        );
        let (end, _) = watch(Options {
            ports: vec!["aire".into()],
            ..options()
        })
        .await
        .unwrap();
        assert!(end.unwrap_err().to_string().contains("there are air"));
        let lost = watch(options());
        while !tap.watched() {
            tokio::task::yield_now().await;
        }
        server.abort();
        let (end, _) = lost.await.unwrap();
        let said = end.unwrap_err().to_string();
        assert!(said.contains("did not say why"), "{said}");
    }
}
