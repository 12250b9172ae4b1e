//! Who turns an RS-485 line: one pair of wires carries both ways, so the driver of whoever sends is on while it sends
//! and off before the other answers.

use super::error::OpenError;
use super::ioctl::{self, Rs485 as Kernel};
use super::open::Note;
use crate::span::Span;
use rustix::fd::AsFd;
use rustix::io::Errno;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No transceiver needs more.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(1);

/// Which way an RS-485 line carries, and who turns it: `[port.rs485]`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rs485 {
    /// Who turns the line's driver on for what is sent, and off behind it: `automatic` (the adapter by itself; nothing
    /// is done), `kernel` (the port's driver, by RTS: the most exact, where the driver knows how), `rts` (mqttyd, by
    /// RTS) or `{ gpio = { line = 17 } }` (mqttyd, by a GPIO line). Default `automatic`, as with nearly all USB adapters.
    pub direction: Direction,
    /// Whether RTS is asserted while sending and released while receiving, with `kernel` and `rts`. Default true. When
    /// to change: where the transceiver is wired the other way round.
    pub rts_on_send: Option<bool>,
    /// How long the driver is on before the first byte, at most 1 s. The kernel counts in whole milliseconds. Default
    /// none. When to change: where the first byte is lost or garbled.
    pub delay_before: Span,
    /// How long the driver stays on behind the last byte, at most 1 s; shorter than the quickest device takes to answer.
    /// Default none.
    pub delay_after: Span,
    /// Whether the receiver stays on while sending, so that what is sent comes back: with `kernel` it is asked for, else
    /// it is as the transceiver is wired. On a bus the echo is then expected (true), or never looked for (false),
    /// whatever the profiles say. Default: off with `kernel`, and found out by looking.
    pub rx_during_tx: Option<bool>,
}

/// Who turns an RS-485 line.
#[derive(Debug, Clone, PartialEq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The adapter by itself.
    #[default]
    Automatic,
    /// The port's driver in the kernel, by RTS.
    Kernel,
    /// mqttyd, by RTS.
    Rts,
    /// mqttyd, by a GPIO line.
    Gpio(Gpio),
}

/// A GPIO line that turns the driver on.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gpio {
    /// The chip's device node. Default `/dev/gpiochip0`; of a line that is given by its name, all chips are looked
    /// through.
    #[serde(default)]
    pub chip: Option<PathBuf>,
    /// The line: its number on the chip, or its name as `gpioinfo` shows it, such as `"GPIO17"`.
    pub line: GpioLine,
    /// Whether the driver is on while the line is low. Default false.
    #[serde(default)]
    pub active_low: bool,
}

/// A line of a GPIO chip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum GpioLine {
    /// By its number on the chip.
    Number(u32),
    /// By its name.
    Name(String),
}

impl Rs485 {
    /// Whether RTS is asserted while sending.
    pub(super) fn asserts(&self) -> bool {
        self.rts_on_send.unwrap_or(true)
    }

    /// Whether RTS is moved by it.
    pub(super) fn has_rts(&self) -> bool {
        matches!(self.direction, Direction::Kernel | Direction::Rts)
    }

    /// How long the line is ours before what is sent and behind it.
    pub fn delays(&self) -> (Duration, Duration) {
        (self.delay_before.0, self.delay_after.0)
    }

    /// What the kernel is asked for; what this knows nothing of stays as it is.
    fn wanted(&self, before: &Kernel) -> Kernel {
        let mut wanted = *before;
        let (on_send, after_send) = (self.asserts(), !self.asserts());
        for (flag, set) in [
            (Kernel::ENABLED, true),
            (Kernel::RTS_ON_SEND, on_send),
            (Kernel::RTS_AFTER_SEND, after_send),
            (Kernel::RX_DURING_TX, self.rx_during_tx.unwrap_or(false)),
        ] {
            wanted.flags = (wanted.flags & !flag) | if set { flag } else { 0 };
        }
        wanted.before = milliseconds(self.delay_before.0);
        wanted.after = milliseconds(self.delay_after.0);
        wanted
    }

    /// What the kernel has made of it, where that is something else.
    fn differences(&self, wanted: &Kernel, got: &Kernel) -> Vec<Note> {
        let mut notes = Vec::new();
        let mut differs = |name: &'static str, asked: String, got: String| {
            if asked != got {
                notes.push(Note::Kernel { name, asked, got });
            }
        };
        let time = |ms: u32| format!("\"{}\"", Span::millis(ms.into()));
        differs(
            "rs485.delay-before",
            format!("\"{}\"", self.delay_before),
            time(got.before),
        );
        differs(
            "rs485.delay-after",
            format!("\"{}\"", self.delay_after),
            time(got.after),
        );
        // Of the two flags a driver may keep one alone: what counts is the level while sending.
        let on_send = |kernel: &Kernel| kernel.has(Kernel::RTS_ON_SEND).to_string();
        differs("rs485.rts-on-send", on_send(wanted), on_send(got));
        let receives = |kernel: &Kernel| kernel.has(Kernel::RX_DURING_TX).to_string();
        differs("rs485.rx-during-tx", receives(wanted), receives(got));
        notes
    }

    /// Has the kernel turn the line. Gives what was set before, and whether the receiver is on while sending.
    pub(super) fn ask_kernel(
        &self,
        path: &Path,
        line: &impl KernelLine,
        notes: &mut Vec<Note>,
    ) -> Result<(Kernel, bool), OpenError> {
        let refused = |why: &str| OpenError::Unsupported {
            path: path.to_owned(),
            setting: format!(
                "`rs485.direction = \"kernel\"`: {why}; take \"rts\" or {{ gpio = {{ ... }} }}, or \"automatic\" where \
                 the adapter turns the line by itself"
            ),
        };
        let failed = |errno: Errno| match errno {
            Errno::NOTTY | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => {
                refused(&format!("its driver doesn't know RS-485 (TIOCSRS485: {errno})"))
            }
            errno => OpenError::Io {
                path: path.to_owned(),
                step: "set the RS-485 direction of",
                source: errno.into(),
            },
        };
        let before = line.get().map_err(failed)?;
        let wanted = self.wanted(&before);
        line.set(&wanted).map_err(failed)?;
        // Drivers put in what they can do, and say yes.
        let got = line.get().map_err(failed)?;
        if !got.has(Kernel::ENABLED) {
            return Err(refused("its driver says yes and leaves it off"));
        }
        notes.extend(self.differences(&wanted, &got));
        Ok((before, got.has(Kernel::RX_DURING_TX)))
    }
}

/// What the kernel is asked with: the port's own driver, or a double.
pub(super) trait KernelLine {
    fn get(&self) -> rustix::io::Result<Kernel>;
    fn set(&self, to: &Kernel) -> rustix::io::Result<()>;
}

impl<F: AsFd> KernelLine for F {
    fn get(&self) -> rustix::io::Result<Kernel> {
        ioctl::rs485(self)
    }
    fn set(&self, to: &Kernel) -> rustix::io::Result<()> {
        ioctl::set_rs485(self, to)
    }
}

/// As the kernel counts (`delay_rts_before_send` is in milliseconds): what is less becomes one.
fn milliseconds(delay: Duration) -> u32 {
    u32::try_from(delay.as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Automatic => "automatic",
            Direction::Kernel => "kernel",
            Direction::Rts => "rts",
            Direction::Gpio(_) => "gpio",
        })
    }
}

impl fmt::Display for GpioLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpioLine::Number(number) => number.fmt(f),
            GpioLine::Name(name) => write!(f, "\"{name}\""),
        }
    }
}

impl<'de> Deserialize<'de> for GpioLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = GpioLine;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line of a GPIO chip: its number, such as 17, or its name, such as \"GPIO17\"")
            }
            fn visit_i64<E: de::Error>(self, n: i64) -> Result<GpioLine, E> {
                let number = u32::try_from(n).map(GpioLine::Number);
                number.map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<GpioLine, E> {
                let number = u32::try_from(n).map(GpioLine::Number);
                number.map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<GpioLine, E> {
                match name {
                    "" => Err(E::invalid_value(de::Unexpected::Str(name), &self)),
                    name => Ok(GpioLine::Name(name.to_owned())),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for GpioLine {
    fn schema_name() -> Cow<'static, str> {
        "GpioLine".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A line of a GPIO chip: its number, or its name.",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "minLength": 1 }],
            "examples": [17, "GPIO17"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A driver: what it makes of what it is asked for, or why it refuses.
    struct Driver {
        state: RefCell<Kernel>,
        makes: fn(Kernel) -> Result<Kernel, Errno>,
    }

    impl KernelLine for Driver {
        fn get(&self) -> rustix::io::Result<Kernel> {
            (self.makes)(*self.state.borrow()).map(|_| *self.state.borrow())
        }
        fn set(&self, to: &Kernel) -> rustix::io::Result<()> {
            *self.state.borrow_mut() = (self.makes)(*to)?;
            Ok(())
        }
    }

    fn read(text: &str) -> Rs485 {
        toml::from_str(text).unwrap()
    }

    type Asked = (Kernel, Result<(Kernel, bool), String>, Vec<String>);

    /// What the driver was set to, what came of it, and what is noted.
    fn ask(text: &str, before: Kernel, makes: fn(Kernel) -> Result<Kernel, Errno>) -> Asked {
        let state = RefCell::new(before);
        let (driver, mut notes) = (Driver { state, makes }, Vec::new());
        let asked = read(text).ask_kernel(Path::new("/dev/ttyAMA1"), &driver, &mut notes);
        let notes = notes.iter().map(Note::to_string).collect();
        (
            *driver.state.borrow(),
            asked.map_err(|error| error.to_string()),
            notes,
        )
    }

    #[test]
    fn everything_can_be_said() {
        let rs485 = read(
            "direction = { gpio = { chip = '/dev/gpiochip1', line = 17, active-low = true } }
             delay-before = '100us'
             delay-after = '2ms'
             rx-during-tx = true",
        );
        let Direction::Gpio(gpio) = &rs485.direction else {
            panic!("{rs485:?}")
        };
        assert_eq!((&gpio.line, gpio.active_low), (&GpioLine::Number(17), true));
        assert_eq!(
            rs485.delays(),
            (Duration::from_micros(100), Duration::from_millis(2))
        );
        let named = read("direction = { gpio = { line = 'RS485_DE' } }");
        assert_eq!(
            named.direction,
            Direction::Gpio(Gpio {
                chip: None,
                line: GpioLine::Name("RS485_DE".into()),
                active_low: false
            })
        );
        assert_eq!(read("direction = 'kernel'").direction, Direction::Kernel);
        assert_eq!(read("").direction, Direction::Automatic);
        let wrong = toml::from_str::<Rs485>("direction = { gpio = { line = -1 } }").unwrap_err();
        assert!(wrong.message().contains("a line of a GPIO chip"), "{wrong}");
    }

    #[test]
    fn the_kernel_is_asked_and_what_it_knew_before_is_told() {
        let before = Kernel {
            flags: Kernel::RX_DURING_TX | 1 << 5,
            after: 7,
            ..Kernel::default()
        };
        let (set, asked, notes) = ask("direction = 'kernel'\ndelay-before = '2ms'", before, Ok);
        // Bit 5 is the bus terminator, which is none of ours.
        assert_eq!(set.flags, Kernel::ENABLED | Kernel::RTS_ON_SEND | 1 << 5);
        assert_eq!((set.before, set.after), (2, 0));
        assert_eq!(asked, Ok((before, false)));
        assert_eq!(notes, [""; 0]);

        let (set, asked, _) = ask("rts-on-send = false\nrx-during-tx = true", Kernel::default(), Ok);
        let flags = Kernel::ENABLED | Kernel::RTS_AFTER_SEND | Kernel::RX_DURING_TX;
        assert_eq!(set.flags, flags);
        assert!(asked.unwrap().1);
    }

    #[test]
    fn what_the_driver_makes_something_else_of_is_named() {
        // As serial_core bounds the delays (RS485_MAX_RTS_DELAY), and amba-pl011 wants one flag of the two.
        let makes = |asked: Kernel| {
            Ok(Kernel {
                flags: asked.flags & !Kernel::RX_DURING_TX,
                before: asked.before.min(100),
                ..asked
            })
        };
        let text = "delay-before = '250ms'\ndelay-after = '1500us'\nrx-during-tx = true";
        let (_, asked, notes) = ask(text, Kernel::default(), makes);
        assert_eq!(asked.map(|(_, receives)| receives), Ok(false));
        assert_eq!(
            notes,
            [
                "the kernel made \"100ms\" of `rs485.delay-before = \"250ms\"`",
                "the kernel made \"2ms\" of `rs485.delay-after = \"1ms 500us\"`",
                "the kernel made false of `rs485.rx-during-tx = true`",
            ]
        );
    }

    #[test]
    fn a_driver_that_cannot_is_told_with_the_other_ways() {
        for (makes, why) in [
            (
                (|_| Err(Errno::NOTTY)) as fn(Kernel) -> Result<Kernel, Errno>,
                "TIOCSRS485",
            ),
            (
                |asked| {
                    if asked.flags == 0 {
                        Ok(asked)
                    } else {
                        Err(Errno::INVAL)
                    }
                },
                "TIOCSRS485",
            ),
            (|_| Ok(Kernel::default()), "leaves it off"),
        ] {
            let (_, asked, _) = ask("", Kernel::default(), makes);
            let error = asked.unwrap_err();
            let says = [
                "/dev/ttyAMA1 can't do `rs485.direction = \"kernel\"`",
                why,
                "\"rts\"",
                "gpio",
                "\"automatic\"",
            ];
            assert!(says.iter().all(|word| error.contains(word)), "{error}");
        }
        let (_, asked, _) = ask("", Kernel::default(), |_| Err(Errno::IO));
        assert_eq!(
            asked.unwrap_err(),
            "failed to set the RS-485 direction of /dev/ttyAMA1"
        );
    }
}
