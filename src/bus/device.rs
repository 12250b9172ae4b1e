//! One device of a bus, ready to be asked: its profile's words with its address put in.

use crate::field::Mistake;
use crate::frame::Seal;
use crate::profile::asked::{self, Address, Echo, Unasked, Wait};
use crate::profile::{self, Command, CommandError, Profile};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a device may take until its reply begins, where nothing is said.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
/// How often a request is sent again.
pub(crate) const RETRIES: u8 = 1;
/// How often a poll is asked for.
pub(crate) const EVERY: Duration = Duration::from_secs(10);
/// How long a device usually takes until its reply begins.
pub(crate) const TURNAROUND: Duration = Duration::from_millis(10);
/// The silence of Modbus, in tenths of a character (MODBUS over Serial Line V1.02, 2.5.1.1).
const SILENCE_TENTHS: u32 = 35;
/// Its least, which holds above 19,200 baud (the same).
const SILENCE_LEAST: Duration = Duration::from_micros(1_750);
/// How long a reply is, where nothing tells it.
const REPLY: usize = 32;

/// What a port says of a device, beside its profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own {
    pub(crate) name: Arc<str>,
    pub(crate) address: Option<Address>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<u8>,
    /// How long the line is ours before what is sent, and behind it.
    pub(crate) delays: (Duration, Duration),
    /// Whether what is sent comes back, where the line's own configuration knows.
    pub(crate) echo: Option<bool>,
    /// How often polls are asked for, by name; zero for never.
    pub(crate) every: BTreeMap<String, Duration>,
}

/// A device of a bus.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) name: Arc<str>,
    pub(crate) address: Option<Address>,
    pub(crate) profile: Profile,
    pub(crate) rules: Rules,
    pub(crate) polls: Vec<Poll>,
    pub(crate) session: Option<Session>,
}

/// How the line is to be used with it.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) timeout: Duration,
    pub(crate) retries: u8,
    pub(crate) silence: Duration,
    pub(crate) between: Duration,
    pub(crate) turnaround: Duration,
    /// How long the line is ours before what is sent.
    pub(crate) before: Duration,
    /// And behind it, when nobody else can be heard.
    pub(crate) after: Duration,
    pub(crate) echo: Echo,
    pub(crate) unasked: Unasked,
    pub(crate) broadcast: bool,
}

/// What it is asked for, again and again.
#[derive(Debug, Clone)]
pub(crate) struct Poll {
    pub(crate) name: Arc<str>,
    pub(crate) every: Duration,
    pub(crate) steps: Arc<[Step]>,
    pub(crate) retries: u8,
    pub(crate) optional: bool,
    pub(crate) parts: Vec<Poll>,
    /// The reasons of a refusal that hold for good; none: all.
    pub(crate) lasting: Vec<String>,
    /// How many bytes the last reply has on the line, as far as that is known.
    pub(crate) reply_length: usize,
}

/// One step of a dialogue.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The frame that is sent; empty for none.
    pub(crate) send: Arc<[u8]>,
    /// The break before it; zero for none.
    pub(crate) wake: Duration,
    pub(crate) reply: Reply,
    pub(crate) timeout: Duration,
    pub(crate) repeat: u16,
    pub(crate) pause: Pause,
    /// Whether other devices may be asked during the pause.
    pub(crate) shared: bool,
    pub(crate) baud: Option<u32>,
}

/// What answers a step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reply {
    /// Nothing: the step is over when it is sent.
    None,
    /// Any kind that fits.
    Any,
    /// These kinds.
    Kinds(Arc<[String]>),
}

/// What comes behind a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Pause {
    #[default]
    None,
    For(Duration),
    /// As many seconds as the field of the reply says, unless one of these kinds comes before.
    Said {
        field: String,
        until: Arc<[String]>,
    },
}

/// What it wants before it can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) open: Arc<[Step]>,
    pub(crate) close: Arc<[Step]>,
    pub(crate) lost: Vec<String>,
    pub(crate) idle: Option<Duration>,
    pub(crate) each: bool,
}

impl Step {
    /// Whether the line is needed for it: a break may be all that is sent.
    pub(crate) fn speaks(&self) -> bool {
        !self.send.is_empty() || !self.wake.is_zero()
    }
}

impl Reply {
    pub(crate) fn of(kinds: &[String], silent: bool) -> Reply {
        match (silent, kinds) {
            (true, _) => Reply::None,
            (false, []) => Reply::Any,
            (false, kinds) => Reply::Kinds(kinds.into()),
        }
    }
}

/// The silence that Modbus wants, and that does no harm to others.
pub(crate) fn silence(char_time: Duration) -> Duration {
    (char_time * SILENCE_TENTHS / 10).max(SILENCE_LEAST)
}

impl Device {
    /// The device of this profile, as a port has it, on a line whose character takes `char_time`.
    pub(crate) fn new(
        config: &profile::Config,
        profile: Profile,
        own: Own,
        char_time: Duration,
    ) -> Result<Device, Vec<Mistake>> {
        let config = &*profile::expanded(config);
        let bus = &config.bus;
        let broadcast = own
            .address
            .as_ref()
            .is_some_and(|address| bus.broadcast.contains(address));
        let silence = bus.silence.map_or_else(|| silence(char_time), Duration::from);
        let rules = Rules {
            timeout: own.timeout.or(bus.timeout.map(Duration::from)).unwrap_or(TIMEOUT),
            retries: own.retries.or(bus.retries).unwrap_or(RETRIES),
            silence,
            between: bus.between.map_or(silence, Duration::from).max(silence),
            turnaround: bus.turnaround.map_or(TURNAROUND, Duration::from),
            before: own.delays.0,
            after: own.delays.1,
            echo: match own.echo {
                Some(true) => Echo::Yes,
                Some(false) => Echo::No,
                None => bus.echo,
            },
            unasked: bus.unasked,
            broadcast,
        };
        let mut maker = Maker {
            config,
            profile: &profile,
            own: &own,
            rules: &rules,
            mistakes: Vec::new(),
        };
        let polls = config.poll.iter().enumerate();
        let mut polls: Vec<Poll> = polls
            .map(|(n, poll)| maker.poll(poll, &format!("poll[{n}]")))
            .collect();
        polls.retain(|poll| !poll.every.is_zero() && !broadcast);
        let session = config.session.as_ref().map(|session| Session {
            open: maker.steps(&session.step, "session.step"),
            close: maker.steps(&session.close, "session.close"),
            lost: session.lost.clone(),
            idle: session.idle.map(Duration::from),
            each: session.each,
        });
        let mistakes = maker.mistakes;
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Device {
            name: own.name,
            address: own.address,
            profile,
            rules,
            polls,
            session,
        })
    }

    /// The poll of this name.
    pub(crate) fn poll(&self, name: &str) -> Option<usize> {
        self.polls.iter().position(|poll| &*poll.name == name)
    }
}

/// What a profile can't send: its polls, its session, and commands that need no more than an address. That is 1, or
/// the least that its range allows.
pub(crate) fn unsendable(config: &profile::Config, profile: &Profile, char_time: Duration) -> Vec<Mistake> {
    let commands = config.command.iter().flat_map(|command| &command.fields);
    let mut fields = commands.chain(config.poll.iter().flat_map(|poll| &poll.fields));
    let least = fields.find_map(|field| match (field.name.as_deref(), field.range) {
        (Some(profile::ADDRESS), Some([least, _])) if least > 1.0 => Some(least.ceil() as u64),
        _ => None,
    });
    let address = Some(Address::Number(least.unwrap_or(1)));
    let own = Own {
        address: address.clone(),
        ..Own::default()
    };
    let mut mistakes = Device::new(config, profile.clone(), own, char_time)
        .err()
        .unwrap_or_default();
    for (n, command) in profile.commands().iter().enumerate() {
        if command.open(address.as_ref()).is_empty()
            && let Err(error) = command.frame_to(b"", address.as_ref())
        {
            mistakes.push(Mistake {
                path: format!("command[{n}]"),
                what: error.to_string(),
            });
        }
    }
    // Whether an address fits is the port's matter, which gives it.
    mistakes.retain(|mistake| !mistake.what.starts_with(&format!("`{}`: ", profile::ADDRESS)));
    profile::placed(config, mistakes)
}

struct Maker<'a> {
    config: &'a profile::Config,
    profile: &'a Profile,
    own: &'a Own,
    rules: &'a Rules,
    mistakes: Vec<Mistake>,
}

type With = BTreeMap<String, serde_json::Value>;

impl Maker<'_> {
    fn poll(&mut self, poll: &asked::Poll, path: &str) -> Poll {
        let timeout = poll.timeout.map_or(self.rules.timeout, Duration::from);
        let every = self.own.every.get(&poll.name).copied();
        let steps = if poll.step.is_empty() {
            let named = poll.command.as_deref();
            let (send, reply) = self.request(named, &poll.with, &poll.reply, false, path);
            vec![Step {
                send,
                wake: poll.wake.0,
                reply,
                timeout,
                repeat: 0,
                pause: Pause::None,
                shared: false,
                baud: None,
            }]
            .into()
        } else {
            self.steps(&poll.step, &format!("{path}.step"))
        };
        let last = steps.last().map(|step| step.send.to_vec()).unwrap_or_default();
        let parts = poll.parts.iter().enumerate();
        Poll {
            name: poll.name.as_str().into(),
            every: every.or(poll.every.map(Duration::from)).unwrap_or(EVERY),
            retries: self.own.retries.or(poll.retries).unwrap_or(self.rules.retries),
            optional: poll.optional,
            lasting: poll.lasting.clone(),
            reply_length: poll
                .reply_length
                .unwrap_or_else(|| self.reply_length(&last, &poll.reply)),
            parts: parts
                .map(|(n, part)| self.poll(part, &format!("{path}.parts[{n}]")))
                .collect(),
            steps,
        }
    }

    fn steps(&mut self, steps: &[asked::Step], path: &str) -> Arc<[Step]> {
        let made = steps.iter().enumerate().map(|(n, step)| {
            let named = step.command.as_deref();
            let path = format!("{path}[{n}]");
            let (send, reply) = match named.is_some() || step.bytes.is_some() || step.text.is_some() {
                true => self.request(named, &step.with, &step.reply, step.silent, &path),
                false => ([].into(), Reply::of(&step.reply, step.silent)),
            };
            Step {
                send,
                wake: step.wake.0,
                reply,
                timeout: step.timeout.map_or(self.rules.timeout, Duration::from),
                repeat: step.repeat,
                pause: match &step.wait {
                    None => Pause::None,
                    Some(Wait::For(span)) => Pause::For((*span).into()),
                    Some(Wait::Said(said)) => Pause::Said {
                        field: said.field.clone(),
                        until: said.until.as_slice().into(),
                    },
                },
                shared: step.shared,
                baud: step.baud.map(|baud| baud.get()),
            }
        });
        made.collect()
    }

    /// The frame of a request, and what answers it.
    fn request(
        &mut self,
        named: Option<&str>,
        with: &With,
        reply: &[String],
        silent: bool,
        path: &str,
    ) -> (Arc<[u8]>, Reply) {
        let command = match named {
            Some(name) => self.profile.command(name),
            None => self.profile.ask(path),
        };
        // One that is not there has been told of when the profile was compiled.
        let Some(command) = command else {
            return ([].into(), Reply::Any);
        };
        let kinds = if reply.is_empty() { command.reply() } else { reply };
        let reply = Reply::of(kinds, silent || command.is_silent() || self.rules.broadcast);
        (self.frame(command, with, path), reply)
    }

    fn frame(&mut self, command: &Command, with: &With, path: &str) -> Arc<[u8]> {
        let with = with.iter().map(|(name, value)| (name.clone(), value.clone()));
        match command.with(with.collect(), self.own.address.as_ref()) {
            Ok(frame) => frame.into(),
            Err(error) => {
                let what = match &error {
                    CommandError::Parameters(_) if self.own.address.is_none() => {
                        format!("{error} (a device without an `address` gives none)")
                    }
                    error => error.to_string(),
                };
                self.mistakes.push(Mistake {
                    path: path.to_owned(),
                    what,
                });
                [].into()
            }
        }
    }

    /// How long a reply is on the line, as far as the profile tells.
    fn reply_length(&self, request: &[u8], kinds: &[String]) -> usize {
        let examples = self.config.example.iter().filter_map(|example| {
            let wire = profile::example_wire(example)?;
            let asked = example.request.as_deref().and_then(profile::hex);
            Some((asked.is_some_and(|asked| asked == request), wire.len()))
        });
        let examples: Vec<(bool, usize)> = examples.collect();
        if let Some(length) = examples.iter().filter(|(same, _)| *same).map(|(_, n)| *n).max() {
            return length;
        }
        let all = || self.config.kind.iter();
        let asked = |kind: &&profile::config::Kind| profile::answers(kind, request) == Some(true);
        let found: Vec<_> = match (kinds.is_empty(), all().any(|kind| asked(&kind))) {
            (false, _) => all().filter(|kind| kinds.contains(&kind.name)).collect(),
            (true, true) => all().filter(asked).collect(),
            (true, false) => all().collect(),
        };
        // Of a kind that may have any length, up to what can be counted.
        let told = found.into_iter().filter_map(|kind| kind.when.length);
        let told = told.map(|bounds| bounds.1).filter(|n| *n <= 4096);
        match told.max() {
            Some(length) => self.on_the_line(length),
            None => examples.iter().map(|(_, n)| *n).max().unwrap_or(REPLY),
        }
    }

    /// How long a frame is that carries so many bytes.
    fn on_the_line(&self, length: usize) -> usize {
        let mut frame = Vec::new();
        let (framing, guard) = (self.profile.framing(), self.profile.guard());
        match framing.encode(&vec![0x30; length], guard, &mut frame) {
            Ok(()) => frame.len(),
            Err(_) => length + guard.len(),
        }
    }
}
