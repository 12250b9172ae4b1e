//! Starts the broker and the ports, says that the gateway is there, watches over both, and ends them in order.

mod reload;

pub use reload::Changes;

use crate::broker::{self, Broker, Message, Publisher, Qos};
use crate::clock::Clock;
use crate::config::{Config as Whole, Faults};
use crate::control::{self, Asked, Feed, Tap};
use crate::counted::counted;
use crate::memory;
use crate::notify;
use crate::port::{self, Order, Parts, Port};
use crate::serial::Watcher;
use crate::span::Span;
use crate::topic::Topic;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

/// How long the ports may take to finish what they have in hand: the whole gateway has to be gone within 2 s.
const FINISH: Duration = Duration::from_millis(900);
/// A port that has not ended so long after that is ended.
const OVERTIME: Duration = Duration::from_millis(100);
/// So long after a start or a reload the code that it took is let go.
const SETTLE: Duration = Duration::from_millis(500);
/// Where the service has its control socket (the unit's RuntimeDirectory).
const SOCKET: &str = "/run/mqttyd/control.sock";
/// How long the last messages may take to reach the subscribers' sockets.
const LINGER: Duration = Duration::from_millis(100);

/// The gateway itself: `[gateway]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The root of the topics on which the gateway speaks of itself: `TOPIC/state` (`online`, `offline`),
    /// `TOPIC/port/NAME/state` and `TOPIC/port/NAME/counters`. "mqttyd" by default; change it where several
    /// gateways are joined.
    #[serde(default = "root")]
    pub topic: Topic,
    /// The socket on which `mqttyd watch` finds the running gateway. By default `/run/mqttyd/control.sock`, or
    /// `mqttyd.sock` in $XDG_RUNTIME_DIR for somebody who runs mqttyd without root; an empty text turns it off.
    #[serde(default)]
    pub control: Option<PathBuf>,
    /// A port's counters are published at most so often, and only when they have changed. "60s" by default.
    #[serde(default = "minute")]
    pub counters: Span,
}

fn root() -> Topic {
    Topic::parse("mqttyd").expect("a plain word is a topic")
}

fn minute() -> Span {
    Span::millis(60_000)
}

impl Config {
    /// Where the control socket is; `None` where it is turned off.
    pub fn socket(&self) -> Option<PathBuf> {
        match &self.control {
            Some(path) if path.as_os_str().is_empty() => None,
            Some(path) => Some(path.clone()),
            None => Some(user_socket().unwrap_or_else(|| SOCKET.into())),
        }
    }

    /// Where a running gateway may have its control socket: the likeliest first.
    pub fn sockets(&self) -> Vec<PathBuf> {
        match &self.control {
            None => user_socket().into_iter().chain([SOCKET.into()]).collect(),
            Some(_) => self.socket().into_iter().collect(),
        }
    }
}

/// The socket of a gateway that a person runs for themselves.
fn user_socket() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty())?;
    Some(PathBuf::from(folder).join("mqttyd.sock"))
}

impl Default for Config {
    fn default() -> Self {
        Config {
            topic: root(),
            control: None,
            counters: minute(),
        }
    }
}

/// Why the gateway did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker did not start.
    #[error("the broker did not start")]
    Start(#[from] broker::StartError),
    /// A link to the broker was refused.
    #[error("the broker refuses a link to {0}")]
    Link(String, #[source] broker::LinkError),
    /// A port's options don't fit together.
    #[error(transparent)]
    Port(#[from] port::Error),
    /// Watching for device nodes failed.
    #[error("can't watch for device nodes")]
    Watch(#[source] std::io::Error),
    /// A state topic can't be made.
    #[error("the state topics can't be made")]
    Topic(#[from] crate::topic::Error),
    /// The broker is no more.
    #[error("the broker has died; what it held is lost")]
    Died(#[source] broker::Died),
    /// A task of our own ended by a panic.
    #[error("a task has failed: {0}")]
    Task(String),
}

/// A gateway that runs.
pub struct Gateway {
    config: Whole,
    broker: Broker,
    publisher: Publisher,
    state: Topic,
    ports: JoinSet<Arc<str>>,
    running: Vec<Running>,
    tap: Tap,
    feed: Feed,
    watcher: Watcher,
    helpers: JoinSet<Result<(), Error>>,
    watching: AbortHandle,
    stop_helpers: tokio::sync::watch::Sender<bool>,
}

/// A port's task.
struct Running {
    name: Arc<str>,
    config: port::Config,
    orders: mpsc::Sender<Order>,
    task: AbortHandle,
}

/// Runs a gateway until `stop` comes or it can't go on. Each time that `hangup` comes, or somebody asks on the control
/// socket, the configuration is `read` again and what has changed in it is changed; `read` may block. `file` is what it
/// is read of, for who has to edit it.
pub async fn run(
    config: Whole,
    file: &Path,
    stop: impl Future<Output = ()>,
    mut hangup: impl AsyncFnMut(),
    read: impl Fn() -> Result<Whole, Faults> + Clone + Send + 'static,
) -> Result<(), Error> {
    let (ask, mut asks) = mpsc::channel(1);
    let mut gateway = Gateway::start(config, Some(ask)).await?;
    notify::ready();
    gateway.tell_status();
    info!(
        event = "ready",
        notice = true,
        ports = gateway.running.len(),
        "ready"
    );
    if gateway.running.is_empty() {
        info!(
            event = "no-port", config = %file.display(),
            "no port is configured yet: `mqttyd ports` lists those of this machine; describe one in {}, then `mqttyd reload`",
            file.display()
        );
    }
    let mut stop = std::pin::pin!(stop);
    let mut settle = std::pin::pin!(sleep(SETTLE));
    let mut settled = false;
    let result = loop {
        // Each arm is cancel-safe: `supervise` ends with the first thing that it takes from a set.
        let asked = tokio::select! {
            () = &mut stop => break Ok(()),
            error = gateway.supervise() => break Err(error),
            Some(asked) = asks.recv() => Some(asked),
            () = hangup() => None,
            () = &mut settle, if !settled => {
                memory::forget_code();
                settled = true;
                continue;
            }
        };
        notify::reloading();
        let outcome = gateway.reload(read.clone()).await;
        notify::ready();
        gateway.tell_status();
        settle.as_mut().reset(Instant::now() + SETTLE);
        settled = false;
        match outcome {
            Ok(said) => {
                if let Some(asked) = asked {
                    asked.answer(said);
                }
            }
            Err(error) => break Err(error),
        }
    };
    notify::stopping();
    info!(event = "stopping", notice = true, "stopping");
    gateway.stop().await;
    result
}

impl Gateway {
    /// Starts the broker, then the ports. The broker accepts connections when this returns; the ports may still
    /// be waiting for their devices.
    ///
    /// Those who ask on the control socket for the configuration to be read again come out of `reload`.
    pub async fn start(config: Whole, reload: Option<mpsc::Sender<Asked>>) -> Result<Gateway, Error> {
        let own = &config.gateway;
        let broker = Broker::start(&reload::broker(&config)).await?;
        for listening in broker.addresses() {
            info!(event = "listening", address = %listening.address, "listening: {listening}");
        }
        let (mut publisher, _) = broker
            .link("gateway", &[], 1)
            .await
            .map_err(|error| Error::Link("the gateway".into(), error))?;
        let state = Topic::parse(&format!("{}/state", own.topic))?;
        // A broker without ports is a broker and nothing else: it does not speak among its clients.
        if !config.port.is_empty() {
            announce(&mut publisher, &state, "online").await;
        }

        let (stop_helpers, stopped) = tokio::sync::watch::channel(false);
        let (tap, feed) = Tap::new();
        let feed = feed.with_ports(reload::names(&config)).with_reload(reload);
        let mut helpers = JoinSet::new();
        if let Some(path) = own.socket() {
            let mut stopped = stopped.clone();
            let feed = feed.clone();
            helpers.spawn(async move {
                let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
                if let Err(error) = control::serve(&path, feed, stop).await {
                    warn!(
                        event = "watch-socket", path = %path.display(), error = %error,
                        "`mqttyd watch` will not find this gateway; `control` in [gateway] may name another path"
                    );
                }
                Ok(())
            });
        }
        helpers.spawn(tell_of_the_clock());
        let serials: Vec<_> = config.port.iter().map(port::Config::serial).collect();
        let (watcher, watching) = Watcher::start(&serials).map_err(Error::Watch)?;
        let watching = helpers.spawn(async move { Err(Error::Watch(watching.await)) });

        let mut gateway = Gateway {
            config,
            broker,
            publisher,
            state,
            ports: JoinSet::new(),
            running: Vec::new(),
            tap,
            feed,
            watcher,
            helpers,
            watching,
            stop_helpers,
        };
        for port in gateway.config.port.clone() {
            let running = gateway.start_port(port).await?;
            gateway.running.push(running);
        }
        Ok(gateway)
    }

    /// Starts the task of one port.
    async fn start_port(&mut self, config: port::Config) -> Result<Running, Error> {
        let own = &self.config.gateway;
        let name: Arc<str> = config.name.as_str().into();
        let filters = port::subscriptions(&config);
        let (publisher, subscriber) = self
            .broker
            .link(&format!("port-{name}"), &filters, port::depth(&config))
            .await
            .map_err(|error| Error::Link(name.to_string(), error))?;
        let (orders, inbox) = mpsc::channel(2);
        let parts = Parts {
            publisher,
            subscriber: (!filters.is_empty()).then_some(subscriber),
            tap: self.tap.clone(),
            changes: self.watcher.changes(),
            orders: inbox,
            state: Topic::parse(&format!("{}/port/{name}/state", own.topic))?,
            base: Topic::parse(&format!("{}/port/{name}", own.topic))?,
            counters: Topic::parse(&format!("{}/port/{name}/counters", own.topic))?,
            counters_every: own.counters.into(),
        };
        let task = Port::new(&config, parts)?;
        let done = name.clone();
        let task = self.ports.spawn(async move {
            task.run().await;
            done
        });
        Ok(Running {
            name,
            config,
            orders,
            task,
        })
    }

    /// Says in a line for `systemctl status` what runs.
    fn tell_status(&self) {
        let (ports, listeners) = (self.running.len(), self.broker.addresses().len());
        let (ports, listeners) = (counted(ports, "port"), counted(listeners, "listener"));
        notify::status(&format!("{ports}, {listeners}"));
    }

    /// The broker, for those who want a link of their own.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Watches over broker and ports; ends only when the gateway can't go on. Feeds systemd's watchdog while a
    /// message crosses the broker and every port answers.
    pub async fn supervise(&mut self) -> Error {
        let mut beat = notify::watchdog_interval().map(tokio::time::interval);
        loop {
            tokio::select! {
                died = self.broker.died() => return Error::Died(died),
                Some(ended) = self.ports.join_next() => match ended {
                    Ok(name) => return Error::Task(format!("port {name} ended by itself")),
                    Err(error) => return Error::Task(error.to_string()),
                },
                Some(ended) = self.helpers.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error,
                    // The watch for device nodes has given way to another.
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => return Error::Task(error.to_string()),
                },
                period = async {
                    match &mut beat {
                        Some(beat) => { beat.tick().await; beat.period() }
                        None => std::future::pending().await,
                    }
                } => match self.alive(period).await {
                    Ok(()) => notify::watchdog(),
                    Err(who) => warn!(event = "watchdog-hungry", "not feeding the watchdog: {who} does not answer"),
                },
            }
        }
    }

    /// Whether a message crosses the broker and every port answers, within `bound`. Else: who does not.
    async fn alive(&self, bound: Duration) -> Result<(), String> {
        let end = Instant::now() + bound;
        match timeout_at(end, self.broker.probe()).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err("the broker".into()),
        }
        for Running { name, orders, .. } in &self.running {
            let (ask, answer) = oneshot::channel();
            let asked = async {
                orders.send(Order::Answer(ask)).await.ok()?;
                answer.await.ok()
            };
            match timeout_at(end, asked).await {
                Ok(Some(())) => {}
                _ => return Err(format!("port {name}")),
            }
        }
        Ok(())
    }

    /// Stops the ports (each finishes the frame in hand), says `offline`, and closes the broker.
    pub async fn stop(mut self) {
        let deadline = Instant::now() + FINISH;
        for Running { orders, .. } in &self.running {
            // A port whose inbox is full is answering the watchdog: it will find this right after.
            let _ = timeout_at(deadline, orders.send(Order::Stop(deadline.into_std()))).await;
        }
        let all = async { while self.ports.join_next().await.is_some() {} };
        if timeout_at(deadline + OVERTIME, all).await.is_err() {
            warn!(event = "port-stuck", "a port did not stop in time");
            self.ports.shutdown().await;
        }
        if !self.running.is_empty() {
            announce(&mut self.publisher, &self.state, "offline").await;
        }
        // The router hands messages to the connections in their order: when the probe is back, so is all before it.
        let _ = timeout(LINGER, self.broker.probe()).await;
        // The connections have until then to write, and the watchers to read.
        self.stop_helpers.send_replace(true);
        self.watching.abort();
        let helpers = async { while self.helpers.join_next().await.is_some() {} };
        let _ = tokio::join!(timeout(2 * LINGER, helpers), tokio::time::sleep(LINGER));
        self.helpers.shutdown().await;
        self.broker.stop().await;
    }
}

/// Says when somebody sets the clock: the times of values before and after that don't go together.
async fn tell_of_the_clock() -> Result<(), Error> {
    let told = async {
        let mut clock = Clock::watch()?;
        loop {
            let step = clock.step().await?;
            warn!(event = "clock-stepped", step = %step, "the clock was set: {step}");
        }
    };
    let ended: std::io::Result<()> = told.await;
    if let Err(error) = ended {
        debug!(%error, "nobody tells when the clock is set");
    }
    Ok(())
}

async fn announce(publisher: &mut Publisher, topic: &Topic, state: &'static str) {
    let payload = Bytes::from_static(state.as_bytes());
    let message = Message {
        topic: topic.clone(),
        payload,
        qos: Qos::AtLeastOnce,
        retain: true,
        beside: None,
    };
    match timeout(LINGER, publisher.publish(message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!("the gateway's state can't be published: {error}"),
        Err(_) => warn!("the gateway's state can't be published: the broker is behind"),
    }
}
