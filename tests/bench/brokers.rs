//! Brokers side by side: how many messages pass between clients, how long one takes, and what a thousand idle clients hold.
//!
//! ```text
//! cargo build --release --bin mqttyd --example brokers
//! target/release/examples/brokers target/release/mqttyd 3
//! ```
//!
//! The second argument is the number of rounds, in each of which all brokers have their turn; a third one picks rows by a
//! part of their names. It prints medians as a table. Packets are encoded before the clock starts and read by their
//! length, so that the clients cost little: their own processor time is told beside the broker's. A publisher has no more
//! than `WINDOW` messages on their way to its slowest subscriber, so that none has a reason to be lost.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints a table"
)]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PAYLOAD: usize = 64;
/// As many as mosquitto's queue holds by half.
const WINDOW: u64 = 500;
/// Messages in one write.
const BATCH: u64 = 50;
const SPAN: Duration = Duration::from_secs(4);
const IDLE: usize = 1000;

fn main() -> Result<()> {
    let mut words = env::args().skip(1);
    let mqttyd = words
        .next()
        .map_or_else(|| PathBuf::from("target/release/mqttyd"), PathBuf::from);
    let rounds: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(3);
    let only = words.next().unwrap_or_default();
    let mut table: BTreeMap<(usize, String), BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for round in 0..rounds {
        for broker in [Kind::Native, Kind::Mosquitto, Kind::Rumqttd] {
            for (at, row) in rows()
                .iter()
                .enumerate()
                .filter(|(_, row)| row.name.contains(&only))
            {
                let running = Broker::start(broker, &mqttyd)?;
                for (what, value) in (row.measure)(&running)? {
                    eprintln!("round {round} {}: {}{what} {value:.1}", broker.name(), row.name);
                    let cells = table.entry((at, format!("{}{what}", row.name))).or_default();
                    cells.entry(broker.name()).or_default().push(value);
                }
            }
        }
    }
    print(&table);
    Ok(())
}

fn print(table: &BTreeMap<(usize, String), BTreeMap<&str, Vec<f64>>>) {
    let names = [Kind::Native, Kind::Mosquitto, Kind::Rumqttd].map(Kind::name);
    println!("| | {} |", names.join(" | "));
    println!("|---|---|---|---|");
    for ((_, row), cells) in table {
        let cells = names.map(|name| cells.get(name).map_or_else(String::new, |values| median(values)));
        println!("| {row} | {} |", cells.join(" | "));
    }
}

fn median(values: &[f64]) -> String {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    if middle < 100.0 {
        format!("{middle:.1}")
    } else {
        format!("{middle:.0}")
    }
}

type Values = Vec<(&'static str, f64)>;

/// Measures one row of the table.
type Measure = Box<dyn Fn(&Broker) -> Result<Values>>;

struct Row {
    name: &'static str,
    measure: Measure,
}

fn rows() -> Vec<Row> {
    let flood = |name, qos, publishers, subscribers| Row {
        name,
        measure: Box::new(move |broker: &Broker| throughput(broker, qos, publishers, subscribers)),
    };
    vec![
        flood("QoS 0, 1 to 1", 0, 1, 1),
        flood("QoS 0, 10 to 10", 0, 10, 1),
        flood("QoS 0, 1 to 100", 0, 1, 100),
        flood("QoS 1, 1 to 1", 1, 1, 1),
        flood("QoS 1, 10 to 10", 1, 10, 1),
        flood("QoS 1, 1 to 100", 1, 1, 100),
        Row {
            name: "QoS 0, 200 messages/s",
            measure: Box::new(|broker| round_trips(broker, 0)),
        },
        Row {
            name: "QoS 1, 200 messages/s",
            measure: Box::new(|broker| round_trips(broker, 1)),
        },
        Row {
            name: "memory",
            measure: Box::new(idle),
        },
    ]
}

/// The brokers that are compared.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Native,
    Mosquitto,
    Rumqttd,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Native => "mqttyd",
            Kind::Mosquitto => "mosquitto",
            Kind::Rumqttd => "mqttyd with rumqttd",
        }
    }
}

/// A broker of its own for each measurement; it ends with it.
struct Broker {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Broker {
    fn start(kind: Kind, mqttyd: &Path) -> Result<Broker> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = env::temp_dir().join(format!("brokers-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let file = folder.join("conf");
        let mut command;
        if let Kind::Mosquitto = kind {
            let text = format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\nlog_dest none\n"
            );
            fs::write(&file, text)?;
            command = Command::new("mosquitto");
            command.arg("-c").arg(&file);
        } else {
            let engine = match kind {
                Kind::Rumqttd => "engine = 'rumqttd'\nmax-connections = 2000",
                _ => "max-connections = 2000\nmax-connect-rate = 0",
            };
            let control = folder.join("control");
            let text = format!(
                "[gateway]\ncontrol = {control:?}\n[broker]\n{engine}\n[[broker.listener]]\naddress = '127.0.0.1:{port}'\n"
            );
            fs::write(&file, text)?;
            command = Command::new(mqttyd);
            command.arg("run").arg("--config").arg(&file);
        }
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let broker = Broker {
            child: quiet.spawn()?,
            port,
            folder,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = broker.client("hello") {
            if Instant::now() > deadline {
                return Err(error);
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        Ok(broker)
    }

    /// A client that has its CONNACK.
    fn client(&self, id: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut body = b"\0\x04MQTT\x04\x02\x02\x58".to_vec();
        body.extend((id.len() as u16).to_be_bytes());
        body.extend(id.as_bytes());
        stream.write_all(&[&[0x10, body.len() as u8], &body[..]].concat())?;
        stream.read_exact(&mut [0; 4])?;
        Ok(stream)
    }

    fn subscriber(&self, id: &str, topic: &str, qos: u8) -> Result<TcpStream> {
        let mut stream = self.client(id)?;
        let mut body = vec![0, 1, 0, topic.len() as u8];
        body.extend(topic.as_bytes());
        body.push(qos);
        stream.write_all(&[&[0x82, body.len() as u8], &body[..]].concat())?;
        stream.read_exact(&mut [0; 5])?;
        Ok(stream)
    }

    /// Processor time in microseconds.
    fn cpu(&self) -> Result<f64> {
        cpu(&self.child.id().to_string())
    }

    /// A value of its memory, in kilobytes.
    fn memory(&self, name: &str) -> Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.ok_or_else(|| std::io::Error::other("no such value"))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Processor time of all threads of a process, in microseconds; those that have ended are in clock ticks.
fn cpu(process: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let behind = text.rsplit_once(") ").map_or("", |(_, behind)| behind);
    let ticks: f64 = behind
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<f64>().ok())
        .sum();
    Ok(ticks * 10_000.0)
}

/// A PUBLISH as it is sent and received: of the same length both ways.
fn packet(topic: &str, qos: u8, id: u16) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend(topic.as_bytes());
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend([b'x'; PAYLOAD]);
    [&[0x30 | qos << 1, body.len() as u8], &body[..]].concat()
}

/// Messages received per second by all subscribers together; each publisher has its topic, and so many subscribers.
fn throughput(broker: &Broker, qos: u8, publishers: usize, subscribers: usize) -> Result<Values> {
    let stop = AtomicBool::new(false);
    let mut received: Vec<Vec<AtomicU64>> = Vec::new();
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for p in 0..publishers {
        let topic = format!("bench/{p}");
        received.push((0..subscribers).map(|_| AtomicU64::new(0)).collect());
        for s in 0..subscribers {
            readers.push((p, s, broker.subscriber(&format!("s{p}-{s}"), &topic, qos)?));
        }
        writers.push((p, topic, broker.client(&format!("p{p}"))?));
    }
    let count = || {
        received
            .iter()
            .flatten()
            .map(|one| one.load(Ordering::Relaxed))
            .sum::<u64>()
    };
    let (mut rate, mut own, mut theirs) = (0.0, 0.0, 0.0);
    thread::scope(|scope| {
        for (p, s, stream) in readers {
            let (received, stop) = (&received[p][s], &stop);
            let length = packet(&format!("bench/{p}"), qos, 1).len();
            scope.spawn(move || listen(stream, qos, length, received, stop));
        }
        for (p, topic, stream) in writers {
            let (received, stop) = (&received[p], &stop);
            scope.spawn(move || publish(stream, &topic, qos, received, stop));
        }
        // The first moments are not counted.
        pause(Duration::from_millis(500));
        let (begin, before) = (Instant::now(), count());
        let (own_before, theirs_before) = (cpu("self").unwrap_or(0.0), broker.cpu().unwrap_or(0.0));
        pause(SPAN);
        let (messages, elapsed) = ((count() - before) as f64, begin.elapsed().as_secs_f64());
        rate = messages / elapsed;
        own = (cpu("self").unwrap_or(0.0) - own_before) / messages;
        theirs = (broker.cpu().unwrap_or(0.0) - theirs_before) / messages;
        stop.store(true, Ordering::Relaxed);
    });
    Ok(vec![
        (", messages/s", rate),
        (", broker's processor time per message, us", theirs),
        (", clients' processor time per message, us", own),
    ])
}

/// Publishes as long as those before have come.
fn publish(mut stream: TcpStream, topic: &str, qos: u8, received: &[AtomicU64], stop: &AtomicBool) {
    // As many packet ids as may be on their way, in turn.
    let batches: Vec<Vec<u8>> = (0..2 * WINDOW / BATCH)
        .map(|n| {
            (0..BATCH)
                .flat_map(|m| packet(topic, qos, (n * BATCH + m + 1) as u16))
                .collect()
        })
        .collect();
    let mut acks = stream.try_clone().ok();
    let (mut sent, mut acked) = (0, 0);
    for batch in batches.iter().cycle() {
        let mut waited = Instant::now();
        let mut known = 0;
        loop {
            let slowest = received
                .iter()
                .map(|one| one.load(Ordering::Relaxed))
                .min()
                .unwrap_or(0);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if slowest > known {
                (known, waited) = (slowest, Instant::now());
            }
            // What does not come within a second is lost: on with it.
            if slowest + WINDOW > sent + BATCH || waited.elapsed() > Duration::from_secs(1) {
                break;
            }
            thread::yield_now();
        }
        if stream.write_all(batch).is_err() {
            return;
        }
        sent += BATCH;
        if let (1, Some(acks)) = (qos, &mut acks) {
            // PUBACKs have four bytes. Never more than the window is without one.
            let mut buffer = [0; 4096];
            while sent - acked / 4 > WINDOW {
                match acks.read(&mut buffer) {
                    Ok(count) if count > 0 => acked += count as u64,
                    _ => return,
                }
            }
        }
    }
}

fn listen(mut stream: TcpStream, qos: u8, length: usize, received: &AtomicU64, stop: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(100)));
    let mut buffer = vec![0; 256 * 1024];
    let mut answers = Vec::new();
    let mut held = 0;
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer[held..]) {
            Ok(0) => return,
            Ok(count) => held += count,
            Err(_) => continue,
        }
        let whole = held / length;
        if qos > 0 {
            answers.clear();
            for packet in buffer[..whole * length].chunks(length) {
                let id = length - PAYLOAD - 2;
                answers.extend([0x40, 2, packet[id], packet[id + 1]]);
            }
            if stream.write_all(&answers).is_err() {
                return;
            }
        }
        buffer.copy_within(whole * length..held, 0);
        held -= whole * length;
        received.fetch_add(whole as u64, Ordering::Relaxed);
    }
}

/// From before a message is written until it is read, 200 times a second.
fn round_trips(broker: &Broker, qos: u8) -> Result<Values> {
    let mut from = broker.subscriber("reader", "bench/round", qos)?;
    let mut to = broker.client("writer")?;
    let message = packet("bench/round", qos, 1);
    let mut buffer = vec![0; message.len()];
    let mut times = Vec::new();
    for _ in 0..1000 {
        pause(Duration::from_millis(5));
        let start = Instant::now();
        to.write_all(&message)?;
        from.read_exact(&mut buffer)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        if qos > 0 {
            let id = message.len() - PAYLOAD - 2;
            from.write_all(&[0x40, 2, buffer[id], buffer[id + 1]])?;
            to.read_exact(&mut [0; 4])?;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(vec![
        (", p50 us", times[times.len() / 2]),
        (", p99 us", times[times.len() * 99 / 100]),
    ])
}

/// What a broker holds without clients, and with many that are subscribed and silent.
fn idle(broker: &Broker) -> Result<Values> {
    pause(Duration::from_secs(1));
    let (alone, alone_pss) = (broker.memory("Rss:")?, broker.memory("Pss:")?);
    let clients: Result<Vec<TcpStream>> = (0..IDLE)
        .map(|n| broker.subscriber(&format!("idle-{n}"), &format!("idle/{n}"), 1))
        .collect();
    let _clients = clients?;
    pause(Duration::from_secs(1));
    Ok(vec![
        (" alone, RSS KB", alone),
        (" alone, PSS KB", alone_pss),
        (" with 1,000 idle clients, RSS KB", broker.memory("Rss:")?),
        (" with 1,000 idle clients, PSS KB", broker.memory("Pss:")?),
    ])
}

fn pause(span: Duration) {
    let end = Instant::now() + span;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        thread::park_timeout(left);
    }
}
