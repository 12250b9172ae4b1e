//! Twelve meters on one line of 9600 baud, paced to its real speed: the rates that the plan promises, also when one
//! of them is dead, and commands that wait for one transaction at most.
//!
//! It takes real time: `cargo test --test main twelve -- --ignored --nocapture`. `bus::tests::sharing` shows the same
//! with a clock of its own.

use crate::support::{Client, Daemon, Device, Message, checked, pause};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One character of 8N1 at 9600 baud.
const CHAR: Duration = Duration::from_micros(1042);
/// How long a meter takes until it answers.
const THINK: Duration = Duration::from_millis(10);
/// How long the line waits for one that is dead.
const TIMEOUT: Duration = Duration::from_millis(200);
const METERS: u8 = 12;
const DEAD: u8 = 5;
/// How often each meter is asked in a second.
const RATE: f64 = 2.0;
/// A machine on which the meters themselves are later than that is too busy for this test.
const LATE: Duration = Duration::from_millis(2);
/// How long each part of the test looks.
const LOOK: Duration = Duration::from_secs(65);

/// What was asked, and when that began.
type Requests = Vec<(Instant, Vec<u8>)>;

/// The line with its meters, in a thread of its own.
struct Meters {
    device: Arc<Device>,
    dead: Arc<AtomicU8>,
    stop: Arc<AtomicBool>,
    line: Option<JoinHandle<Requests>>,
}

impl Meters {
    fn new() -> Meters {
        let device = Arc::new(Device::new());
        let (dead, stop) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicBool::new(false)));
        let line = std::thread::spawn({
            let (device, dead, stop) = (device.clone(), dead.clone(), stop.clone());
            move || run(&device, &dead, &stop)
        });
        Meters {
            device,
            dead,
            stop,
            line: Some(line),
        }
    }

    /// Ends the line. Gives each request, and when it was begun.
    fn end(mut self) -> Requests {
        self.stop.store(true, Ordering::Relaxed);
        let line = self.line.take().expect("a line");
        line.join().expect("a line that did not fail")
    }
}

fn run(device: &Device, dead: &AtomicU8, stop: &AtomicBool) -> Requests {
    let (mut requests, mut waiting, mut late) = (Vec::new(), Vec::new(), Vec::new());
    let mut began = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if waiting.len() < 8 {
            Device::wait_any(&[device], Duration::from_millis(50));
            if waiting.is_empty() {
                began = Instant::now();
            }
            waiting.extend(device.take());
            continue;
        }
        // All that is asked for here has 8 bytes.
        let request: Vec<u8> = waiting.drain(..8).collect();
        let reply = (request[0] != dead.load(Ordering::Relaxed)).then(|| answer(&request));
        let wire = began + CHAR * 8;
        requests.push((began, request));
        if let Some(reply) = reply {
            sleep_until(wire + THINK + CHAR * reply.len() as u32);
            device.send(&reply);
            late.push(
                began
                    .elapsed()
                    .saturating_sub(CHAR * (8 + reply.len() as u32) + THINK),
            );
        }
    }
    late.sort_unstable();
    if let Some(late) = late.get(late.len() * 9 / 10) {
        println!("the meters' own answers were up to {late:?} late, but for the latest tenth");
        assert!(*late < LATE, "this machine is too busy to tell anything");
    }
    requests
}

fn sleep_until(at: Instant) {
    pause(at.saturating_duration_since(Instant::now()));
}

fn answer(request: &[u8]) -> Vec<u8> {
    let address = request[0];
    match request[1] {
        4 => checked(&[&[address, 4, 4][..], &f32::from(address).to_be_bytes()].concat()),
        3 => checked(&[address, 3, 2, 0, address]),
        _ => request.to_vec(),
    }
}

fn configuration(device: &Device) -> String {
    let mut text = format!(
        r#"
        [[port]]
        name = "bus"
        path = {:?}
        baud = 9600
        [[port.publish]]
        topic = "home/{{{{ device }}}}/{{{{ field }}}}"
        [[port.command]]
        topic = "home/{{{{ device }}}}/limit/set"
        command = "limit"
        "#,
        device.path(),
    );
    for address in 1..=METERS {
        let _ = write!(
            text,
            r#"
            [[port.device]]
            name = "m{address}"
            address = {address}
            profile = {{ modbus = {{ every = "500ms" }}, bus = {{ timeout = "200ms", turnaround = "10ms", echo = "no" }}, fields = [
              {{ name = "power", input = 0, type = "f32" }},
              {{ name = "limit", holding = 7, writable = true, every = "1h" }},
            ] }}
            "#
        );
    }
    text
}

/// How often each meter's power came while this runs, and the counters that came last.
fn look(client: &mut Client, mut now_and_then: impl FnMut()) -> (BTreeMap<String, u32>, String) {
    let (mut counts, mut counters) = (BTreeMap::new(), String::new());
    let (end, mut next) = (Instant::now() + LOOK, Instant::now());
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if next <= Instant::now() {
            now_and_then();
            next += Duration::from_millis(700);
        }
        let bound = left.min(next.saturating_duration_since(Instant::now()));
        let Some(Message { topic, payload, .. }) = client.next_within(bound) else {
            continue;
        };
        if topic.ends_with("/power") {
            *counts.entry(topic).or_default() += 1;
        } else if topic.ends_with("/counters") {
            counters = String::from_utf8_lossy(&payload).into_owned();
        }
    }
    (counts, counters)
}

/// A number of the counters.
fn number(counters: &str, name: &str) -> f64 {
    let (_, rest) = counters
        .split_once(&format!("\"{name}\":"))
        .unwrap_or_else(|| panic!("{name}: {counters}"));
    rest.split([',', '}'])
        .next()
        .and_then(|text| text.trim().parse().ok())
        .expect("a number")
}

#[test]
#[ignore = "takes more than two minutes of real time on a machine that is not busy"]
fn twelve_on_a_real_line() {
    let meters = Meters::new();
    let daemon = Daemon::start(&configuration(&meters.device));
    let mut client = daemon.client("reader");
    client.subscribe("home/+/power", 0);
    client.subscribe("mqttyd/port/bus/counters", 0);
    let wanted = RATE * LOOK.as_secs_f64();

    let (counts, counters) = look(&mut client, || {});
    let (planned, busy) = (number(&counters, "planned"), number(&counters, "busy"));
    println!("all alive: planned {planned} %, busy {busy} %, of {wanted} came {counts:?}");
    let before = counts;

    meters.dead.store(DEAD, Ordering::Relaxed);
    let (mut commander, mut sent) = (daemon.client("commander"), Vec::new());
    let (counts, _) = look(&mut client, || {
        let to = (sent.len() as u8 % METERS) + 1;
        if to != DEAD {
            commander.publish(
                &format!("home/m{to}/limit/set"),
                sent.len().to_string().as_bytes(),
                0,
                false,
            );
        }
        sent.push((Instant::now(), to));
    });
    println!("one dead: of {wanted} came {counts:?}");
    let requests = meters.end();
    assert!((planned - busy).abs() <= 5.0, "planned {planned}, busy {busy}");
    assert_eq!(before.len(), usize::from(METERS));
    assert!(
        before.values().all(|n| f64::from(*n) >= 0.95 * wanted),
        "{before:?}"
    );
    let dead = format!("home/m{DEAD}/power");
    let live = counts.iter().filter(|(topic, _)| **topic != dead);
    assert!(live.clone().count() == usize::from(METERS) - 1);
    assert!(
        live.clone().all(|(_, n)| f64::from(*n) >= 0.95 * wanted),
        "{counts:?}"
    );

    let mut longest = Duration::ZERO;
    let commands = sent.iter().enumerate().filter(|(_, (_, to))| *to != DEAD);
    for (value, (at, to)) in commands {
        let wire = checked(&[*to, 6, 0, 7, 0, value as u8]);
        let Some((began, _)) = requests.iter().find(|(_, request)| *request == wire) else {
            panic!("the command {value} to {to} was never on the line");
        };
        longest = longest.max(began.saturating_duration_since(*at));
    }
    println!("{} commands, on the line after {longest:?} at most", sent.len());
    // The longest transaction is one without a reply; the rest is what a shared machine takes.
    let one = CHAR * 8 + TIMEOUT + CHAR * 35 / 10;
    assert!(
        longest <= one + Duration::from_millis(30),
        "{longest:?} > {one:?}"
    );
}
