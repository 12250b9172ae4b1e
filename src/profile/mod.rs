//! Device profiles: how a kind of device speaks, compiled once, and what a frame of it means.
//!
//! A [`Config`] is what a person writes; a [`Profile`] is what it means. Bytes are cut into frames by the
//! profile's framing and pass its [`Guard`]; [`Profile::read`] tells of which kind a frame is and gives its values.
//! Nothing here knows of files, ports or topics.

mod ask;
pub mod asked;
mod bank;
mod command;
pub mod config;
mod example;
mod explain;
mod gather;
mod guard;
mod join;
pub mod registers;
#[cfg(test)]
mod tests;
mod when;

pub use command::{Command, CommandError};
pub use config::Config;
pub use example::{Failure, Tried};
pub use gather::Reader;
pub use guard::Guard;

pub(crate) use bank::Bank;
pub(crate) use command::ADDRESS;
pub(crate) use registers::{expanded, placed};

use crate::field;
use crate::field::cipher::Keys;
use crate::field::config::{Order, Unpack};
use crate::field::decode::{Run, Traced};
use crate::field::plan::{self, Layout, Mistake, Source};
use crate::field::record::{Record, Shape};
use crate::frame::{Branch, Framing};
use crate::modbus::{Answer, Said};
use config::{Kind, Means};
use join::Joint;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use when::Test;

/// A profile, ready for use. A clone is cheap.
#[derive(Debug, Clone)]
pub struct Profile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    framing: Framing,
    /// The door of frames, where there is only one protocol.
    guard: Guard,
    /// One for each protocol on the line.
    branches: Vec<Protocol>,
    commands: Vec<Command>,
    /// What is asked in place, in polls and sessions, by the path there.
    asks: Vec<Command>,
    whose: Option<ask::Whose>,
    gather: Option<config::Gather>,
    /// What is written, where examples have keys of their own.
    sources: Vec<Config>,
    char_time: Duration,
}

/// A protocol on the line: its door, and its kinds of frame.
#[derive(Debug)]
struct Protocol {
    guard: Arc<Guard>,
    kinds: Vec<Compiled>,
    joint: Option<Joint>,
}

#[derive(Debug)]
struct Compiled {
    name: Arc<str>,
    test: Test,
    means: Means,
    unpack: Vec<Unpack>,
    layout: Layout,
    /// What it is of a Modbus device.
    modbus: Option<Said>,
}

/// What a good frame means.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its values.
    Values(Record),
    /// The device says no; the values say why, as far as they can.
    Error(Record),
    /// The device has understood.
    Ack(Record),
    /// The device has no value.
    NoData(Record),
    /// Nothing to publish.
    Ignored(Arc<str>),
    /// Part of a record that is still being gathered.
    Gathered,
    /// No kind of frame fits: counted, and no error.
    Unknown,
    /// The frame is not what its description says.
    Refused(field::Fault),
}

impl Profile {
    /// Compiles a profile. `char_time` is how long one character takes on the line.
    pub fn new(config: &Config, char_time: Duration) -> Result<Profile, Vec<Mistake>> {
        Profile::several(&[config], char_time)
    }

    /// Compiles profiles of devices that share one line.
    pub fn several(configs: &[&Config], char_time: Duration) -> Result<Profile, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut protocols = Vec::new();
        let mut commands = Vec::new();
        let (mut asks, mut whose) = (Vec::new(), None);
        for config in configs {
            let expanded = registers::expand(config, &mut mistakes);
            let (config, mut found) = (&*expanded.config, Vec::new());
            compile(config, char_time, &mut protocols, &mut found);
            let common = command::Common::new(config, char_time, &mut found);
            commands.extend(command::compile(config, &common, &mut found));
            // Profiles that share a line can only be listened to: each device that is asked has one of its own.
            if configs.len() == 1 {
                asks = ask::compile(config, &common, &mut found);
                whose = ask::Whose::compile(config, &mut found);
            }
            mistakes.extend(found.into_iter().map(|mistake| expanded.placed(mistake)));
        }
        let mut examples = configs.iter().flat_map(|config| &config.example);
        let sources = match examples.any(|example| example.keys.is_some()) {
            true => configs.iter().copied().cloned().collect(),
            false => Vec::new(),
        };
        let gather = configs.iter().find_map(|config| config.gather.clone());
        if !mistakes.is_empty() || protocols.is_empty() {
            return Err(mistakes);
        }
        let branches: Vec<Branch> = protocols
            .iter()
            .map(|(framing, protocol)| Branch {
                framing: framing.clone(),
                seal: protocol.guard.clone(),
            })
            .collect();
        let (framing, guard) = match protocols.as_slice() {
            [(framing, only)] => (framing.clone(), Guard::clone(&only.guard)),
            _ => (Framing::any(branches, char_time), Guard::default()),
        };
        Ok(Profile(Arc::new(Inner {
            framing,
            guard,
            branches: protocols.into_iter().map(|(_, protocol)| protocol).collect(),
            commands,
            asks,
            whose,
            gather,
            sources,
            char_time,
        })))
    }

    /// How bytes are cut into frames.
    pub fn framing(&self) -> &Framing {
        &self.0.framing
    }

    /// What frames must pass: the seal for the decoder.
    pub fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// What the data of a good frame mean, that came from this branch of the decoder. `request`: the bytes to
    /// which it is the reply, if that is known.
    pub fn read(&self, branch: usize, data: &[u8], request: Option<&[u8]>) -> Outcome {
        self.run(branch, data, request, None)
    }

    /// The same, and every field that was read on the way, with its bytes.
    pub fn trace(&self, branch: usize, data: &[u8], request: Option<&[u8]>) -> (Outcome, Vec<Traced>) {
        let mut trace = Vec::new();
        let outcome = self.run(branch, data, request, Some(&mut trace));
        (outcome, trace)
    }

    /// A frame's data as its kinds see it.
    fn unpacked(&self, branch: usize, data: &[u8]) -> Option<Vec<u8>> {
        let protocol = self.0.branches.get(branch)?;
        protocol.guard.data(data).map(Cow::into_owned)
    }

    fn run(
        &self,
        branch: usize,
        data: &[u8],
        request: Option<&[u8]>,
        trace: Option<&mut Vec<Traced>>,
    ) -> Outcome {
        let Some(protocol) = self.0.branches.get(branch) else {
            return Outcome::Unknown;
        };
        let unpacked;
        let data = if protocol.guard.is_plain() {
            data
        } else {
            match protocol.guard.data(data) {
                Some(bytes) => {
                    unpacked = bytes;
                    &unpacked[..]
                }
                None => return refused("its bytes can't be unpacked"),
            }
        };
        self.whole(branch, data, request, trace)
    }

    /// What unpacked data mean: a frame's, or those of several that were put together.
    fn whole(
        &self,
        branch: usize,
        data: &[u8],
        request: Option<&[u8]>,
        trace: Option<&mut Vec<Traced>>,
    ) -> Outcome {
        let kinds = self
            .0
            .branches
            .get(branch)
            .map_or(&[][..], |protocol| &protocol.kinds);
        let Some(kind) = kinds.iter().find(|kind| kind.fits(data, request)) else {
            return Outcome::Unknown;
        };
        let values = kind.laid_out(data, request);
        kind.read(values.as_deref().unwrap_or(data), trace)
    }

    /// How frames of this branch are put together, if they are parts of something.
    fn joint(&self, branch: usize) -> Option<&Joint> {
        self.0.branches.get(branch)?.joint.as_ref()
    }

    /// The profile with other keys, where its examples have such.
    fn keyed(&self, keys: &Keys) -> Option<Profile> {
        let with = |config: &Config| Config {
            keys: keys.clone(),
            ..config.clone()
        };
        let configs: Vec<Config> = self.0.sources.iter().map(with).collect();
        Profile::several(&configs.iter().collect::<Vec<_>>(), self.0.char_time).ok()
    }

    /// The command of this name.
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.0.commands.iter().find(|command| command.name() == name)
    }

    /// What is asked in place at this path: `poll[0]`, `session.step[1]`.
    pub(crate) fn ask(&self, path: &str) -> Option<&Command> {
        self.0.asks.iter().find(|ask| ask.name() == path)
    }

    /// Whether a frame's data, read as this outcome, say that they are of the device of this address; `None` where
    /// they don't say whose they are.
    pub(crate) fn is_of(
        &self,
        branch: usize,
        data: &[u8],
        outcome: &Outcome,
        address: &asked::Address,
    ) -> Option<bool> {
        let whose = self.0.whose.as_ref()?;
        whose.is_of(self.unpacked(branch, data).as_deref()?, outcome, address)
    }

    /// Every command.
    pub fn commands(&self) -> &[Command] {
        &self.0.commands
    }

    /// The shapes of all records that it gives, in the order of the kinds.
    pub fn shapes(&self) -> impl Iterator<Item = &Arc<Shape>> {
        self.0
            .branches
            .iter()
            .flat_map(|branch| branch.kinds.iter().map(|kind| &kind.layout.shape))
    }

    /// Whether frames may hold values that only they name.
    pub fn is_open(&self) -> bool {
        self.0
            .branches
            .iter()
            .any(|branch| branch.kinds.iter().any(|kind| kind.layout.collect))
    }

    /// The first branch that knows a frame with this data, where it isn't told from which one it came.
    pub fn branch_of(&self, data: &[u8]) -> usize {
        let known = |branch: &usize| {
            !matches!(
                self.read(*branch, data, None),
                Outcome::Unknown | Outcome::Refused(_)
            )
        };
        (0..self.0.branches.len()).find(known).unwrap_or(0)
    }

    /// The names of all kinds of frame, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0
            .branches
            .iter()
            .flat_map(|branch| branch.kinds.iter().map(|kind| &kind.name))
    }

    fn gathers(&self) -> Option<&config::Gather> {
        self.0.gather.as_ref()
    }
}

fn enciphered(steps: &[Unpack]) -> bool {
    steps.iter().any(|step| matches!(step, Unpack::Decipher(_)))
}

/// The bytes of an example as they come from the line; `None` for a command, which goes there.
pub(crate) fn example_wire(example: &config::Example) -> Option<Vec<u8>> {
    if example.command.is_some() {
        return None;
    }
    example::wire(example).ok()
}

/// Whether frames of a kind answer this request; `None` where the kind doesn't say.
pub(crate) fn answers(kind: &Kind, request: &[u8]) -> Option<bool> {
    let test = Test::new(kind.when.request.as_deref()?).ok()?;
    Some(test.fits(request, None))
}

/// Hexadecimal digits as bytes; blanks are ignored.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    example::bytes(text).ok()
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused(field::Fault {
        field: String::new(),
        at: None,
        why: why.to_owned(),
    })
}

impl Compiled {
    fn fits(&self, data: &[u8], request: Option<&[u8]>) -> bool {
        self.test.fits(data, request) && self.modbus.is_none_or(|said| said.fits(request, data))
    }

    /// The data as its fields count them.
    fn laid_out(&self, data: &[u8], request: Option<&[u8]>) -> Option<Vec<u8>> {
        match self.modbus? {
            Said::Read(_) => Answer::of(request?, data)?.laid_out(),
            Said::Done | Said::Refused | Said::Any => None,
        }
    }

    fn read(&self, data: &[u8], trace: Option<&mut Vec<Traced>>) -> Outcome {
        if self.means == Means::Ignore {
            return Outcome::Ignored(self.name.clone());
        }
        let unpacked;
        let data = if self.unpack.is_empty() {
            data
        } else {
            match field::unpack::undo(&self.unpack, data.into()) {
                Some(bytes) => {
                    unpacked = bytes;
                    &unpacked[..]
                }
                None if enciphered(&self.unpack) => {
                    return refused("it can't be deciphered: are `keys` those of this device?");
                }
                None => return refused("its bytes can't be unpacked"),
            }
        };
        match Run::new(trace).frame(&self.layout, data) {
            Err(fault) => Outcome::Refused(fault),
            Ok(record) => match self.means {
                Means::Error => Outcome::Error(record),
                Means::Ack => Outcome::Ack(record),
                Means::NoData => Outcome::NoData(record),
                Means::Values | Means::Ignore => Outcome::Values(record),
            },
        }
    }
}

/// Compiles one profile: a protocol of its own, and one more for each kind that is cut in another way.
fn compile(
    config: &Config,
    char_time: Duration,
    protocols: &mut Vec<(Framing, Protocol)>,
    mistakes: &mut Vec<Mistake>,
) {
    let mut wrong = |path: String, what: String| mistakes.push(Mistake { path, what });
    let frame = config.frame.build(char_time);
    let framing = frame
        .map_err(|error| wrong("frame".into(), error.to_string()))
        .ok();
    let guard = Guard::new(
        &config.check,
        &config.forbid,
        &config.unpack.keyed(&config.keys),
        &config.data_check,
    );
    let guard = guard.map_err(|(inner, number, error)| {
        let key = if inner { "data-check" } else { "check" };
        let several = if inner {
            config.data_check.0.len()
        } else {
            config.check.0.len()
        } > 1;
        let path = if several {
            format!("{key}[{number}]")
        } else {
            key.to_owned()
        };
        wrong(path, error.to_string());
    });
    let single = !config.fields.is_empty() || config.decode.is_some();
    if single && !config.kind.is_empty() {
        wrong("fields".into(), "`fields` and `decode` at the top are for a device with one kind of frame: put them into a `[[kind]]`".into());
    }
    let one;
    let kinds = match config.kind.is_empty() {
        true => {
            one = [Kind {
                name: "frame".into(),
                decode: config.decode.clone().unwrap_or_default(),
                fields: config.fields.clone(),
                require: config.require.clone(),
                ..Kind::default()
            }];
            &one[..]
        }
        false => &config.kind[..],
    };
    for (n, kind) in kinds.iter().enumerate() {
        if kind.name.is_empty() {
            wrong(format!("kind[{n}]"), "`name` is missing".into());
        }
        if kind.frame.is_none() && !kind.check.0.is_empty() {
            wrong(
                format!("kind[{n}].check"),
                "a kind has a check of its own only with a `frame` of its own".into(),
            );
        }
    }
    if let Some(gather) = &config.gather {
        let known = |name: &String| kinds.iter().any(|kind| kind.name == *name);
        for name in gather.kinds.iter().chain(&gather.needs).chain([&gather.until]) {
            if !known(name) {
                wrong("gather".into(), format!("there is no kind `{name}`"));
            }
        }
        if !gather.kinds.contains(&gather.until) {
            wrong("gather.until".into(), "it must be one of `kinds`".into());
        }
    }
    let order = config.order.clone().unwrap_or(Order::Big);
    let mut main = Vec::new();
    let mut others = Vec::new();
    for (n, kind) in kinds.iter().enumerate() {
        let path = if config.kind.is_empty() {
            String::new()
        } else {
            format!("kind[{n}]")
        };
        let compiled = compile_kind(kind, &order, &config.keys, &path, mistakes);
        match &kind.frame {
            None => main.extend(compiled),
            Some(frame) => {
                let built = frame.build(char_time).map_err(|error| error.to_string());
                let guard = Guard::new(
                    &kind.check,
                    &config::Forbid::default(),
                    &[],
                    &config::Checks::default(),
                );
                let guard = guard.map_err(|(_, _, error)| error.to_string());
                match (built, guard, compiled) {
                    (Ok(framing), Ok(guard), Some(compiled)) => others.push((
                        framing,
                        Protocol {
                            guard: Arc::new(guard),
                            kinds: vec![compiled],
                            joint: None,
                        },
                    )),
                    (built, guard, _) => {
                        for (key, error) in [("frame", built.err()), ("check", guard.err())] {
                            mistakes.extend(error.map(|what| Mistake {
                                path: format!("{path}.{key}"),
                                what,
                            }));
                        }
                    }
                }
            }
        }
    }
    if let (Some(framing), Ok(guard)) = (framing, guard) {
        let guard = Arc::new(guard);
        let joint = config.join.as_ref().and_then(|join| Joint::new(join, mistakes));
        let main = (
            framing,
            Protocol {
                guard,
                kinds: main,
                joint,
            },
        );
        if !main.1.kinds.is_empty() || others.is_empty() {
            protocols.push(main);
        }
    }
    protocols.extend(others);
}

fn compile_kind(
    kind: &Kind,
    order: &Order,
    keys: &Keys,
    path: &str,
    mistakes: &mut Vec<Mistake>,
) -> Option<Compiled> {
    let test = match Test::new(&kind.when) {
        Ok(test) => test,
        Err((key, what)) => {
            let path = format!("{path}.when.{key}");
            mistakes.push(Mistake { path, what });
            return None;
        }
    };
    let layout = plan::compile(
        &Source {
            kind: &kind.name,
            decode: &kind.decode,
            order: kind.order.as_ref().unwrap_or(order),
            collect: kind.collect,
            fields: &kind.fields,
            require: &kind.require,
            stop: None,
            path: path.to_owned(),
            fields_key: "fields",
            keys,
        },
        mistakes,
    );
    Some(Compiled {
        name: kind.name.as_str().into(),
        test,
        means: kind.means,
        unpack: kind.unpack.keyed(keys),
        layout,
        modbus: kind.modbus,
    })
}
