//! What the tests of every method share: a strong check, and the promises that each method keeps.

use super::buffer::READ;
use super::decoder::RUN_MAX;
use super::{Config, Damage, EncodeError, Framing, Item, Seal};
use proptest::prelude::*;
use std::ops::Range;
use std::time::{Duration, Instant};

/// A check of four bytes that chance does not meet (FNV-1a).
pub(super) struct Hash;

impl Hash {
    fn of(bytes: &[u8]) -> [u8; 4] {
        let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
        bytes.iter().fold(2_166_136_261, step).to_be_bytes()
    }
}

impl Seal for Hash {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        let (data, hash) = content.split_last_chunk::<4>()?;
        (Hash::of(data) == *hash).then_some(0..data.len())
    }
    fn len(&self) -> usize {
        4
    }
    fn close(&self, content: &mut Vec<u8>, start: usize) {
        content.extend_from_slice(&Hash::of(&content[start..]));
    }
}

/// A check of so many bytes: the content's sum, from some byte on, big-endian.
pub(super) struct Sum {
    pub(super) from: usize,
    pub(super) width: usize,
}

impl Seal for Sum {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        let data = content.len().checked_sub(self.width)?;
        let mut again = content[..data].to_vec();
        self.close(&mut again, 0);
        (again == content).then_some(0..data)
    }
    fn len(&self) -> usize {
        self.width
    }
    fn close(&self, content: &mut Vec<u8>, start: usize) {
        let sum: u32 = content[start + self.from..].iter().map(|b| u32::from(*b)).sum();
        content.extend_from_slice(&sum.to_be_bytes()[4 - self.width..]);
    }
}

/// An item that owns its bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Got {
    Frame(Vec<u8>),
    Damaged(Damage, Vec<u8>),
}

pub(super) fn frame(bytes: impl AsRef<[u8]>) -> Got {
    Got::Frame(bytes.as_ref().to_vec())
}

pub(super) fn damaged(why: Damage, bytes: impl AsRef<[u8]>) -> Got {
    Got::Damaged(why, bytes.as_ref().to_vec())
}

/// Bytes written as hexadecimal digits, as the corpus has them.
pub(super) fn hex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

/// One character at 9600 baud, 8N1.
pub(super) const CHAR: Duration = Duration::from_micros(1042);

pub(super) fn build(config: &str) -> Framing {
    #[derive(serde::Deserialize)]
    struct Held {
        frame: Config,
    }
    let held: Held = toml::from_str(&format!("frame = {config}")).unwrap();
    held.frame.build(CHAR).unwrap()
}

pub(super) struct Line<'a, S: ?Sized> {
    decoder: super::Decoder,
    seal: &'a S,
    now: Instant,
    pub(super) got: Vec<Got>,
}

impl<'a, S: Seal + ?Sized> Line<'a, S> {
    pub(super) fn new(framing: &Framing, seal: &'a S) -> Line<'a, S> {
        Line {
            decoder: framing.decoder(),
            seal,
            now: Instant::now(),
            got: Vec::new(),
        }
    }

    pub(super) fn read(&mut self, bytes: &[u8]) -> &mut Self {
        self.decoder.extend(bytes, self.now);
        self.drain()
    }

    pub(super) fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// Waits until silence has meant all that it can.
    pub(super) fn silence(&mut self) -> &mut Self {
        while let Some(deadline) = self.decoder.deadline() {
            self.now = deadline;
            self.decoder.expire(deadline);
            self.drain();
        }
        self
    }

    pub(super) fn drain(&mut self) -> &mut Self {
        while let Some(item) = self.decoder.next(self.seal) {
            self.got.push(match item {
                Item::Frame(data) => frame(data),
                Item::Damaged { why, bytes } => damaged(why, bytes),
            });
        }
        self
    }

    pub(super) fn take(&mut self) -> Vec<Got> {
        std::mem::take(&mut self.got)
    }

    pub(super) fn decoder(&mut self) -> &mut super::Decoder {
        &mut self.decoder
    }
}

/// All items in bytes that come at once, and then silence.
pub(super) fn decode<S: Seal + ?Sized>(framing: &Framing, seal: &S, bytes: &[u8]) -> Vec<Got> {
    Line::new(framing, seal).read(bytes).silence().take()
}

pub(super) fn encode<S: Seal + ?Sized>(
    framing: &Framing,
    seal: &S,
    data: &[u8],
) -> Result<Vec<u8>, EncodeError> {
    let mut out = b"before".to_vec();
    let done = framing.encode(data, seal, &mut out);
    assert!(out.starts_with(b"before"));
    out.drain(..6);
    assert!(done.is_ok() || out.is_empty());
    done.map(|()| out)
}

/// Bytes, mostly few different ones, so that markers and escapes meet.
pub(super) fn bytes(special: &'static [u8], max: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => proptest::sample::select(special), 1 => any::<u8>()];
    proptest::collection::vec(byte, 0..max)
}

pub(super) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..30usize, 1..20)
}

/// Where the reads are cut does not matter, nothing is lost on the way, and the memory stays bounded.
pub(super) fn cuts_do_not_matter<S: Seal + ?Sized>(
    framing: &Framing,
    seal: &S,
    bytes: &[u8],
    cuts: &[usize],
    max: usize,
) {
    let whole = decode(framing, seal, bytes);
    let mut line = Line::new(framing, seal);
    let (mut rest, mut sizes) = (bytes, cuts.iter().cycle());
    while !rest.is_empty() {
        let n = (*sizes.next().unwrap()).min(rest.len());
        line.read(&rest[..n]);
        rest = &rest[n..];
        let bound = 2 * (2 * max + 2 * MARKER_ROOM + RUN_MAX + READ).next_power_of_two() + 2 * max;
        assert!(
            line.decoder.memory() <= bound,
            "{} > {bound}",
            line.decoder.memory()
        );
    }
    assert_eq!(line.silence().got, whole);
    let delivered: usize = whole
        .iter()
        .map(|got| match got {
            Got::Frame(bytes) | Got::Damaged(_, bytes) => bytes.len(),
        })
        .sum();
    assert!(delivered <= bytes.len(), "{delivered} of {} bytes", bytes.len());
}

const MARKER_ROOM: usize = 16;

/// What can be sent arrives as it was, also twice in a row.
pub(super) fn sent_is_received<S: Seal + ?Sized>(
    framing: &Framing,
    seal: &S,
    data: &[u8],
) -> Option<Vec<u8>> {
    let wire = encode(framing, seal, data).ok()?;
    let mut line = Line::new(framing, seal);
    assert_eq!(line.read(&wire).silence().take(), [frame(data)], "{wire:02x?}");
    assert_eq!(line.read(&wire).silence().take(), [frame(data)], "{wire:02x?}");
    Some(wire)
}

/// Garbage before and between the frames costs none of them.
pub(super) fn garbage_costs_no_frame(framing: &Framing, stream: &[(Vec<u8>, Vec<u8>)]) {
    let mut wire = Vec::new();
    let mut sent = Vec::new();
    for (garbage, data) in stream {
        wire.extend_from_slice(garbage);
        if let Ok(bytes) = encode(framing, &Hash, data) {
            wire.extend_from_slice(&bytes);
            sent.push(frame(data));
        }
    }
    let got = decode(framing, &Hash, &wire);
    let frames: Vec<Got> = got
        .iter()
        .filter(|got| matches!(got, Got::Frame(_)))
        .cloned()
        .collect();
    assert_eq!(frames, sent, "{got:02x?}");
}

pub(super) fn stream(special: &'static [u8]) -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    proptest::collection::vec((bytes(special, 20), bytes(special, 20)), 1..6)
}
