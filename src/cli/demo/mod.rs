//! `mqttyd demo`: simulated devices on pseudo-terminals, the real gateway on them, and a subscriber that
//! shows what passes.

mod bench;
mod devices;
mod page;

use super::print;
use crate::broker::{self, Message, Publisher, Qos, Subscriber};
use crate::config::Config;
use crate::gateway::Gateway;
use crate::journal;
use crate::topic::{Filter, Topic};
use anyhow::{Context, anyhow};
use bench::Bench;
use bytes::Bytes;
use page::Page;
use std::fs;
use std::future::pending;
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// Where an MQTT client looks first.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1883);

/// The configuration, with places for the folder and the address.
const CONFIG: &str = include_str!("demo.toml");

/// Messages that wait while the terminal is slow; then the oldest go.
const DEPTH: usize = 1000;

/// The lamp is told something so often, so that it is seen to obey.
const ORDERS: Duration = Duration::from_secs(5);

const EXAMPLE: &str = "\
Examples:
  mqttyd demo                           until Ctrl-C
  mqttyd demo --for 10s                 for ten seconds
  mqttyd demo --address 0.0.0.0:1883    other machines may connect
  mqttyd demo --print-config > my.toml  the configuration that it runs, to begin with";

/// See it work without any hardware: simulated devices, the gateway and its broker
#[derive(clap::Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLE)]
pub struct Options {
    /// Where the broker listens [default: 127.0.0.1:1883, or a free port where that is taken]
    #[arg(long, short, value_name = "IP:PORT", value_parser = address)]
    pub address: Option<SocketAddr>,

    /// End after this time, such as 10s or 2min
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// End after so many messages
    #[arg(long, short = 'n', value_name = "N")]
    pub count: Option<NonZeroU64>,

    /// Print the configuration that the demonstration runs, and end
    #[arg(long)]
    pub print_config: bool,
}

/// An address as a listener's is written: `localhost:1883`, too.
fn address(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    match text.parse()? {
        broker::Address::Tcp(address) => Ok(address),
        // Not an address for a demonstration: the message is that of an address that is none.
        broker::Address::Unix(_) => text.parse(),
    }
}

/// Runs the demonstration until its time is over or a signal comes.
///
/// # Errors
/// When the address is taken, the gateway does not start or fails, or the system has no pseudo-terminals.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.print_config {
        let folder = std::env::temp_dir().join("mqttyd-demo");
        return print(configuration(&folder, options.address.unwrap_or(ADDRESS)));
    }
    let runtime = Runtime::new().context("failed to start the runtime")?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for Ctrl-C")?;
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let stop = async {
            tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        };
        let mut out = io::stdout().lock();
        let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        play(options, &mut out, colour, stop).await
    })
}

/// The configuration for devices whose links are in `folder`.
fn configuration(folder: &Path, address: SocketAddr) -> String {
    // What a folder's name may hold must not end the string that it stands in.
    let folder: String = folder
        .to_string_lossy()
        .chars()
        .flat_map(char::escape_default)
        .collect();
    CONFIG
        .replace("{folder}", &folder)
        .replace("{address}", &address.to_string())
}

/// Devices, gateway and subscriber, from their start to their end.
async fn play(
    options: &Options,
    out: &mut impl Write,
    colour: bool,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut bench = Bench::new().context("failed to make the folder of the demonstration")?;
    let connected = bench
        .connect("ttyROOM", devices::Room::new())
        .and_then(|()| bench.connect("ttyAIR", devices::Air::new()))
        .and_then(|()| bench.connect("ttyLAMP", devices::Lamp::new()));
    connected.context("failed to make the pseudo-terminals of the simulated devices")?;

    let address = options.address.unwrap_or_else(free_address);
    let file = bench.folder().join("mqttyd.toml");
    let text = configuration(bench.folder(), address);
    fs::write(&file, &text).context("failed to write the demonstration's configuration")?;
    let config = Config::parse(&text, &file.display().to_string())?.config;
    match journal::start(&config.log, None, Some(Box::new(broker::report()))) {
        // Who called has started it: then it goes where they want it.
        Ok(()) | Err(journal::Error::Twice) => {}
        Err(error) => return Err(error.into()),
    }

    let mut gateway = Gateway::start(config, None)
        .await
        .with_context(|| match options.address {
            Some(address) => format!("failed to start the gateway with its broker on {address}"),
            None => "failed to start the gateway".to_owned(),
        })?;
    let bound = gateway
        .broker()
        .addresses()
        .first()
        .and_then(|bound| bound.address.tcp())
        .unwrap_or(address);
    let everything = Filter::parse("#").expect("a filter by MQTT's rules");
    let linked = gateway
        .broker()
        .link("demo", &[(everything, Qos::AtMostOnce)], DEPTH)
        .await;
    let (publisher, subscriber) = linked.context("failed to subscribe to the broker")?;

    let mut page = Page::new(out, colour);
    let shown = async {
        page.head(
            bound,
            bench.folder(),
            options.address.is_none() && bound.port() != ADDRESS.port(),
        )?;
        // Whichever comes first ends the demonstration; the others are dropped where they wait.
        tokio::select! {
            shown = show(&mut page, options, publisher, subscriber) => shown,
            error = bench.failed() => Err(error).context("a simulated device has failed"),
            error = gateway.supervise() => Err(anyhow::Error::new(error)),
            () = stop => Ok(()),
        }
    }
    .await;
    gateway.stop().await;
    shown?;
    page.foot()?;
    Ok(())
}

/// 1883, if nobody is there: another broker, or another demonstration.
fn free_address() -> SocketAddr {
    match TcpListener::bind(ADDRESS) {
        Ok(_) => ADDRESS,
        Err(_) => SocketAddr::new(ADDRESS.ip(), 0),
    }
}

/// Shows what a subscriber sees until the count or the time is reached, and gives the lamp its orders.
async fn show(
    page: &mut Page<'_, impl Write>,
    options: &Options,
    mut publisher: Publisher,
    mut subscriber: Subscriber,
) -> anyhow::Result<()> {
    let mut end = pin!(async {
        match options.duration {
            Some(time) => sleep(time).await,
            None => pending().await,
        }
    });
    let mut orders = ["LED on", "?", "LED off", "?"].into_iter().cycle();
    let mut clock = interval_at(Instant::now() + ORDERS / 3, ORDERS);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = options.count.map(NonZeroU64::get);
    // Cancel-safe: next() and tick() lose nothing.
    while left != Some(0) {
        tokio::select! {
            message = subscriber.next() => {
                let message = message.map_err(|died| anyhow!("the broker has died: {died}"))?;
                page.message(&message)?;
                left = left.map(|left| left - 1);
            }
            _ = clock.tick() => {
                let payload = Bytes::from_static(orders.next().expect("a cycle has no end").as_bytes());
                let topic = Topic::parse("demo/lamp/set").expect("a topic by MQTT's rules");
                // A broker that has no room now gets the next one.
                let _ = publisher.offer(Message { topic, payload, qos: Qos::AtMostOnce, retain: false, beside: None });
            }
            () = &mut end => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::frame::Item;
    use devices::{Air, Device, Lamp, Room};

    fn config() -> Config {
        let read = Config::parse(&configuration(Path::new("/tmp/demo"), ADDRESS), "demo.toml");
        let read = read.unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        assert!(read.warnings.is_empty(), "{}", read.warnings.render(false));
        read.config
    }

    /// What the port's framing and check make of the bytes: good frames, and how many bad ones.
    fn frames(port: &str, said: &[u8]) -> (Vec<Vec<u8>>, usize) {
        let config = config();
        let port = config
            .port
            .iter()
            .find(|entry| entry.name.as_str() == port)
            .unwrap();
        let framing = port
            .frame
            .clone()
            .unwrap_or_default()
            .build(port.serial().char_time())
            .unwrap();
        let check: Option<Check> = port.check.as_ref().map(|check| check.build().unwrap());
        let mut decoder = framing.decoder();
        let (mut good, mut bad) = (Vec::new(), 0);
        for part in said.chunks(7) {
            decoder.extend(part, std::time::Instant::now());
            while let Some(item) = decoder.next(&check) {
                match item {
                    Item::Frame(frame) => good.push(frame.to_vec()),
                    Item::Damaged { .. } => bad += 1,
                }
            }
        }
        (good, bad)
    }

    #[test]
    fn the_configuration_understands_the_devices() {
        let (mut room, mut air, mut lamp) = (Room::new(), Air::new(), Lamp::new());
        let mut said = Vec::new();
        room.speak(&mut said);
        let (good, bad) = frames("room", &said);
        assert_eq!((good.len(), bad), (1, 0));
        assert!(good[0].starts_with(b"T=") && !good[0].contains(&b'\r'));

        said.clear();
        (0..2 * devices::SPOILED).for_each(|_| air.speak(&mut said));
        let (good, bad) = frames("air", &said);
        assert_eq!(good.len(), 2 * devices::SPOILED as usize - 2, "{bad} damaged");
        assert!(bad >= 2 && good.iter().all(|frame| frame.len() == 30));

        said.clear();
        lamp.hear(b"LED on\n?\n", &mut said);
        assert_eq!(
            frames("lamp", &said),
            (vec![b"OK LED on".to_vec(), b"LED on".to_vec()], 0)
        );
    }

    #[test]
    fn a_folders_name_does_not_end_its_string() {
        let text = configuration(Path::new("/tmp/a\"b\\c"), ADDRESS);
        let read = Config::parse(&text, "demo.toml").unwrap();
        assert_eq!(
            read.config.gateway.control.as_deref(),
            Some(Path::new("/tmp/a\"b\\c/control.sock"))
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn it_shows_every_device_and_leaves_nothing_behind() {
        let free = SocketAddr::new(ADDRESS.ip(), 0);
        let options = Options {
            address: Some(free),
            count: NonZeroU64::new(40),
            ..Options::default()
        };
        let mut out = Vec::new();
        let played = play(&options, &mut out, false, pending());
        tokio::time::timeout(Duration::from_secs(60), played)
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            "demo/room/text",
            "T=",
            "demo/room/json",
            "demo/air/hex",
            "demo/lamp/set",
            "OK LED on",
        ] {
            assert!(text.contains(part), "no {part} in:\n{text}");
        }
        let folder = text
            .split_whitespace()
            .find(|word| word.ends_with("/ttyROOM"))
            .unwrap();
        assert!(!Path::new(folder).parent().unwrap().exists());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_address_that_is_taken_is_an_error_that_names_it() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let options = Options {
            address: Some(address),
            ..Options::default()
        };
        let error = play(&options, &mut Vec::new(), false, pending())
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains(&address.to_string()), "{error:#}");
    }
}
