//! Framing: where the frames begin and end in the stream of bytes that a serial line is. One file per method.
//!
//! A [`Config`] is what a person writes; [`Framing`] is what it means; a [`Decoder`] takes the bytes of one line
//! in the order in which they came and gives [`Item`]s. A damaged frame is an item like any other, never the
//! end: what follows it is found. The frame's check is the caller's, as a [`Seal`].
//!
//! No I/O and no clock here: bytes and times are arguments.

mod any;
mod buffer;
pub mod cobs;
mod config;
mod cut;
mod decoder;
mod escape;
pub mod fixed;
pub mod hdlc;
pub mod idle;
pub mod length;
pub mod line;
mod marker;
pub mod modbus;
pub mod raw;
mod seek;
pub mod slip;
pub mod start;
pub mod start_end;
#[cfg(test)]
mod tests;

pub use any::Branch;
pub use config::Config;
pub use decoder::Decoder;
pub use marker::{MARKER_MAX, Marker, SIZE_MAX, Size};

use decoder::{Scene, Step};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A framing method with its settings, ready for use. A clone costs no copy.
#[derive(Debug, Clone)]
pub struct Framing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    method: Method,
    /// Silence of this length means something to the method.
    quiet: Option<Duration>,
    char_time: Duration,
}

#[derive(Debug)]
enum Method {
    Line(line::Method),
    Fixed(fixed::Method),
    Start(start::Method),
    StartEnd(start_end::Method),
    Length(length::Method),
    Idle(idle::Method),
    Slip(slip::Method),
    Cobs(cobs::Method),
    Hdlc(hdlc::Method),
    ModbusRtu(modbus::rtu::Method),
    ModbusAscii(modbus::ascii::Method),
    Raw(raw::Method),
    Any(any::Method),
}

/// What the decoder found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A frame's data: header and check are stripped as configured.
    Frame(&'a [u8]),
    /// Bytes that were no frame, as they came.
    Damaged {
        /// What was wrong with them.
        why: Damage,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// What was wrong with bytes that became no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Damage {
    /// The frame's check failed.
    Check,
    /// The frame is longer than `max`, or says so of itself.
    TooLong,
    /// The frame is shorter than its header and check.
    TooShort,
    /// An escape that no sender makes.
    Escape,
    /// The frame does not end with its end marker.
    End,
    /// A new frame began before this one had ended.
    Unfinished,
    /// Bytes between frames.
    Noise,
    /// The rest of the frame did not come in time.
    Stale,
}

impl Damage {
    /// Every kind of damage.
    pub const ALL: [Damage; 8] = [
        Damage::Check,
        Damage::TooLong,
        Damage::TooShort,
        Damage::Escape,
        Damage::End,
        Damage::Unfinished,
        Damage::Noise,
        Damage::Stale,
    ];

    /// The name that its counter has.
    pub const fn name(self) -> &'static str {
        match self {
            Damage::Check => "check",
            Damage::TooLong => "too-long",
            Damage::TooShort => "too-short",
            Damage::Escape => "escape",
            Damage::End => "end",
            Damage::Unfinished => "unfinished",
            Damage::Noise => "noise",
            Damage::Stale => "stale",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::Check => "the check failed",
            Damage::TooLong => "the frame is longer than max",
            Damage::TooShort => "the frame is shorter than its header and check",
            Damage::Escape => "an escape in the frame is not valid",
            Damage::End => "the frame does not end with its end marker",
            Damage::Unfinished => "a new frame began before this one had ended",
            Damage::Noise => "bytes between frames",
            Damage::Stale => "the rest of the frame did not come in time",
        })
    }
}

/// What stands between a frame's content and its data: its check.
pub trait Seal {
    /// Which part of the content is data; `None` when the check fails.
    fn open(&self, content: &[u8]) -> Option<Range<usize>>;
    /// How many bytes [`close`](Seal::close) adds.
    fn len(&self) -> usize;
    /// How many bytes of a whole frame's content are neither header nor data: what closing adds, unless it stands
    /// in the header.
    fn apart(&self) -> usize {
        self.len()
    }
    /// Whether data that stand where they should can be read at all; false: it was no frame.
    fn reads(&self, data: &[u8]) -> bool {
        let _ = data;
        true
    }
    /// Appends the check over `content[start..]`.
    fn close(&self, content: &mut Vec<u8>, start: usize);
    /// Whether there is no check at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// No check.
impl Seal for () {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        Some(0..content.len())
    }
    fn len(&self) -> usize {
        0
    }
    fn close(&self, _: &mut Vec<u8>, _: usize) {}
}

/// Settings that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl Error {
    fn new(text: impl Into<String>) -> Error {
        Error(text.into())
    }
}

/// Why data cannot be sent as a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Nothing to send, and the method has no way to send nothing.
    #[error("an empty frame cannot be sent")]
    Empty,
    /// The frame would be longer than `max`.
    #[error("the frame would have {len} bytes, more than the {max} allowed")]
    TooLong {
        /// How long it would be.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// A frame of fixed length would have another.
    #[error("the frame would have {len} bytes, but each has {length}")]
    Length {
        /// How long it would be.
        len: usize,
        /// How long each is.
        length: usize,
    },
    /// The data or the check holds what ends a frame or begins one.
    #[error("the data or its check holds a marker that ends a frame or begins one")]
    Marker,
    /// Frames are delivered with their delimiter, so they are sent with it.
    #[error("the data must end with the delimiter, because frames keep theirs (keep = true)")]
    Undelimited,
    /// Frames are delivered with their start marker, so they are sent with it.
    #[error("the data must begin with the start marker, because frames keep theirs (strip = false)")]
    Unstarted,
    /// The data holds the frame's header, and its length field is not right.
    #[error("the length field in the data says {given}, but must say {right}")]
    Field {
        /// What it says.
        given: u64,
        /// What it must say.
        right: u64,
    },
    /// No value of the length field fits this length.
    #[error("the length field cannot say the length of this frame")]
    NoField,
    /// The frame has bytes that only the device knows.
    #[error("{0}")]
    Unknown(&'static str),
}

impl Framing {
    /// A decoder for one line.
    pub fn decoder(&self) -> Decoder {
        Decoder::new(self.clone())
    }

    /// Appends the frame that carries `data` to `out`, closed with `seal`. When it fails, `out` is as it was.
    pub fn encode<S: Seal + ?Sized>(
        &self,
        data: &[u8],
        seal: &S,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        let done = match &self.0.method {
            Method::Line(method) => method.encode(data, seal, out),
            Method::Fixed(method) => method.encode(data, seal, out),
            Method::Start(method) => method.encode(data, seal, out),
            Method::StartEnd(method) => method.encode(data, seal, out),
            Method::Length(method) => method.encode(data, seal, out),
            Method::Idle(method) => method.encode(data, seal, out),
            Method::Slip(method) => method.encode(data, seal, out),
            Method::Cobs(method) => method.encode(data, seal, out),
            Method::Hdlc(method) => method.encode(data, seal, out),
            Method::ModbusRtu(method) => method.encode(data, seal, out),
            Method::ModbusAscii(method) => method.encode(data, seal, out),
            Method::Raw(method) => method.encode(data, seal, out),
            Method::Any(method) => method.encode(data, seal, out),
        };
        if done.is_err() {
            out.truncate(start);
        }
        done
    }

    /// Several protocols on one line. What they do not all take for noise is waited for as long as the most
    /// patient of them waits.
    pub fn any(branches: Vec<Branch>, char_time: Duration) -> Framing {
        let quiet = branches.iter().filter_map(|branch| branch.framing.quiet()).max();
        Framing::new(Method::Any(any::Method::new(branches)), quiet, char_time)
    }

    fn new(method: Method, quiet: Option<Duration>, char_time: Duration) -> Framing {
        Framing(Arc::new(Inner {
            method,
            quiet,
            char_time,
        }))
    }

    fn quiet(&self) -> Option<Duration> {
        self.0.quiet
    }

    fn char_time(&self) -> Duration {
        self.0.char_time
    }

    fn step<S: Seal + ?Sized>(&self, scene: &mut Scene<'_, S>) -> Step {
        match &self.0.method {
            Method::Line(method) => method.step(scene),
            Method::Fixed(method) => method.step(scene),
            Method::Start(method) => method.step(scene),
            Method::StartEnd(method) => method.step(scene),
            Method::Length(method) => method.step(scene),
            Method::Idle(method) => method.step(scene),
            Method::Slip(method) => method.step(scene),
            Method::Cobs(method) => method.step(scene),
            Method::Hdlc(method) => method.step(scene),
            Method::ModbusRtu(method) => method.step(scene),
            Method::ModbusAscii(method) => method.step(scene),
            Method::Raw(method) => method.step(scene),
            Method::Any(method) => method.step(scene),
        }
    }
}

/// Opens the content: where its data is, or what is wrong with it.
fn open<S: Seal + ?Sized>(seal: &S, content: &[u8]) -> Result<Range<usize>, Damage> {
    open_behind(seal, content, 0)
}

/// The same, for content whose first `header` bytes are no data.
fn open_behind<S: Seal + ?Sized>(seal: &S, content: &[u8], header: usize) -> Result<Range<usize>, Damage> {
    let mut data = check(seal, content)?;
    data.start = data.start.max(header).min(data.end);
    readable(seal, &content[data.clone()])?;
    Ok(data)
}

/// Opens the content without a look at what the data are.
fn check<S: Seal + ?Sized>(seal: &S, content: &[u8]) -> Result<Range<usize>, Damage> {
    if content.len() < seal.len() {
        return Err(Damage::TooShort);
    }
    match seal.open(content) {
        Some(range) if range.start <= range.end && range.end <= content.len() => Ok(range),
        _ => Err(Damage::Check),
    }
}

fn readable<S: Seal + ?Sized>(seal: &S, data: &[u8]) -> Result<(), Damage> {
    match seal.reads(data) {
        true => Ok(()),
        false => Err(Damage::Check),
    }
}

/// `len` bytes, unless that is more than `max`.
fn within(len: usize, max: Size) -> Result<(), EncodeError> {
    if len > max.get() {
        return Err(EncodeError::TooLong { len, max: max.get() });
    }
    Ok(())
}
