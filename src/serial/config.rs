//! How a serial port is named and set, as a person writes it.

use super::rs485::{DELAY_MAX, Direction, Rs485};
use super::words::{Baud, DataBits, FlowControl, NinthBit, OnBreak, Parity, StopBits};
use crate::read_any::read_any;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, de};
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A serial port: which one, and how its line is set. What each means to a person, and its defaults, stands where
/// they write it: at `[[port]]`, in `port::Config`.
///
/// The port is named either by `path` or by `usb`, never by both.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(
    test,
    derive(Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, default)
)]
pub struct Config {
    /// The device node, or a link to it.
    pub path: Option<PathBuf>,
    /// The USB adapter with these properties; exactly one port of the machine must match.
    pub usb: Option<Usb>,
    /// Speed of the line.
    pub baud: Baud,
    /// Data bits per character.
    pub data_bits: DataBits,
    /// The parity bit.
    pub parity: Parity,
    /// Stop bits.
    pub stop_bits: StopBits,
    /// Flow control.
    pub flow_control: FlowControl,
    /// Level of DTR after opening: true = asserted. `None`: as the kernel leaves it, which is asserted.
    pub dtr: Option<bool>,
    /// Level of RTS after opening, likewise.
    pub rts: Option<bool>,
    /// Whether to ask the driver for low latency, where it knows of it.
    pub low_latency: bool,
    /// Who turns an RS-485 line.
    pub rs485: Rs485,
    /// What the ninth bit of each character means, where there is one.
    pub ninth_bit: Option<NinthBit>,
    /// What becomes of a break on the line.
    pub on_break: OnBreak,
}

impl Config {
    /// The port at `path`, at 9600 baud, 8N1.
    pub fn at(path: impl Into<PathBuf>) -> Config {
        Config {
            path: Some(path.into()),
            ..Config::default()
        }
    }

    /// What no single value shows: whether the port is named, and named once.
    pub fn validate(&self) -> Result<(), Fault> {
        match (&self.path, &self.usb) {
            (None, None) => return Err(Fault::Nameless),
            (Some(_), Some(_)) => return Err(Fault::NamedTwice),
            (Some(path), None) if !path.is_absolute() => return Err(Fault::Relative(path.clone())),
            (None, Some(usb)) if *usb == Usb::default() => return Err(Fault::AnyUsb),
            _ => {}
        }
        if self.rts.is_some() && self.flow_control == FlowControl::RtsCts {
            return Err(Fault::TwoMastersOfRts);
        }
        self.validate_rs485()?;
        if self.ninth_bit.is_some() && self.parity != Parity::None {
            return Err(Fault::TwoNinthBits);
        }
        if self.ninth_bit.is_some() && self.on_break != OnBreak::Ignore {
            return Err(Fault::BreakOrAddress);
        }
        Ok(())
    }

    fn validate_rs485(&self) -> Result<(), Fault> {
        let rs485 = &self.rs485;
        if rs485.has_rts() && self.flow_control == FlowControl::RtsCts {
            return Err(Fault::DirectionAndFlow);
        }
        if rs485.has_rts() && self.rts.is_some() {
            return Err(Fault::DirectionAndRts);
        }
        if rs485.rts_on_send.is_some() && !rs485.has_rts() {
            return Err(Fault::NoRtsOnSend);
        }
        for (key, delay) in [
            ("delay-before", rs485.delay_before.0),
            ("delay-after", rs485.delay_after.0),
        ] {
            if !delay.is_zero() && rs485.direction == Direction::Automatic {
                return Err(Fault::NothingDelayed(key));
            }
            if delay > DELAY_MAX {
                return Err(Fault::LongDelay(key));
            }
        }
        Ok(())
    }

    /// How the parity bit is set while receiving: with a ninth bit that tells addresses from data it is 0 for data.
    pub(super) fn resting_parity(&self) -> Parity {
        match self.ninth_bit {
            Some(_) => Parity::Space,
            None => self.parity,
        }
    }

    /// How long one character is on the line: start bit, data, parity and stop bits.
    pub fn char_time(&self) -> Duration {
        let data = u64::from(self.data_bits.count());
        let parity = u64::from(self.resting_parity() != Parity::None);
        let halves = match (self.stop_bits, self.data_bits) {
            (StopBits::One, _) => 2,
            (StopBits::Two, DataBits::Five) => 3,
            (StopBits::Two, _) => 4,
        };
        let half_bits = 2 * (1 + data + parity) + halves;
        Duration::from_nanos((half_bits * 500_000_000).div_ceil(u64::from(self.baud.get())))
    }
}

impl Default for Config {
    /// 9600 baud, 8N1, and no port named yet.
    fn default() -> Config {
        Config {
            path: None,
            usb: None,
            baud: Baud::default(),
            data_bits: DataBits::default(),
            parity: Parity::default(),
            stop_bits: StopBits::default(),
            flow_control: FlowControl::default(),
            dtr: None,
            rts: None,
            low_latency: true,
            rs485: Rs485::default(),
            ninth_bit: None,
            on_break: OnBreak::default(),
        }
    }
}

/// What is wrong with a [`Config`] as a whole.
#[derive(thiserror::Error, Debug, Clone, PartialEq)]
pub enum Fault {
    /// Neither `path` nor `usb`.
    #[error(
        "which serial port is meant? Give its `path`, or a `usb` match (`mqttyd ports` lists what is there)"
    )]
    Nameless,
    /// Both `path` and `usb`.
    #[error("`path` and `usb` both name the port: keep one of them")]
    NamedTwice,
    /// A path that depends on where mqttyd is started.
    #[error("the path `{}` is relative: write it from the root, such as /dev/ttyUSB0", .0.display())]
    Relative(PathBuf),
    /// An empty USB match.
    #[error("`usb` names nothing: give at least one of `vid`, `pid`, `serial` and `interface`")]
    AnyUsb,
    /// `rts` beside `flow-control = "rts-cts"`.
    #[error("`rts` can't be set by hand while `flow-control = \"rts-cts\"` moves it: remove one of them")]
    TwoMastersOfRts,
    /// `rs485.direction` by RTS beside `flow-control = "rts-cts"`.
    #[error("`rs485.direction` and `flow-control = \"rts-cts\"` both move RTS: keep one of them")]
    DirectionAndFlow,
    /// `rs485.direction` by RTS beside `rts`.
    #[error("`rts` can't be set once and for all while `rs485.direction` moves it: remove one of them")]
    DirectionAndRts,
    /// `rs485.rts-on-send` where nothing moves RTS.
    #[error("`rs485.rts-on-send` says nothing: `rs485.direction` is neither \"kernel\" nor \"rts\"")]
    NoRtsOnSend,
    /// A delay where nothing is turned.
    #[error(
        "`rs485.{0}` delays nothing: with `direction = \"automatic\"` the adapter turns the line by itself"
    )]
    NothingDelayed(&'static str),
    /// A delay that nothing needs.
    #[error("`rs485.{0}` is longer than 1 s")]
    LongDelay(&'static str),
    /// `parity` beside `ninth-bit`.
    #[error("`parity` and `ninth-bit` are the same bit: remove one of them")]
    TwoNinthBits,
    /// `on-break` beside `ninth-bit`.
    #[error("with `ninth-bit` a break can't be told from an address of 0: remove `on-break`")]
    BreakOrAddress,
}

/// A USB adapter by what it says of itself; what is not given matches anything.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Usb {
    /// Vendor id: `0x0403`, or `"0403"` as `lsusb` shows it.
    #[serde(default)]
    pub vid: Option<UsbId>,
    /// Product id: `0x6001`, or `"6001"`.
    #[serde(default)]
    pub pid: Option<UsbId>,
    /// Serial number, exactly as the adapter gives it.
    #[serde(default)]
    pub serial: Option<String>,
    /// Number of the USB interface, for adapters that have several ports: 0 is the first.
    #[serde(default)]
    pub interface: Option<u8>,
}

impl fmt::Display for Usb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        let mut part = |f: &mut fmt::Formatter<'_>, name: &str, value: Option<&dyn fmt::Display>| {
            let Some(value) = value else { return Ok(()) };
            let written = write!(f, "{gap}{name} {value}");
            gap = ", ";
            written
        };
        part(f, "vid", self.vid.as_ref().map(|v| v as _))?;
        part(f, "pid", self.pid.as_ref().map(|v| v as _))?;
        part(f, "serial", self.serial.as_ref().map(|v| v as _))?;
        part(f, "interface", self.interface.as_ref().map(|v| v as _))
    }
}

/// A vendor's or product's number; hexadecimal wherever a person sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UsbId(pub u16);

impl UsbId {
    /// Reads four hexadecimal digits, as sysfs and `lsusb` write them.
    pub fn parse(text: &str) -> Option<UsbId> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let sound = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        sound.then(|| u16::from_str_radix(digits, 16).ok().map(UsbId))?
    }
}

impl fmt::Display for UsbId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

read_any!(
    UsbId,
    "a USB id of four hexadecimal digits, such as 0x0403 or \"0403\"",
    {
        fn visit_i64<E: de::Error>(self, n: i64) -> Result<UsbId, E> {
            u16::try_from(n)
                .map(UsbId)
                .map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))
        }
        fn visit_u64<E: de::Error>(self, n: u64) -> Result<UsbId, E> {
            u16::try_from(n)
                .map(UsbId)
                .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<UsbId, E> {
            UsbId::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
);

impl JsonSchema for UsbId {
    fn schema_name() -> Cow<'static, str> {
        "UsbId".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A USB id: a number such as 0x0403, or its hexadecimal digits as a string.",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65535 },
                { "type": "string", "pattern": "^(0x)?[0-9a-fA-F]{1,4}$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    fn fault(text: &str) -> String {
        toml::from_str::<Config>(text).unwrap_err().message().to_owned()
    }

    #[test]
    fn one_line_is_enough() {
        let config = read("path = '/dev/ttyUSB0'");
        assert_eq!(config, Config::at("/dev/ttyUSB0"));
        assert_eq!(config.baud.get(), 9600);
        assert!(config.low_latency);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn everything_can_be_said() {
        let config = read(
            "usb = { vid = 0x0403, pid = '6001', serial = 'A1', interface = 1 }
             baud = 250000
             data-bits = 7
             parity = 'mark'
             stop-bits = 2
             flow-control = 'xon-xoff'
             dtr = false
             rts = true
             low-latency = false",
        );
        assert_eq!(
            config.usb.as_ref().unwrap().to_string(),
            "vid 0403, pid 6001, serial A1, interface 1"
        );
        assert_eq!(config.baud.get(), 250_000);
        assert_eq!(config.data_bits, DataBits::Seven);
        assert_eq!(config.stop_bits, StopBits::Two);
        assert_eq!((config.dtr, config.rts), (Some(false), Some(true)));
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn says_what_would_be_right() {
        assert_eq!(
            fault("baud = 0"),
            "invalid value: integer `0`, expected a speed in baud of 1 or more, such as 9600"
        );
        assert_eq!(
            fault("baud = '9600'"),
            "invalid type: string \"9600\", expected a speed in baud of 1 or more, such as 9600"
        );
        assert_eq!(
            fault("data-bits = 9"),
            "invalid value: integer `9`, expected 5, 6, 7 or 8 data bits"
        );
        assert_eq!(
            fault("stop-bits = 1.5"),
            "invalid type: floating point `1.5`, expected 1 or 2 stop bits"
        );
        assert_eq!(
            fault("parity = 'evne'"),
            "unknown variant `evne`, expected one of `none`, `even`, `odd`, `mark`, `space`"
        );
        assert_eq!(
            fault("usb = { vid = 'ftdi' }"),
            "invalid value: string \"ftdi\", expected a USB id of four hexadecimal digits, such as 0x0403 or \"0403\""
        );
        assert!(fault("usb = { vid = 70000 }").contains("integer `70000`"));
    }

    #[test]
    fn a_port_is_named_once() {
        let fault = |text| read(text).validate().unwrap_err();
        assert_eq!(fault("baud = 9600"), Fault::Nameless);
        assert_eq!(fault("path = '/dev/ttyS0'\nusb = { vid = 1 }"), Fault::NamedTwice);
        assert_eq!(fault("path = 'ttyS0'"), Fault::Relative("ttyS0".into()));
        assert_eq!(fault("usb = {}"), Fault::AnyUsb);
        assert_eq!(
            fault("path = '/dev/ttyS0'\nrts = true\nflow-control = 'rts-cts'"),
            Fault::TwoMastersOfRts
        );
    }

    #[test]
    fn nothing_has_two_masters() {
        let fault = |text: &str| read(&format!("path = '/dev/ttyS0'\n{text}")).validate().err();
        for direction in ["'kernel'", "'rts'"] {
            let moved = |beside: &str| fault(&format!("{beside}\n[rs485]\ndirection = {direction}"));
            assert_eq!(moved("flow-control = 'rts-cts'"), Some(Fault::DirectionAndFlow));
            assert_eq!(moved("rts = false"), Some(Fault::DirectionAndRts));
            assert_eq!(moved("dtr = false\nflow-control = 'xon-xoff'"), None);
        }
        let gpio = "direction = { gpio = { line = 3 } }";
        let rs485 = |text: &str| fault(&format!("rts = true\n[rs485]\n{text}"));
        assert_eq!(rs485(gpio), None);
        assert_eq!(
            rs485(&format!("{gpio}\nrts-on-send = true")),
            Some(Fault::NoRtsOnSend)
        );
        assert_eq!(
            rs485("delay-after = '1ms'"),
            Some(Fault::NothingDelayed("delay-after"))
        );
        assert_eq!(
            rs485(&format!("{gpio}\ndelay-before = '2s'")),
            Some(Fault::LongDelay("delay-before"))
        );
        assert_eq!(rs485("rx-during-tx = true"), None, "how the adapter is wired");

        assert_eq!(
            fault("ninth-bit = 'address'\nparity = 'even'"),
            Some(Fault::TwoNinthBits)
        );
        assert_eq!(
            fault("ninth-bit = 'mdb'\non-break = 'count'"),
            Some(Fault::BreakOrAddress)
        );
        assert_eq!(fault("ninth-bit = 'mdb'"), None);
        let bits = read("baud = 1000000\nninth-bit = 'address'").char_time();
        assert_eq!(bits, Duration::from_micros(11));
    }

    #[test]
    fn a_character_takes_its_bits() {
        let micros = |text| read(text).char_time().as_nanos() / 10;
        assert_eq!(micros("baud = 1000000"), 1000);
        assert_eq!(micros("baud = 1000000\nparity = 'odd'\nstop-bits = 2"), 1200);
        assert_eq!(micros("baud = 1000000\ndata-bits = 5\nstop-bits = 2"), 750);
        assert_eq!(read("baud = 9600").char_time().as_nanos(), 1_041_667);
    }
}
