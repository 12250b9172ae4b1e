//! Each fault of a device against each kind of request: what is published, and that no wrong value ever is.
//!
//! `docs/bus.md` has the table that comes out, and the test compares the two.

use crate::support::{
    Client, Daemon, ENERGY, Fault, Faulty, LEVEL, LOGIN, Message, PATIENCE, SET, Setup, Tongue,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How long a reply is waited for.
const TIMEOUT: Duration = Duration::from_millis(400);

/// In one of so many rounds each cell must be as on the page.
const ROUNDS: usize = 4;

/// A kind of request.
struct Kind {
    name: &'static str,
    title: &'static str,
    tongue: Tongue,
    /// The functions that go wrong.
    aim: &'static [u8],
    /// The topic below the port's that begins it; none: it is polled.
    topic: Option<&'static str>,
    /// The poll whose quality tells of it.
    poll: &'static str,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "poll",
        title: "poll",
        tongue: Tongue::Own,
        aim: &ENERGY,
        topic: None,
        poll: "energy",
    },
    Kind {
        name: "registers",
        title: "poll of registers",
        tongue: Tongue::Modbus,
        aim: &ENERGY,
        topic: None,
        poll: "",
    },
    Kind {
        name: "session",
        title: "log-in before a poll",
        tongue: Tongue::Session,
        aim: &[LOGIN],
        topic: None,
        poll: "energy",
    },
    Kind {
        name: "read",
        title: "read on demand",
        tongue: Tongue::Own,
        aim: &LEVEL,
        topic: Some("one/level/read"),
        poll: "level",
    },
    Kind {
        name: "command",
        title: "command",
        tongue: Tongue::Own,
        aim: &[SET],
        topic: Some("one/level/set"),
        poll: "energy",
    },
    Kind {
        name: "verify",
        title: "reading back",
        tongue: Tongue::Own,
        aim: &LEVEL,
        topic: Some("one/level/sure"),
        poll: "level",
    },
    Kind {
        name: "broadcast",
        title: "broadcast",
        tongue: Tongue::Own,
        aim: &[SET],
        topic: Some("all/level/set"),
        poll: "energy",
    },
];

/// The protocol of the own kind: energy and level look alike, and nothing in a reply says which it is.
pub(super) fn profile(session: bool, timeout: Duration) -> String {
    let session = if session {
        "[session]\nidle = '200ms'\nstep = [{ command = 'login', reply = ['welcome'] }]"
    } else {
        ""
    };
    format!(
        r#"
        frame = "idle"
        check = "modbus"
        [bus]
        address = {{ at = 0, type = "u8" }}
        broadcast = [0]
        timeout = "{timeout}ms"
        [[kind]]
        name = "energy"
        when = {{ length = 3, request = {{ bytes = {{ at = 1, is = [1] }} }} }}
        fields = [{{ name = "energy", at = 1, type = "u16" }}]
        [[kind]]
        name = "level"
        when = {{ length = 3, request = {{ bytes = {{ at = 1, is = [2] }} }} }}
        fields = [{{ name = "level", at = 1, type = "u16" }}]
        [[kind]]
        name = "set"
        means = "ack"
        when = {{ length = 4, request = {{ bytes = {{ at = 1, is = [6] }} }}, bytes = {{ at = 1, is = [0x86] }} }}
        [[kind]]
        name = "welcome"
        means = "ack"
        when = {{ length = 5, request = {{ bytes = {{ at = 1, is = [9] }} }} }}
        [[command]]
        name = "level"
        fields = [{{ name = "address", type = "u8" }}, {{ type = "u8", is = 6 }}, {{ name = "level", type = "u16" }}]
        [[command]]
        name = "read"
        fields = [{{ name = "address", type = "u8" }}, {{ name = "what", type = "u8" }}]
        [[command]]
        name = "login"
        fields = [{{ name = "address", type = "u8" }}, {{ type = "u8", is = 9 }}, {{ type = "u16", is = 0x1234 }}]
        [[poll]]
        name = "energy"
        every = "400ms"
        command = "read"
        with = {{ what = 1 }}
        [[poll]]
        name = "level"
        every = "1h"
        command = "read"
        with = {{ what = 2 }}
        {session}
        "#,
        timeout = timeout.as_millis(),
    )
}

/// A fault and a kind of request, on a port of its own.
struct Cell {
    port: String,
    fault: Fault,
    kind: &'static Kind,
    meters: Faulty,
    /// What came since this part of the test began: values, reasons for which there were none, ends of commands.
    values: BTreeMap<String, usize>,
    reasons: Vec<String>,
    /// The reason for which what is asked for is not known now.
    unread: Option<String>,
    ends: Vec<String>,
    /// How often each level was sent, as the gateway tells.
    tries: BTreeMap<u16, usize>,
    begun: u16,
}

fn ports(cells: &[Cell]) -> String {
    let mut text = String::new();
    for Cell {
        port, kind, meters, ..
    } in cells
    {
        let profile = match kind.tongue {
            Tongue::Own => "'own'",
            Tongue::Session => "'session'",
            Tongue::Modbus => {
                "{ modbus = { every = '400ms' }, bus = { timeout = '400ms' }, \
                 fields = [{ name = 'energy', input = 0 }, { name = 'level', holding = 7, every = '1h' }] }"
            }
        };
        let all = match kind.tongue {
            Tongue::Own => "[[port.device]]\nname = 'all'\naddress = 0\nprofile = 'own'\n",
            _ => "",
        };
        let commands = match kind.tongue {
            Tongue::Own => {
                "[[port.command]]\ntopic = 'cell/PORT/{{ device }}/level/set'\ncommand = 'level'\nretries = 1\n\
                 result = true\n\
                 [[port.command]]\ntopic = 'cell/PORT/{{ device }}/level/sure'\ncommand = 'level'\nverify = 'level'\n\
                 result = true\n\
                 [[port.device.command]]\ntopic = 'cell/PORT/one/level/read'\npoll = 'level'\nresult = true\n"
            }
            _ => "",
        };
        let (port_commands, own) = commands
            .find("[[port.device.command]]")
            .map_or((commands, ""), |at| commands.split_at(at));
        let _ = write!(
            text,
            "[[port]]\nname = '{port}'\npath = {path:?}\n\
             [[port.publish]]\ntopic = 'cell/{port}/{{{{ device }}}}/{{{{ field }}}}'\n\
             {port_commands}\
             [[port.device]]\nname = 'one'\naddress = 1\nprofile = {profile}\n{own}\
             [[port.device]]\nname = 'two'\naddress = 2\nprofile = {profile}\n{all}",
            path = meters.path(),
            port_commands = port_commands.replace("PORT", port),
            own = own.replace("PORT", port),
        );
    }
    text
}

impl Cell {
    /// Takes a message of this port. The values in it must be true, wherever they stand.
    fn take(&mut self, place: &str, message: &Message) {
        let levels: Vec<&str> = place.split('/').collect();
        match levels[..] {
            [device, field @ ("energy" | "level")] => {
                let value: u16 = message.text().parse().expect("a number");
                self.must_be_true(device, field, value);
                *self.values.entry(place.to_owned()).or_default() += 1;
            }
            [device, .., "result"] => {
                let told: Value = serde_json::from_slice(&message.payload).expect("JSON");
                if let Some(values) = told["values"].as_object() {
                    for (field, value) in values {
                        let value = value.as_u64().expect("a number") as u16;
                        self.must_be_true(device, field, value);
                    }
                }
                if told["final"] == true {
                    let state = told["state"].as_str().expect("a state");
                    let reason = told["reason"].as_str().map(|why| format!(": {}", word(why)));
                    self.ends.push(format!("{state}{}", reason.unwrap_or_default()));
                    let tries = told["tries"].as_u64().unwrap_or(0);
                    self.tries.insert(100 + self.begun, tries as usize);
                }
            }
            ["device", device @ ("one" | "two"), "state"] => {
                let told: Value = serde_json::from_slice(&message.payload).expect("JSON");
                for (name, poll) in told["polls"].as_object().into_iter().flatten() {
                    for (field, value) in poll["last"].as_object().into_iter().flatten() {
                        let value = value.as_u64().expect("a number") as u16;
                        self.must_be_true(device, field, value);
                    }
                    if device == "one" && (name == self.kind.poll || self.kind.tongue == Tongue::Modbus) {
                        let reason = poll["reason"].as_str().map(str::to_owned);
                        if poll["state"] == "unread" {
                            let mut reason = reason.expect("a reason");
                            if reason == "session" {
                                let text = poll["text"].as_str().expect("a text");
                                let why = text.strip_prefix("the session can't be opened: ");
                                reason = format!("session ({})", word(why.expect("a cause")));
                            }
                            self.unread = Some(reason.clone());
                            if self.reasons.last() != Some(&reason) {
                                self.reasons.push(reason);
                            }
                        } else if name.contains("energy") || self.kind.poll == name {
                            self.unread = None;
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn must_be_true(&self, device: &str, field: &str, value: u16) {
        let address = if device == "one" { 1 } else { 2 };
        assert!(
            self.meters.is_true(&format!("{address}/{field}"), value),
            "{}: {field} of {device} was never {value}",
            self.port
        );
    }

    /// A new part of the test: what came until now is forgotten.
    fn begin(&mut self, client: &mut Client) {
        (self.values, self.reasons, self.ends) = (BTreeMap::new(), Vec::new(), Vec::new());
        self.command(client);
    }

    fn command(&mut self, client: &mut Client) {
        if let Some(topic) = self.kind.topic {
            self.begun += 1;
            let payload = if topic.ends_with("read") {
                String::new()
            } else {
                (100 + self.begun).to_string()
            };
            client.publish(
                &format!("cell/{}/{topic}", self.port),
                payload.as_bytes(),
                1,
                false,
            );
        }
    }

    /// What is told to have been sent was on the line, each try once.
    fn was_sent(&self) {
        if self.kind.topic.is_none_or(|topic| topic.ends_with("read")) {
            return;
        }
        let requests = self.meters.requests();
        for (level, tries) in &self.tries {
            let set = |request: &&Vec<u8>| request[1] == SET && request[2..4] == level.to_be_bytes();
            let seen = requests.iter().filter(set).count();
            assert_eq!(*tries, seen, "{}: {level}", self.port);
        }
    }

    fn energies(&self) -> usize {
        self.values.get("one/energy").copied().unwrap_or(0)
    }

    /// Whether the fault has had its consequence.
    fn is_over(&self, least: u32) -> bool {
        match self.kind.topic {
            Some(_) => !self.ends.is_empty(),
            None => {
                // One that is pulled out is asked no more.
                let least = if self.fault == Fault::Unplugged { 1 } else { least };
                self.meters.happened() >= least && (self.unread.is_some() || self.energies() >= 3)
            }
        }
    }

    /// Whether what is polled comes.
    fn is_well(&self) -> bool {
        self.unread.is_none() && self.energies() >= 2
    }

    /// In words, what became of it.
    fn outcome(&self) -> String {
        let told = match self.kind.topic {
            Some(_) => self.ends.join(", "),
            None if self.reasons.is_empty() => "the value".to_owned(),
            None => format!("unread: {}", self.reasons.join(", ")),
        };
        match self.fault {
            // Which of them depends on how soon the machine has seen the echo.
            Fault::EchoAlone => told
                .replace("no-reply", "doubtful")
                .replace("doubtful, doubtful", "doubtful")
                .replace("session (doubtful), session (doubtful)", "session (doubtful)"),
            _ => told,
        }
    }
}

/// The name of a reason that is told in words.
fn word(why: &str) -> &str {
    let names = [
        ("no reply", "no-reply"),
        ("the reply was damaged", "damaged"),
        ("only another device", "foreign"),
        ("only the request itself", "doubtful"),
        ("the port is gone", "port-gone"),
        ("cut-off", "cut-off"),
    ];
    let known = names.iter().find(|(text, _)| why.starts_with(text));
    known.map_or(why, |(_, name)| name)
}

/// Takes what is told until this holds for each.
fn all(cells: &mut [Cell], client: &mut Client, what: &str, done: impl Fn(&Cell) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let open: Vec<&str> = cells
            .iter()
            .filter(|cell| !done(cell))
            .map(|cell| &*cell.port)
            .collect();
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: not yet {open:?}");
        let Some(message) = client.next_within(Duration::from_millis(100)) else {
            continue;
        };
        let place = message
            .topic
            .strip_prefix("cell/")
            .or_else(|| message.topic.strip_prefix("mqttyd/port/"));
        let Some((port, place)) = place.and_then(|place| place.split_once('/')) else {
            continue;
        };
        if let Some(cell) = cells.iter_mut().find(|cell| cell.port == port) {
            cell.take(place, &message);
        }
    }
}

/// Makes all faults happen, once and then each time. Gives what became of each, as tables.
fn tables(cells: &mut [Cell], client: &mut Client) -> String {
    let mut tables = String::new();
    for (times, title, least) in [(Some(1), "at one request", 1), (None, "at each request", 3)] {
        for cell in &mut *cells {
            cell.meters.arm(cell.fault, cell.kind.aim, times);
            cell.begin(client);
        }
        all(cells, client, title, |cell| cell.is_over(least));
        let _ = write!(tables, "| {title} |");
        KINDS
            .iter()
            .for_each(|kind| _ = write!(tables, " {} |", kind.title));
        let _ = writeln!(tables, "\n|{}", "---|".repeat(KINDS.len() + 1));
        for (fault, name) in Fault::ALL {
            let row = cells.iter().filter(|cell| cell.fault == fault);
            let row: Vec<String> = row.map(Cell::outcome).collect();
            let _ = writeln!(tables, "| {name} | {} |", row.join(" | "));
        }
        tables.push('\n');
        // What is whole again answers as before.
        for cell in &mut *cells {
            cell.meters.disarm();
            cell.begin(client);
        }
        all(cells, client, "mended", |cell| {
            cell.is_well() && (cell.kind.topic.is_none() || !cell.ends.is_empty())
        });
        cells.iter().for_each(Cell::was_sent);
    }
    tables
}

#[test]
fn no_fault_of_a_device_makes_a_value_that_is_not_true() {
    let mut cells = Vec::new();
    for kind in &KINDS {
        for (fault, _) in Fault::ALL {
            cells.push(Cell {
                port: format!("{}-{fault:?}", kind.name).to_lowercase(),
                fault,
                kind,
                meters: Faulty::new(kind.tongue, TIMEOUT),
                values: BTreeMap::new(),
                reasons: Vec::new(),
                unread: None,
                ends: Vec::new(),
                tries: BTreeMap::new(),
                begun: 0,
            });
        }
    }
    let daemon: Daemon = Setup::new(&ports(&cells))
        .profile("own", &profile(false, TIMEOUT))
        .profile("session", &profile(true, TIMEOUT))
        .start();
    let mut client = daemon.client("reader");
    client.subscribe("cell/#", 0);
    client.subscribe("mqttyd/port/+/device/+/state", 0);
    all(&mut cells, &mut client, "all is well", Cell::is_well);
    // A machine that is busy with other things makes devices late that are not, and other cells for it. That no value
    // is wrong, that each command ends, and that each try is on the line, holds in every round.
    let page: Vec<&str> = include_str!("../../docs/bus.md").lines().collect();
    let mut others: BTreeMap<(usize, usize), String> = BTreeMap::new();
    for round in 0..ROUNDS {
        let told = tables(&mut cells, &mut client);
        let head = told.lines().next().expect("a heading");
        let start = page
            .iter()
            .position(|line| *line == head)
            .expect("the table in docs/bus.md");
        let mut now = BTreeMap::new();
        for (row, line) in told.lines().enumerate() {
            let known: Vec<&str> = page[start + row].split('|').collect();
            assert_eq!(known.len(), line.split('|').count(), "{line}");
            let cells = line.split('|').enumerate();
            let differ = cells.filter(|(column, cell)| known[*column] != *cell);
            now.extend(
                differ.map(|(column, cell)| ((row, column), format!("{}, not{cell}", page[start + row]))),
            );
        }
        if round == 0 {
            others = now;
        } else {
            others.retain(|place, _| now.contains_key(place));
        }
        if others.is_empty() {
            return;
        }
    }
    panic!("docs/bus.md tells something else: {others:#?}");
}
