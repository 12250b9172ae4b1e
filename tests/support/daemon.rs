//! The real binary as a gateway, with a configuration in a temporary folder and its broker on free ports.

use super::notify::Notify;
use super::{Client, Lines, PATIENCE, Program, Route, mqttyd};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.
    V5,
}

/// Which broker is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Our own.
    Native,
    /// The crate rumqttd, which has a listener for each version of the protocol.
    Rumqttd,
}

impl Engine {
    /// The one that this run of the tests is for: our own, or what `MQTTYD_TEST_ENGINE` says.
    pub(crate) fn tested() -> Engine {
        match std::env::var("MQTTYD_TEST_ENGINE").as_deref() {
            Err(_) | Ok("native") => Engine::Native,
            Ok("rumqttd") => Engine::Rumqttd,
            Ok(other) => panic!("MQTTYD_TEST_ENGINE is {other:?}, and neither native nor rumqttd"),
        }
    }
}

impl Version {
    /// What a listener that speaks it says: our own broker speaks all at one address.
    fn word(self) -> &'static str {
        match self {
            Version::V3 => "3.1.1",
            Version::V5 => "5)",
        }
    }

    /// As CONNECT says it.
    pub(crate) fn level(self) -> u8 {
        match self {
            Version::V3 => 4,
            Version::V5 => 5,
        }
    }
}

/// What a daemon is started with.
pub(crate) struct Setup {
    dir: tempfile::TempDir,
    ports: String,
    engine: Engine,
    broker: String,
    rumqttd: String,
    listeners: Option<String>,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A daemon with these `[[port]]` tables, and listeners on free ports for everybody on this machine.
    pub(crate) fn new(ports: &str) -> Setup {
        Setup {
            dir: tempfile::tempdir().expect("a temporary folder"),
            ports: ports.into(),
            engine: Engine::tested(),
            broker: String::new(),
            rumqttd: String::new(),
            listeners: None,
            environment: Vec::new(),
        }
    }

    /// With this broker inside, whichever is tested.
    pub(crate) fn engine(mut self, engine: Engine) -> Setup {
        self.engine = engine;
        self
    }

    /// Settings that only our own broker has.
    pub(crate) fn broker(mut self, text: &str) -> Setup {
        self.broker = text.into();
        self
    }

    /// Settings that only rumqttd has.
    pub(crate) fn rumqttd(mut self, text: &str) -> Setup {
        self.rumqttd = text.into();
        self
    }

    /// A device profile beside the configuration.
    pub(crate) fn profile(self, name: &str, text: &str) -> Setup {
        let folder = self.dir.path().join("devices");
        fs::create_dir_all(&folder).expect("a folder for profiles");
        fs::write(folder.join(format!("{name}.toml")), text).expect("a profile");
        self
    }

    /// Other listeners than those on free ports.
    pub(crate) fn listeners(mut self, text: &str) -> Setup {
        self.listeners = Some(text.into());
        self
    }

    /// A variable of the daemon's environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Setup {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts the daemon and waits until the broker takes connections.
    #[track_caller]
    pub(crate) fn start(self) -> Daemon {
        self.spawn().ready()
    }

    /// Starts the daemon, and waits for nothing.
    pub(crate) fn spawn(self) -> Daemon {
        let control = self.dir.path().join("control.sock");
        let config = self.dir.path().join("mqttyd.toml");
        let (engine, free) = match self.engine {
            Engine::Native => (self.broker, vec!["3.1.1"]),
            Engine::Rumqttd => (
                format!("engine = 'rumqttd'\n[broker.rumqttd]\n{}", self.rumqttd),
                vec!["3.1.1", "5"],
            ),
        };
        let listeners = self.listeners.unwrap_or_else(|| {
            free.iter()
                .map(|version| {
                    format!("[[broker.listener]]\naddress = '127.0.0.1:0'\nversion = '{version}'\n")
                })
                .collect()
        });
        let text = format!(
            "[gateway]\ncontrol = {control:?}\ncounters = '100ms'\n\
             [broker]\n{engine}\n{listeners}\n{}",
            self.ports
        );
        fs::write(&config, text).expect("a configuration file");
        Daemon::run(config, control, &self.environment, self.dir)
    }
}

/// A running gateway.
pub(crate) struct Daemon {
    /// The process.
    pub(crate) program: Program,
    /// What it tells the service manager.
    pub(crate) notify: Notify,
    /// Its configuration file.
    pub(crate) config: PathBuf,
    /// Where it listens for `mqttyd watch`.
    pub(crate) control: PathBuf,
    dir: tempfile::TempDir,
}

impl Daemon {
    /// A gateway with these `[[port]]` tables whose broker takes connections.
    #[track_caller]
    pub(crate) fn start(ports: &str) -> Daemon {
        Setup::new(ports).start()
    }

    fn run(
        config: PathBuf,
        control: PathBuf,
        environment: &[(String, String)],
        dir: tempfile::TempDir,
    ) -> Daemon {
        let socket = dir.path().join("notify.sock");
        let _ = fs::remove_file(&socket);
        let notify = Notify::bind(&socket);
        let mut command = mqttyd();
        command.arg("run").arg("--config").arg(&config);
        command
            .env("NOTIFY_SOCKET", &socket)
            .envs(environment.iter().cloned());
        Daemon {
            program: Program::start(&mut command),
            notify,
            config,
            control,
            dir,
        }
    }

    #[track_caller]
    fn ready(mut self) -> Daemon {
        let deadline = Instant::now() + PATIENCE;
        while self
            .notify
            .wait_within(Duration::from_millis(200), "READY=1")
            .is_err()
        {
            assert!(self.program.is_running(), "the gateway ended before it was ready");
            assert!(Instant::now() < deadline, "the gateway is not ready");
        }
        self
    }

    /// Another one with the same configuration and folder, after this one has ended.
    #[track_caller]
    pub(crate) fn start_again(self) -> Daemon {
        Daemon::run(self.config, self.control, &[], self.dir).ready()
    }

    /// How many bytes of memory it holds as data.
    pub(crate) fn data(&self) -> usize {
        self.size("RssAnon:")
    }

    /// The same with what of the program is in its memory.
    pub(crate) fn resident(&self) -> usize {
        self.size("VmRSS:")
    }

    /// The most of that since its start.
    pub(crate) fn most_resident(&self) -> usize {
        self.size("VmHWM:")
    }

    fn size(&self, key: &str) -> usize {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.program.id())).expect("a process that runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .expect("its size");
        line.trim()
            .trim_end_matches(" kB")
            .parse::<usize>()
            .expect("kilobytes")
            * 1024
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Lines {
        &self.program.err
    }

    /// Where the broker listens for this version.
    #[track_caller]
    pub(crate) fn address(&self, version: Version) -> SocketAddr {
        self.listening(&[version.word()])
    }

    /// Where it listens for this version and way.
    #[track_caller]
    pub(crate) fn address_over(&self, route: Route, version: Version) -> SocketAddr {
        self.listening(&[&format!(" {}", route.scheme()), version.word()])
    }

    #[track_caller]
    fn listening(&self, words: &[&str]) -> SocketAddr {
        let line = self.log().wait(&[&["listening"], words].concat());
        let start = line
            .find("127.0.0.1:")
            .unwrap_or_else(|| panic!("an address in {line:?}"));
        let address = line[start..]
            .split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')
            .next();
        address
            .and_then(|address| address.trim_end_matches(['.', ':']).parse().ok())
            .unwrap_or_else(|| panic!("an address in {line:?}"))
    }

    /// A client of the test's own, MQTT 3.1.1.
    #[track_caller]
    pub(crate) fn client(&self, name: &str) -> Client {
        Client::connect(self.address(Version::V3), name)
    }

    /// Waits until each of these ports is in this state.
    #[track_caller]
    pub(crate) fn wait_ports(&self, names: &[&str], state: &str) {
        let mut client = self.client(&format!("waiter-{}", names.join("-")));
        for name in names {
            client.subscribe(&format!("mqttyd/port/{name}/state"), 0);
            let mut heard = Vec::new();
            loop {
                let message = client.next_on(&format!("mqttyd/port/{name}/state"));
                if message.text() == state {
                    break;
                }
                heard.push(message.text());
                assert!(heard.len() < 1000, "port {name} is not {state}, but {heard:?}");
            }
        }
    }

    /// How many file descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.program.id());
        fs::read_dir(folder).expect("a process that runs").count()
    }

    /// Asks it to stop, and waits until it has. Gives how long that took.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.program.signal(Signal::TERM);
        let status = self.program.wait();
        (status, start.elapsed())
    }
}
