//! Frames that say how long they are.

mod types;

use super::decoder::{Scene, Step};
use super::marker::{Marker, SIZE_MAX, Size, compare};
use super::seek::Lead;
use super::{Damage, EncodeError, Error, Seal, open_behind, within};
use crate::octets::Octets;
use crate::span::Span;
use schemars::JsonSchema;
use serde::Deserialize;
pub use types::{Counts, Digits, Lengths, Order, Plus, Width};

/// The farthest that a length field may stand from the frame's first byte.
const OFFSET_MAX: usize = 255;

/// Frames that say how long they are.
#[derive(Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "LengthFrame")]
pub struct Config {
    /// What a frame begins with, 1 to 16 bytes. Default: nothing; then a lost byte is noticed only by the check
    /// or by silence.
    pub start: Option<Marker>,
    /// Where the length field stands, in bytes from the frame's first. Default: right behind the start
    /// marker. At most 255.
    #[schemars(range(max = OFFSET_MAX))]
    pub offset: Option<usize>,
    /// How many bytes the length field has: 1 to 4. Default 1.
    pub width: Width,
    /// The length field is a number in digits, `"decimal"` or `"hex"`, one to a byte. Default: it is a number in bytes.
    pub digits: Option<Digits>,
    /// Which byte of the length field comes first. Default `"big"`: the one with the highest bits.
    pub order: Order,
    /// Which bits of the field are the length, such as 0x0FFF. Default: all. The lowest of them counts one.
    #[schemars(range(min = 1))]
    pub mask: Option<u32>,
    /// Whether the field is sent with all bits inverted. Default false.
    pub invert: bool,
    /// How long the whole frame is for each value of the field, where that is a type and no length: `{ "0x80..0xbf" = 3,
    /// 0xf1 = 2 }`. A frame begins with none of the others. `counts`, `unit` and `adjust` then mean nothing. Default: the
    /// field is a length.
    pub lengths: Lengths,
    /// What the length counts. Default `"after"`: the bytes behind the field.
    pub counts: Counts,
    /// How many bytes one step of the length stands for. Default 1.
    #[schemars(range(min = 1), extend("default" = 1))]
    pub unit: Option<u32>,
    /// How many bytes a frame has more than the length says (less: negative). Default 0.
    pub adjust: i32,
    /// How many bytes stand before the data, for `counts = "data"`. Default: all up to the length field's end.
    pub header: Option<usize>,
    /// A second length field, whose value is added to the first, as in EnOcean's ESP3. Default none.
    pub plus: Option<Plus>,
    /// What a frame ends with, 1 to 16 bytes, behind the check. It tells a false start from a true one. Default
    /// nothing.
    pub end: Option<Marker>,
    /// Whether the bytes before the data (start marker and length field, or `header`) are taken off it,
    /// after the check. Default false.
    pub strip: bool,
    /// Bytes that may stand between frames and are no noise, such as `[0xfe]`. Default none.
    #[schemars(extend("default" = []))]
    pub ignore: Octets,
    /// The longest frame, in bytes, all included. Default 4096. Set it to what the device sends: a damaged
    /// length that says more is then noticed at once.
    pub max: Size,
    /// A frame whose rest has not come after this silence is dropped. Default `"1s"`; `"0s"` means never.
    #[schemars(extend("default" = "1s"))]
    pub stale: Span,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            start: None,
            offset: None,
            width: Width::default(),
            order: Order::default(),
            digits: None,
            mask: None,
            invert: false,
            lengths: Lengths::default(),
            counts: Counts::default(),
            unit: None,
            adjust: 0,
            header: None,
            plus: None,
            end: None,
            strip: false,
            ignore: Octets::default(),
            max: Size::DEFAULT,
            stale: Span::millis(1000),
        }
    }
}

impl Config {
    pub(super) fn build(&self) -> Result<Method, Error> {
        let start = self.start.as_deref().unwrap_or_default();
        let offset = self.offset.unwrap_or(start.len());
        let fields = [
            Some((offset, self.width)),
            self.plus.as_ref().map(|plus| (plus.offset, plus.width)),
        ];
        let mut known = start.len();
        for (offset, width) in fields.iter().flatten() {
            if *offset < start.len() {
                return Err(Error::new(
                    "the length field cannot stand within the start marker: offset counts from the frame's first byte",
                ));
            }
            if *offset > OFFSET_MAX {
                return Err(Error::new(format!(
                    "an offset is at most {OFFSET_MAX}, not {offset}"
                )));
            }
            if self.mask.is_some_and(|mask| mask & width.bits() == 0) {
                return Err(Error::new("the mask leaves no bit of the length field"));
            }
            known = known.max(offset + width.get());
        }
        let header = self.header.unwrap_or(known);
        if header < known {
            return Err(Error::new(format!(
                "the header has at least {known} bytes, up to the end of the length field"
            )));
        }
        if header > SIZE_MAX {
            return Err(Error::new(format!(
                "a header of {header} bytes is longer than any frame"
            )));
        }
        if start.is_empty() && !self.ignore.is_empty() {
            return Err(Error::new(
                "bytes can be ignored between frames only where a start marker tells them from a frame",
            ));
        }
        if self.unit == Some(0) {
            return Err(Error::new(
                "one step of the length must stand for at least one byte",
            ));
        }
        if self.digits.is_some() && (self.invert || self.mask.is_some() || self.order != Order::Big) {
            return Err(Error::new(
                "a length in digits has neither `mask`, `invert` nor `order`",
            ));
        }
        if !self.lengths.0.is_empty() && self.plus.is_some() {
            return Err(Error::new(
                "`lengths` are for one field: `plus` adds a second one",
            ));
        }
        // Only what is known of the header can be sent.
        let plain = offset == start.len()
            && header == offset + self.width.get()
            && self.plus.is_none()
            && self.lengths.0.is_empty();
        Ok(Method {
            lead: Lead::new(start, b"", &self.ignore)?,
            end: self.end.as_deref().unwrap_or_default().to_vec(),
            offset,
            known,
            header,
            plain,
            config: self.clone(),
        })
    }
}

#[derive(Debug)]
pub(super) struct Method {
    config: Config,
    lead: Lead,
    end: Vec<u8>,
    offset: usize,
    /// So many bytes tell the length.
    known: usize,
    header: usize,
    /// The header is the start marker and the length field, and nothing else.
    plain: bool,
}

impl Method {
    pub(super) fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        let Scene {
            bytes, silent, seal, ..
        } = *scene;
        if let Some(step) = self.lead.seek(bytes, silent) {
            return step;
        }
        // Without marker and check every place could be a start: then silence is the only hold.
        let hold = self.lead.len() > 0 || !self.end.is_empty() || !seal.is_empty() || self.listed();
        let more = || {
            if silent && hold {
                Step::Skip(1, Damage::Stale)
            } else {
                Step::More
            }
        };
        if bytes.len() < self.known {
            return more();
        }
        let len = match self.length(bytes, seal.apart()) {
            Ok(len) => len,
            Err(why) => return Step::Skip(1, why),
        };
        let Some(wire) = bytes.get(..len) else {
            return more();
        };
        let Some(content) = wire.strip_suffix(self.end.as_slice()) else {
            return Step::Skip(1, Damage::End);
        };
        let header = if self.config.strip { self.header } else { 0 };
        match open_behind(seal, content, header) {
            Ok(data) => Step::Frame {
                used: len,
                data,
                scratch: false,
            },
            Err(why) => Step::Skip(1, why),
        }
    }

    /// How long the frame is, by what it says.
    fn length(&self, bytes: &[u8], seal: usize) -> Result<usize, Damage> {
        let said = self.said(bytes).ok_or(Damage::Noise)?;
        let len = match self.listed() {
            true => said,
            false => i64::from(self.unit())
                .saturating_mul(said)
                .saturating_add(self.base(seal)),
        };
        let least = self.header + seal + self.end.len();
        match usize::try_from(len) {
            Ok(len) if len > self.config.max.get() => Err(Damage::TooLong),
            Ok(len) if len >= least => Ok(len),
            // More than an address has room for, on a machine of 32 bits.
            Err(_) if len > 0 => Err(Damage::TooLong),
            _ => Err(Damage::TooShort),
        }
    }

    /// Whether the length stands in a list, and not in the frame.
    fn listed(&self) -> bool {
        !self.config.lengths.0.is_empty()
    }

    /// What the length fields say together, or the length that is listed for it; None: nothing that begins a frame.
    fn said(&self, bytes: &[u8]) -> Option<i64> {
        let steps = self.read(bytes, self.offset, self.config.width)?;
        if self.listed() {
            let mut lengths = self.config.lengths.0.iter();
            let (.., length) =
                lengths.find(|(from, to, _)| (i64::from(*from)..=i64::from(*to)).contains(&steps))?;
            return Some(length.get() as i64);
        }
        match &self.config.plus {
            Some(plus) => Some(steps + self.read(bytes, plus.offset, plus.width)?),
            None => Some(steps),
        }
    }

    /// How long a frame is whose length field says 0.
    fn base(&self, seal: usize) -> i64 {
        let base = match self.config.counts {
            Counts::All => 0,
            Counts::After => self.offset + self.config.width.get(),
            Counts::Data => self.header + seal + self.end.len(),
        };
        base as i64 + i64::from(self.config.adjust)
    }

    fn unit(&self) -> u32 {
        self.config.unit.unwrap_or(1)
    }

    fn mask(&self, width: Width) -> u32 {
        self.config.mask.unwrap_or(u32::MAX) & width.bits()
    }

    /// A length field's value; None: it is no number. The bytes are there.
    fn read(&self, bytes: &[u8], offset: usize, width: Width) -> Option<i64> {
        let field = &bytes[offset..offset + width.get()];
        if let Some(digits) = self.config.digits {
            let base = digits.base();
            let add = |value: i64, byte: &u8| {
                let digit = char::from(*byte).to_digit(base)?;
                Some(value * i64::from(base) + i64::from(digit))
            };
            return field.iter().try_fold(0, add);
        }
        let add = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
        let value = match self.config.order {
            Order::Big => field.iter().fold(0, add),
            Order::Little => field.iter().rev().fold(0, add),
        };
        let value = if self.config.invert { !value } else { value };
        let mask = self.mask(width);
        Some(i64::from((value & mask) >> mask.trailing_zeros()))
    }

    /// Appends the length field that says `steps`.
    fn write(&self, steps: i64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let width = self.config.width;
        let mask = self.mask(width);
        let steps = u32::try_from(steps).map_err(|_| EncodeError::NoField)?;
        if let Some(digits) = self.config.digits {
            let text = match digits {
                Digits::Decimal => format!("{steps:0>width$}", width = width.get()),
                Digits::Hex => format!("{steps:0>width$X}", width = width.get()),
            };
            if text.len() > width.get() {
                return Err(EncodeError::NoField);
            }
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        let value = u64::from(steps) << mask.trailing_zeros();
        if value & u64::from(mask) != value {
            return Err(EncodeError::NoField);
        }
        let value = value as u32;
        let value = if self.config.invert { !value } else { value };
        match self.config.order {
            Order::Big => out.extend_from_slice(&value.to_be_bytes()[4 - width.get()..]),
            Order::Little => out.extend_from_slice(&value.to_le_bytes()[..width.get()]),
        }
        Ok(())
    }

    pub(super) fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let first = out.len();
        let header = if self.config.strip { self.header } else { 0 };
        let len = header + data.len() + seal.len() + self.end.len();
        within(len, self.config.max)?;
        let steps = match self.listed() {
            true => len as i64,
            false => {
                let bytes = len as i64 - self.base(seal.apart());
                let steps = bytes / i64::from(self.unit());
                if bytes < 0 || bytes % i64::from(self.unit()) != 0 {
                    return Err(EncodeError::NoField);
                }
                steps
            }
        };
        let start = self.config.start.as_deref().unwrap_or_default();
        if self.config.strip {
            if !self.plain {
                return Err(EncodeError::Unknown(
                    "the frame's header has more than marker and length: only with strip = false can it be sent",
                ));
            }
            out.extend_from_slice(start);
            self.write(steps, out)?;
        } else {
            // A check within the header is still to come.
            self.whole(
                data,
                start,
                steps,
                self.header - (seal.len() - seal.apart()).min(self.header),
            )?;
        }
        out.extend_from_slice(data);
        seal.close(out, first);
        out.extend_from_slice(&self.end);
        Ok(())
    }

    /// Whether the data begins with a header that says the right length.
    fn whole(&self, data: &[u8], start: &[u8], right: i64, header: usize) -> Result<(), EncodeError> {
        if compare(start, data) != Some(true) {
            return Err(EncodeError::Unstarted);
        }
        if data.len() < header.max(self.known) {
            return Err(EncodeError::NoField);
        }
        let given = self.said(data).ok_or(EncodeError::NoField)?;
        if given != right {
            return Err(EncodeError::Field {
                given: given as u64,
                right: right as u64,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
