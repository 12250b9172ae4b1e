//! The polled devices of the corpus, played over ptys by its own replies: the program's requests must be those of the
//! corpus, byte for byte, and what it publishes what the reply means.
//!
//! Each poll of a profile is asked on a port of its own, and answered by each case that has its request; a good one
//! comes between any two others. `tests/corpus-devices/README.md` tells of the files.

mod corpus;

use crate::support::{Client, Daemon, Device, PATIENCE, Setup};
use corpus::{Case, Polled, polled};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use toml::{Table, Value};

/// So often a reply is sent until it has its effect.
const TRIES: usize = 8;
/// A request that has no case is taken to be whole when nothing follows for so long.
const WHOLE: Duration = Duration::from_millis(400);

/// What makes the program ask.
#[derive(Debug, Clone)]
enum By {
    /// The poll of this name.
    Poll(String),
    /// The poll of this name, whose session can't be opened.
    Session(String),
    /// The polls that follow from registers.
    Registers,
    /// A message, for this command or for none.
    Command(Option<String>, String),
}

/// One port.
struct Dialogue {
    port: String,
    device: String,
    /// The profile's text, with what the case is about alone where that is a part of it.
    profile: String,
    address: Option<Value>,
    by: By,
    cases: Vec<Case>,
    opening: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Whether each step must come in the order of the only case.
    strict: bool,
}

impl Polled {
    /// The dialogues in which its cases without steps can come.
    fn dialogues(&self) -> Vec<Dialogue> {
        let mut all = Vec::new();
        let mut add = |address: Option<Value>, by: By, profile: String, cases: Vec<Case>| {
            all.push(Dialogue {
                port: format!("{}-{}", self.name, all.len()),
                device: self.name.clone(),
                profile,
                address,
                by,
                cases,
                opening: self.opening.clone(),
                strict: false,
            });
        };
        let whole = self.profile.to_string();
        let (asked, polled): (Vec<Case>, Vec<Case>) = self
            .cases
            .iter()
            .filter(|case| case.steps.is_empty())
            .cloned()
            .partition(|case| self.commands.contains_key(&case.id));
        for case in asked {
            let command = &self.commands[&case.id];
            let name = command.get("name").and_then(Value::as_str).map(str::to_owned);
            let payload = match (command.get("text"), command.get("with")) {
                (Some(text), _) => text.as_str().unwrap_or_default().to_owned(),
                (None, Some(with)) => serde_json::to_string(with).expect("JSON"),
                (None, None) => String::new(),
            };
            let address = self.addresses().into_iter().next().flatten();
            add(address, By::Command(name, payload), whole.clone(), vec![case]);
        }
        let (begins, polled): (Vec<Case>, Vec<Case>) = polled
            .into_iter()
            .partition(|case| self.opening.contains_key(&case.request));
        if let (Some(poll), Some(address)) = (self.polls().first(), self.addresses().first()) {
            for case in begins {
                let by = By::Session(poll.clone());
                add(address.clone(), by, whole.clone(), vec![case]);
            }
        }
        if self.is_modbus() {
            for case in polled {
                let address = Some(i64::from(case.request[0]).into());
                add(address, By::Registers, self.cut(&case.request), vec![case]);
            }
            return all;
        }
        for address in self.addresses() {
            for poll in self.polls() {
                add(address.clone(), By::Poll(poll), whole.clone(), polled.clone());
            }
        }
        all
    }
}

impl Dialogue {
    fn port(&self, device: &Device) -> String {
        let mut text = format!(
            "[[port]]\nname = '{port}'\npath = {path:?}\nbaud = 115200\ndata-bits = 8\nparity = 'none'\nstop-bits = 1\n\
             [[port.publish]]\ntopic = 'dialogue/{port}/values'\npayload = 'values'\n",
            port = self.port,
            path = device.path(),
        );
        if let By::Command(name, _) = &self.by {
            let command = name.as_ref().map(|name| format!("command = '{name}'\n"));
            let _ = write!(
                text,
                "[[port.command]]\ntopic = 'dialogue/{}/do'\nresult = true\n{}",
                self.port,
                command.unwrap_or_default()
            );
        }
        let address = self
            .address
            .as_ref()
            .map(|address| format!("address = {address}\n"));
        let _ = write!(
            text,
            "[[port.device]]\nname = 'it'\nprofile = '{}'\ntimeout = '500ms'\nretries = 0\n{}",
            self.port,
            address.unwrap_or_default(),
        );
        let profile: Table = self.profile.parse().expect("a profile");
        for poll in profile
            .get("poll")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let name = poll["name"].as_str().unwrap_or_default();
            let own = matches!(&self.by, By::Poll(own) | By::Session(own) if own == name);
            let _ = writeln!(text, "poll.{name} = '{}'", if own { "1s" } else { "0s" });
        }
        text
    }

    /// What a case's bytes give, by the profile alone, which another test compares with the source.
    fn records(&self, case: &Case) -> Vec<Json> {
        let read = mqttyd::config::device::parse(&self.profile, &self.port);
        let read = read.unwrap_or_else(|faults| panic!("{}", faults.render(false)));
        let tried = read.profile.try_bytes(&case.wire, Some(&case.request));
        let records = tried.records().map(|record| {
            let mut text = String::new();
            record.write_json(&mut text);
            serde_json::from_str(&text).expect("JSON")
        });
        records.collect()
    }
}

/// A dialogue at work: the device's end of the line, and what a subscriber sees.
struct Play<'a> {
    dialogue: &'a Dialogue,
    device: &'a Device,
    client: Client,
    buffer: Vec<u8>,
    since: Instant,
    /// The request that waits for a reply of a case.
    asked: Option<Vec<u8>>,
    /// Requests that no case has, and all that came, in order.
    unknown: usize,
    seen: Vec<Vec<u8>>,
    steps: VecDeque<(Vec<u8>, Vec<u8>)>,
    values: VecDeque<Json>,
    /// What the case before had said.
    before: Vec<Json>,
    unread: Option<String>,
    good: bool,
    end: Option<Json>,
}

/// Whether a published object says this. When it came is added to what the device says.
fn says(value: &Json, wanted: &Json) -> bool {
    let mut value = value.clone();
    if wanted.get("time").is_none()
        && let Some(object) = value.as_object_mut()
    {
        object.remove("time");
    }
    value == *wanted
}

impl<'a> Play<'a> {
    fn new(dialogue: &'a Dialogue, device: &'a Device, daemon: &Daemon) -> Play<'a> {
        let mut client = daemon.client(&dialogue.port);
        client.subscribe(&format!("dialogue/{}/values", dialogue.port), 0);
        client.subscribe(&format!("dialogue/{}/do/result", dialogue.port), 0);
        client.subscribe(&format!("mqttyd/port/{}/device/it/state", dialogue.port), 0);
        let steps = dialogue.cases.first().filter(|_| dialogue.strict);
        Play {
            dialogue,
            device,
            client,
            buffer: Vec::new(),
            since: Instant::now(),
            asked: None,
            unknown: 0,
            seen: Vec::new(),
            steps: steps.map(|case| case.steps.clone().into()).unwrap_or_default(),
            values: VecDeque::new(),
            before: Vec::new(),
            unread: None,
            good: false,
            end: None,
        }
    }

    /// Lets the line and the broker go on until this holds.
    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&Play<'_>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < deadline,
                "{}: never {what}; asked {:02x?}, values {:?}, unread {:?}, end {:?}",
                self.dialogue.port,
                self.seen,
                self.values,
                self.unread,
                self.end
            );
            self.line();
            while let Some(message) = self.client.next_within(Duration::from_millis(1)) {
                let json: Json = serde_json::from_slice(&message.payload).expect("JSON");
                if message.topic.ends_with("/values") {
                    self.values.push_back(json);
                } else if message.topic.ends_with("/result") {
                    self.end = Some(json)
                        .filter(|json| json["final"] == true)
                        .or(self.end.take());
                } else if let Some(polls) = json["polls"].as_object() {
                    let unread = polls.values().find(|poll| poll["state"] == "unread");
                    self.unread = unread.map(|poll| poll["reason"].as_str().unwrap_or_default().to_owned());
                    self.good |= self.unread.is_none();
                }
            }
        }
    }

    fn line(&mut self) {
        Device::wait_any(&[self.device], Duration::from_millis(20));
        let came = self.device.take();
        if !came.is_empty() {
            self.buffer.extend(came);
            self.since = Instant::now();
        }
        if self.buffer.is_empty() {
            return;
        }
        if self.dialogue.strict {
            if let Some((_, reply)) = self.steps.pop_front_if(|(sent, _)| *sent == self.buffer) {
                self.seen.push(std::mem::take(&mut self.buffer));
                self.device.send(&reply);
            }
            return;
        }
        let is_case = self.dialogue.cases.iter().any(|case| case.request == self.buffer);
        let opening = self.dialogue.opening.get(&self.buffer);
        // What both begins a session and is asked begins it first.
        let begun = self.seen.iter().filter(|seen| **seen == self.buffer).count();
        match opening {
            Some(reply) if !is_case || begun.is_multiple_of(2) && self.is_command() => {
                self.device.send(reply)
            }
            _ if is_case => self.asked = Some(self.buffer.clone()),
            _ if self.since.elapsed() < WHOLE => return,
            _ => self.unknown += 1,
        }
        self.seen.push(std::mem::take(&mut self.buffer));
    }

    fn is_command(&self) -> bool {
        matches!(self.dialogue.by, By::Command(..))
    }

    /// Plays one case, whose request has come.
    fn answer(&mut self, case: &Case) {
        let port = &self.dialogue.port;
        assert_eq!(
            self.asked.take(),
            Some(case.request.clone()),
            "{port}: the request of {}",
            case.id
        );
        let was_unread = self.unread.is_some();
        let in_session = matches!(self.dialogue.by, By::Session(_));
        self.good = false;
        if case.outcome != "accept" {
            self.unread = None;
        }
        if case.outcome == "accept" {
            let wanted = self.dialogue.records(case);
            self.reply(case, |play| play.has(&wanted));
            self.comes(case);
            if was_unread {
                self.until("good again", |play| play.good);
            }
            return;
        }
        let fits = |why: &str| match &*case.outcome {
            _ if in_session => why == "session",
            "device-error" => why == "refused",
            "no-data" => why == "no-data",
            _ => !["refused", "no-data"].contains(&why),
        };
        self.reply(case, |play| play.unread.as_deref().is_some_and(fits));
        // A refusal is published as such; nothing else is.
        if case.outcome != "device-error" {
            self.nothing_new(&case.id);
        }
        self.values.clear();
    }

    /// Sends the reply of a case until this holds: again where it is asked for again, because it came too late on a
    /// machine that is busy with other things.
    fn reply(&mut self, case: &Case, done: impl Fn(&Play<'_>) -> bool) {
        for _ in 0..TRIES {
            self.device.send(&case.wire);
            self.until(&case.id, |play| done(play) || play.asked.is_some());
            if done(self) {
                return;
            }
            self.asked = None;
        }
        panic!("{}: {}: {:?}", self.dialogue.port, case.id, self.unread);
    }

    /// No value has come but what a reply that was late says once more.
    fn nothing_new(&self, what: &str) {
        let known = |value: &Json| self.before.iter().any(|before| says(value, before));
        assert!(
            self.values.iter().all(known),
            "{}: {what}: {:?}",
            self.dialogue.port,
            self.values
        );
    }

    /// Whether all these values have come.
    fn has(&self, wanted: &[Json]) -> bool {
        let came = |wanted: &Json| self.values.iter().any(|value| says(value, wanted));
        wanted.iter().all(came)
    }

    /// The values of a case must come, and no others.
    fn comes(&mut self, case: &Case) {
        let wanted = self.dialogue.records(case);
        assert!(!wanted.is_empty(), "{}: {}", self.dialogue.port, case.id);
        self.until(&case.id, |play| play.has(&wanted));
        let told = || {
            format!(
                "{}: {}: {:?}, not {wanted:?}",
                self.dialogue.port, case.id, self.values
            )
        };
        if self.values.len() == wanted.len() {
            let in_order = |(value, wanted): (&Json, &Json)| says(value, wanted);
            assert!(self.values.iter().zip(&wanted).all(in_order), "{}", told());
        }
        // Where a request came again, because its reply was late, its values come again, too.
        let known = |value: &Json| {
            wanted
                .iter()
                .chain(&self.before)
                .any(|wanted| says(value, wanted))
        };
        assert!(self.values.iter().all(known), "{}", told());
        self.values.clear();
        self.before = wanted;
    }

    /// Plays all cases of the request that comes. Gives their names, and the request.
    fn polled(mut self) -> Option<(Vec<u8>, Vec<String>)> {
        self.until("asked", |play| play.asked.is_some() || play.unknown > 0);
        let request = self.asked.clone()?;
        let cases = self.dialogue.cases.iter().filter(|case| case.request == request);
        let (good, bad): (Vec<&Case>, Vec<&Case>) = cases.partition(|case| case.outcome == "accept");
        let played = good.iter().chain(&bad).map(|case| case.id.clone()).collect();
        let first = good.first().copied();
        let all = good
            .into_iter()
            .chain(bad.into_iter().flat_map(|case| [Some(case), first]).flatten());
        for case in all {
            self.until("asked again", |play| play.asked.is_some());
            self.answer(case);
        }
        Some((request, played))
    }

    /// Asks by a message, for the only case.
    fn commanded(mut self) -> String {
        let (dialogue, case) = (self.dialogue, &self.dialogue.cases[0]);
        let By::Command(_, payload) = &dialogue.by else {
            unreachable!("a command")
        };
        let topic = format!("dialogue/{}/do", dialogue.port);
        self.client.publish(&topic, payload.as_bytes(), 1, false);
        while self.end.is_none() {
            self.until(&case.id, |play| play.asked.is_some() || play.end.is_some());
            if self.asked.take().is_some() {
                self.device.send(&case.wire);
            }
        }
        let end = self.end.take().unwrap_or_default();
        let wanted = match &*case.outcome {
            "accept" | "ack" | "no-data" => "answered",
            "device-error" => "refused",
            _ => "timed-out",
        };
        assert_eq!(end["state"], wanted, "{}: {}: {end}", dialogue.port, case.id);
        if case.outcome == "accept" && !dialogue.records(case).is_empty() {
            self.comes(case);
        } else if case.outcome != "device-error" {
            self.nothing_new(&case.id);
        }
        case.id.clone()
    }

    /// Plays a case by its own steps, in their order.
    fn stepped(mut self) -> String {
        let case = &self.dialogue.cases[0];
        self.until("all steps", |play| play.steps.is_empty());
        self.comes(case);
        case.id.clone()
    }
}

/// Plays these dialogues with one daemon, each in a thread of its own.
fn play<T: Send>(dialogues: &[Dialogue], with: impl Fn(Play<'_>) -> T + Sync) -> Vec<T> {
    let devices: Vec<Device> = dialogues.iter().map(|_| Device::new()).collect();
    let ports = dialogues
        .iter()
        .zip(&devices)
        .map(|(dialogue, device)| dialogue.port(device));
    let mut setup = Setup::new(&ports.collect::<String>());
    for dialogue in dialogues {
        setup = setup.profile(&dialogue.port, &dialogue.profile);
    }
    let daemon = setup.start();
    let plays: Vec<Play<'_>> = dialogues
        .iter()
        .zip(&devices)
        .map(|(dialogue, device)| Play::new(dialogue, device, &daemon))
        .collect();
    let with = &with;
    std::thread::scope(|scope| {
        let threads: Vec<_> = plays
            .into_iter()
            .map(|play| scope.spawn(move || with(play)))
            .collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results
            .map(|result| result.expect("a dialogue that went well"))
            .collect()
    })
}

#[test]
fn the_polled_devices_of_the_corpus_run_as_dialogues() {
    let devices = polled();
    let dialogues: Vec<Dialogue> = devices.iter().flat_map(Polled::dialogues).collect();
    let results = play(&dialogues, |play| match play.is_command() {
        true => (Vec::new(), vec![play.commanded()]),
        false => play.polled().unwrap_or_default(),
    });
    let mut played: BTreeSet<(String, String)> = BTreeSet::new();
    for (dialogue, (_, ids)) in dialogues.iter().zip(&results) {
        played.extend(ids.iter().map(|id| (dialogue.device.clone(), id.clone())));
    }
    // Those with steps of their own, by the poll that has been seen to ask.
    let mut stepped = Vec::new();
    for device in &devices {
        for case in device.cases.iter().filter(|case| !case.steps.is_empty()) {
            let asks = dialogues.iter().zip(&results);
            let mut asks = asks.filter(|(dialogue, (request, _))| {
                dialogue.device == device.name && *request == case.request
            });
            if let Some((asks, _)) = asks.next() {
                stepped.push(Dialogue {
                    port: format!("{}-{}", device.name, case.id),
                    device: device.name.clone(),
                    profile: asks.profile.clone(),
                    address: asks.address.clone(),
                    by: asks.by.clone(),
                    cases: vec![case.clone()],
                    opening: BTreeMap::new(),
                    strict: true,
                });
            }
        }
    }
    for (dialogue, id) in stepped.iter().zip(play(&stepped, |play| play.stepped())) {
        played.insert((dialogue.device.clone(), id));
    }
    let count = played.len();
    let names: BTreeSet<&String> = played.iter().map(|(device, _)| device).collect();
    let mut silent = Vec::new();
    for device in &devices {
        let all = device
            .cases
            .iter()
            .map(|case| (device.name.clone(), case.id.clone()));
        silent.extend(
            all.filter(|key| !played.contains(key))
                .map(|(device, id)| format!("{device}/{id}")),
        );
    }
    println!("{count} cases of {} devices", names.len());
    assert!(silent.is_empty(), "nobody asks for {silent:?}");
    assert!(
        count >= 150 && names.len() >= 29,
        "{count} cases of {} devices",
        names.len()
    );
}
