//! Another configuration while the gateway runs: what has not changed in it is not touched.

use super::{Error, FINISH, Gateway, OVERTIME, Running, announce};
use crate::broker::{self, Bound};
use crate::causes::Causes;
use crate::config::{Config as Whole, Faults};
use crate::counted::counted;
use crate::journal;
use crate::port::{self, Order};
use std::fmt;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

/// Links to the broker beside those of the ports: the gateway's, the probe's, a command's that looks on.
const LINKS: usize = 4;

/// What another configuration has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Ports that are new.
    pub added: Vec<Arc<str>>,
    /// Ports that are no more.
    pub removed: Vec<Arc<str>>,
    /// Ports that were closed and opened again, for they are described otherwise now.
    pub changed: Vec<Arc<str>>,
    /// How many ports went on as they were.
    pub kept: usize,
    /// Listeners that are new or other than before.
    pub opened: Vec<Bound>,
    /// Listeners that are no more, or as they were before.
    pub closed: Vec<Bound>,
    /// Keys that are other, and hold from the next start on only.
    pub later: Vec<&'static str>,
}

/// The names of the ports, in their order.
pub(super) fn names(config: &Whole) -> impl Iterator<Item = Arc<str>> {
    config.port.iter().map(|port| port.name.as_str().into())
}

/// What the broker is to be, with room for our links.
pub(super) fn broker(config: &Whole) -> broker::Config {
    broker::Config {
        // Each port has a link of its own, and so have the gateway and those who ask it for one.
        links: config.port.len() + LINKS,
        ..config.broker.clone()
    }
}

/// What becomes of the ports.
struct Plan {
    added: Vec<port::Config>,
    /// By the place of the old one.
    changed: Vec<(usize, port::Config)>,
    removed: Vec<usize>,
}

impl Plan {
    fn new(running: &[Running], next: &[port::Config]) -> Plan {
        let at = |name: &str| running.iter().position(|running| *running.name == *name);
        let named = |running: &Running| next.iter().any(|port| *running.name == *port.name.as_str());
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for port in next {
            match at(port.name.as_str()) {
                None => added.push(port.clone()),
                Some(old) if running[old].config != *port => changed.push((old, port.clone())),
                Some(_) => {}
            }
        }
        let gone = |(at, running)| (!named(running)).then_some(at);
        Plan {
            added,
            changed,
            removed: running.iter().enumerate().filter_map(gone).collect(),
        }
    }
}

impl Gateway {
    /// Reads the configuration again and becomes what it says. Gives what is to be said about it to who has asked:
    /// what has changed, or why all is as it was. An error is the end of the gateway.
    pub(super) async fn reload(
        &mut self,
        read: impl FnOnce() -> Result<Whole, Faults> + Send + 'static,
    ) -> Result<Result<String, String>, Error> {
        // Whoever comes behind the signal is to be told by the new rules.
        let hold = self.broker.hold();
        let next = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(next)) => next,
            Ok(Err(faults)) => {
                error!(
                    event = "config-refused",
                    "the configuration stays as it was, for the file is wrong: {}",
                    faults.brief()
                );
                return Ok(Err(faults.to_string()));
            }
            Err(panic) => return Err(Error::Task(panic.to_string())),
        };
        match self.become_of(next, hold).await? {
            Ok(changes) => {
                let said = changes.to_string();
                info!(
                    event = "config-reloaded",
                    notice = true,
                    "configuration read again: {said}"
                );
                if !changes.later.is_empty() {
                    warn!(
                        event = "config-later",
                        "these hold from the next start on only: {}",
                        changes.later.join(", ")
                    );
                }
                Ok(Ok(said))
            }
            Err(error) => {
                let why = Causes(&error).to_string();
                error!(
                    event = "config-refused",
                    "the configuration stays as it was: {why}"
                );
                Ok(Err(why))
            }
        }
    }

    /// Becomes what another configuration says; or all is as it was, and why.
    async fn become_of(
        &mut self,
        mut next: Whole,
        hold: broker::Hold,
    ) -> Result<Result<Changes, Error>, Error> {
        let mut changes = Changes::default();
        let old = &self.config;
        changes.later = old.broker.fixed(&next.broker);
        if next.gateway != old.gateway {
            changes.later.push("gateway");
            next.gateway = old.gateway.clone();
        }
        if next.log.target != old.log.target {
            changes.later.push("log.target");
        }
        for port in &next.port {
            if let Err(wrong) = port.reading() {
                let name = port.name.as_str().to_owned();
                return Ok(Err(port::Error::Reading(name, wrong.to_string()).into()));
            }
        }
        // The old one is dropped when the new one is there: who waits for a change misses none.
        let serials: Vec<_> = next.port.iter().map(port::Config::serial).collect();
        let watching = match self.watcher.watch(&serials) {
            Ok(watching) => watching,
            Err(error) => return Ok(Err(Error::Watch(error))),
        };
        match self.broker.reload(&broker(&next)).await {
            Ok(reloaded) => {
                changes.opened = reloaded.opened;
                changes.closed = reloaded.closed;
            }
            Err(error) => return Ok(Err(error.into())),
        }
        drop(hold);
        let watching = self
            .helpers
            .spawn(async move { Err(Error::Watch(watching.await)) });
        std::mem::replace(&mut self.watching, watching).abort();
        for bound in &changes.closed {
            info!(event = "not-listening", address = %bound.address, "no longer listening: {bound}");
        }
        for bound in &changes.opened {
            info!(event = "listening", address = %bound.address, "listening: {bound}");
        }
        journal::set_levels(&next.log.level);
        let plan = Plan::new(&self.running, &next.port);
        self.config = next;
        self.change_ports(plan, &mut changes).await?;
        self.feed.set_ports(names(&self.config));
        Ok(Ok(changes))
    }

    /// Ends the ports that go or change, then starts those that come or have changed.
    async fn change_ports(&mut self, plan: Plan, changes: &mut Changes) -> Result<(), Error> {
        let silent = self.running.is_empty();
        let leaving = || plan.removed.iter().chain(plan.changed.iter().map(|(at, _)| at));
        let deadline = Instant::now() + FINISH;
        let mut awaited = Vec::new();
        for at in leaving() {
            let Running { name, orders, .. } = &self.running[*at];
            let _ = timeout_at(deadline, orders.send(Order::Stop(deadline.into_std()))).await;
            awaited.push(name.clone());
        }
        while !awaited.is_empty() {
            match timeout_at(deadline + OVERTIME, self.ports.join_next()).await {
                Ok(Some(Ok(name))) => match awaited.iter().position(|other| *other == name) {
                    Some(at) => drop(awaited.swap_remove(at)),
                    None => return Err(Error::Task(format!("port {name} ended by itself"))),
                },
                Ok(Some(Err(panic))) => return Err(Error::Task(panic.to_string())),
                Ok(None) => break,
                Err(_) => {
                    warn!(
                        event = "port-stuck",
                        "a port did not stop in time: {}",
                        awaited.join(", ")
                    );
                    self.end_ports(&awaited).await;
                    break;
                }
            }
        }
        self.replace_ports(plan, changes).await?;
        if silent != self.running.is_empty() {
            let state = if silent { "online" } else { "offline" };
            announce(&mut self.publisher, &self.state, state).await;
        }
        Ok(())
    }

    /// Ends the tasks of ports that don't.
    async fn end_ports(&mut self, names: &[Arc<str>]) {
        let meant = self
            .running
            .iter()
            .filter(|running| names.contains(&running.name));
        let mut left = meant.map(|running| running.task.abort()).count();
        while left > 0 && self.ports.join_next().await.is_some() {
            left -= 1;
        }
    }

    async fn replace_ports(&mut self, plan: Plan, changes: &mut Changes) -> Result<(), Error> {
        let mut stay: Vec<Option<Running>> =
            std::mem::take(&mut self.running).into_iter().map(Some).collect();
        for at in plan.removed {
            changes.removed.extend(stay[at].take().map(|gone| gone.name));
        }
        for (at, port) in plan.changed {
            let started = self.start_port(port).await?;
            changes.changed.push(started.name.clone());
            stay[at] = Some(started);
        }
        let mut running: Vec<Running> = stay.into_iter().flatten().collect();
        changes.kept = running.len() - changes.changed.len();
        for port in plan.added {
            let started = self.start_port(port).await?;
            changes.added.push(started.name.clone());
            running.push(started);
        }
        self.running = running;
        Ok(())
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (what, names) in [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed", &self.removed),
        ] {
            match &names[..] {
                [] => {}
                [name] => parts.push(format!("port {name} {what}")),
                names => parts.push(format!("ports {} {what}", names.join(", "))),
            }
        }
        for (what, list) in [("listening", &self.opened), ("no longer listening", &self.closed)] {
            parts.extend(list.iter().map(|bound| format!("{what}: {bound}")));
        }
        if parts.is_empty() {
            parts.push("no port and no listener has changed".to_owned());
        }
        if self.kept > 0 {
            parts.push(format!("{} untouched", counted(self.kept, "port")));
        }
        if !self.later.is_empty() {
            parts.push(format!("from the next start on only: {}", self.later.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}
