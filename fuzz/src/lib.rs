//! What the fuzz targets share: arbitrary streams, checks and cuts, and the promises that every framing method
//! keeps.
//!
//! `cargo +nightly fuzz run frame_line` from the folder above. The modules of the ground floor are compiled in
//! by their path: the broker and the runtime are not needed here and would take minutes to build with
//! sanitizers.

#[path = "../../src/frame/mod.rs"]
pub mod frame;
#[path = "../../src/octets.rs"]
pub mod octets;
#[path = "../../src/read_any.rs"]
mod read_any;
#[path = "../../src/span.rs"]
pub mod span;

pub mod mutate;

use arbitrary::{Result, Unstructured};
use frame::{Config, Damage, Decoder, Framing, Item, Marker, Seal, Size};
use octets::Octets;
use span::Span;
use std::ops::Range;
use std::time::{Duration, Instant};

/// One character at 9600 baud.
const CHAR: Duration = Duration::from_micros(1042);

/// The longest frame that a target asks for: short, so that the bounds are met often.
const MAX: usize = 300;

/// What a method promises beyond what all promise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Promise {
    /// Where the reads are cut does not matter, and garbage costs no frame that has a check.
    Finds,
    /// Where the reads are cut does not matter.
    Cuts,
    /// Neither: the method sees the reads themselves.
    None,
}

/// A method to try.
pub struct Method {
    /// Its settings.
    pub config: Config,
    /// What it promises.
    pub promise: Promise,
    /// Bytes that mean something to it: garbage and data are full of them.
    pub special: Vec<u8>,
}

/// Runs the promises over what the fuzzer's bytes make of a method.
pub fn promises(bytes: &[u8], make: impl FnOnce(&mut Unstructured<'_>) -> Result<Method>) {
    let mut u = Unstructured::new(bytes);
    let Ok(Method {
        config,
        promise,
        special,
    }) = make(&mut u)
    else {
        return;
    };
    let Ok(framing) = config.build(CHAR) else {
        return;
    };
    let Ok(case) = Case::new(&mut u, &framing, &special, bytes) else {
        return;
    };
    let whole = case.whole(&framing);
    if promise != Promise::None {
        assert_eq!(case.cut(&framing), whole, "where the reads are cut matters");
    }
    if promise == Promise::Finds && case.check == Check::Hash {
        let mut got = whole.iter();
        for sent in &case.sent {
            let found = got.any(|item| matches!(item, Got::Frame(data) if data == sent));
            assert!(found, "lost {sent:02x?} in {whole:02x?}");
        }
    }
    case.timed(&framing);
    case.identity(&framing);
}

struct Case {
    seal: Sealed,
    check: Check,
    /// The stream, and the data of the whole frames in it.
    wire: Vec<u8>,
    sent: Vec<Vec<u8>>,
    /// How long the reads are, and the pauses behind them.
    cuts: Vec<(u8, u8)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Got {
    Frame(Vec<u8>),
    Damaged(Damage, Vec<u8>),
}

impl Case {
    fn new(u: &mut Unstructured<'_>, framing: &Framing, special: &[u8], all: &[u8]) -> Result<Case> {
        let check = *u.choose(&[Check::None, Check::Hash, Check::Sum, Check::Odd])?;
        let seal = Sealed {
            check,
            salt: hash(2_166_136_261, all),
        };
        let mut case = Case {
            seal,
            check,
            wire: Vec::new(),
            sent: Vec::new(),
            cuts: Vec::new(),
        };
        for _ in 0..u.int_in_range(1..=6)? {
            case.cuts.push((u.int_in_range(1..=70)?, u.arbitrary()?));
        }
        while !u.is_empty() && case.wire.len() < 8192 {
            let kind = u.int_in_range(0..=5)?;
            let len = u.int_in_range(0..=MAX)?.min(u.len());
            let mut bytes = u.bytes(len)?.to_vec();
            if !special.is_empty() {
                for byte in bytes.iter_mut().filter(|byte| **byte < 192) {
                    *byte = special[usize::from(*byte) % special.len()];
                }
            }
            let place = case.wire.len();
            match kind {
                // A whole frame, or one that has lost a byte or has a wrong one.
                0..=3 if framing.encode(&bytes, &case.seal, &mut case.wire).is_ok() => {
                    let span = case.wire.len() - place;
                    match kind {
                        0 => {
                            // A wrong byte behind it: else the next frame's first byte may be the missing one,
                            // and then it is that frame which has lost a byte.
                            let last = case.wire.last().map_or(0, |last| !last);
                            case.wire.remove(place + u.int_in_range(0..=span - 1)?);
                            case.wire.push(last);
                        }
                        1 => case.wire[place + u.int_in_range(0..=span - 1)?] ^= u.int_in_range(1..=255)?,
                        _ => case.sent.push(bytes),
                    }
                }
                _ => case.wire.extend_from_slice(&bytes),
            }
        }
        Ok(case)
    }

    /// Everything in one read.
    fn whole(&self, framing: &Framing) -> Vec<Got> {
        let (mut decoder, mut got, now) = (framing.decoder(), Vec::new(), Instant::now());
        decoder.extend(&self.wire, now);
        self.drain(&mut decoder, &mut got);
        self.silence(&mut decoder, &mut got);
        self.count(&got);
        got
    }

    /// The same in small reads that come at once.
    fn cut(&self, framing: &Framing) -> Vec<Got> {
        let (mut decoder, mut got, now) = (framing.decoder(), Vec::new(), Instant::now());
        let (mut rest, mut cuts) = (self.wire.as_slice(), self.cuts.iter().cycle());
        while !rest.is_empty() {
            let n = cuts.next().map_or(1, |cut| usize::from(cut.0)).min(rest.len());
            let (read, more) = rest.split_at(n);
            decoder.extend(read, now);
            self.drain(&mut decoder, &mut got);
            // Twice the longest on the wire, a run of noise and a read, rounded up, and the scratch.
            assert!(
                decoder.memory() <= 16 * 1024 + 2 * MAX,
                "{} bytes of memory",
                decoder.memory()
            );
            rest = more;
        }
        self.silence(&mut decoder, &mut got);
        self.count(&got);
        got
    }

    /// Small reads with pauses, some of which are noticed late, and some of the items asked for late.
    fn timed(&self, framing: &Framing) {
        let (mut decoder, mut got, mut now) = (framing.decoder(), Vec::new(), Instant::now());
        let (mut rest, mut cuts) = (self.wire.as_slice(), self.cuts.iter().cycle());
        let mut forgotten = 0;
        while !rest.is_empty() {
            let &(n, pause) = cuts.next().unwrap_or(&(1, 0));
            let (read, more) = rest.split_at(usize::from(n).min(rest.len()));
            decoder.extend(read, now);
            rest = more;
            now += Duration::from_millis(u64::from(pause) * 10);
            if pause & 1 == 0 {
                self.drain(&mut decoder, &mut got);
            }
            if pause & 2 == 0 {
                decoder.expire(now);
            }
            if pause == 255 {
                forgotten += decoder.reset();
            }
        }
        self.drain(&mut decoder, &mut got);
        self.silence(&mut decoder, &mut got);
        self.count(&got);
        let bytes: usize = got.iter().map(Got::len).sum();
        assert!(
            bytes + forgotten <= self.wire.len(),
            "bytes were given and forgotten"
        );
    }

    /// What can be sent arrives as it was.
    fn identity(&self, framing: &Framing) {
        if self.check == Check::Odd {
            return;
        }
        for data in &self.sent {
            let mut wire = Vec::new();
            framing
                .encode(data, &self.seal, &mut wire)
                .expect("it was sent before");
            let (mut decoder, mut got) = (framing.decoder(), Vec::new());
            for _ in 0..2 {
                decoder.extend(&wire, Instant::now());
                self.drain(&mut decoder, &mut got);
                self.silence(&mut decoder, &mut got);
            }
            let frame = Got::Frame(data.clone());
            assert_eq!(got, [frame.clone(), frame], "{wire:02x?}");
        }
    }

    fn drain(&self, decoder: &mut Decoder, got: &mut Vec<Got>) {
        while let Some(item) = decoder.next(&self.seal) {
            got.push(match item {
                Item::Frame(data) => Got::Frame(data.to_vec()),
                Item::Damaged { why, bytes } => {
                    assert!(!bytes.is_empty(), "damage without bytes");
                    Got::Damaged(why, bytes.to_vec())
                }
            });
        }
    }

    fn silence(&self, decoder: &mut Decoder, got: &mut Vec<Got>) {
        if let Some(deadline) = decoder.deadline() {
            decoder.expire(deadline);
            self.drain(decoder, got);
            assert_eq!(decoder.deadline(), None, "silence meant nothing");
            assert_eq!(decoder.reset(), 0, "something is held after silence");
        }
    }

    fn count(&self, got: &[Got]) {
        let delivered: usize = got.iter().map(Got::len).sum();
        assert!(
            delivered <= self.wire.len(),
            "{delivered} bytes of {}",
            self.wire.len()
        );
    }
}

impl Got {
    fn len(&self) -> usize {
        match self {
            Got::Frame(bytes) | Got::Damaged(_, bytes) => bytes.len(),
        }
    }
}

/// The checks that are tried.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Check {
    None,
    /// Four bytes that chance does not meet, salted so that the fuzzer cannot forge them either.
    Hash,
    /// One byte, which chance meets often.
    Sum,
    /// One that takes bytes off both ends, and lies about its length.
    Odd,
}

struct Sealed {
    check: Check,
    salt: u32,
}

fn hash(salt: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(salt, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(16_777_619)
    })
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

impl Seal for Sealed {
    fn open(&self, content: &[u8]) -> Option<Range<usize>> {
        let data = content.len().checked_sub(self.len())?;
        let (bytes, check) = content.split_at(data);
        match self.check {
            Check::None => Some(0..data),
            Check::Hash => (hash(self.salt, bytes).to_be_bytes() == check).then_some(0..data),
            Check::Sum => ([sum(bytes)] == check).then_some(0..data),
            Check::Odd => Some(content.len().min(2)..content.len().saturating_sub(1)),
        }
    }

    fn len(&self) -> usize {
        match self.check {
            Check::None => 0,
            Check::Hash => 4,
            Check::Sum | Check::Odd => 1,
        }
    }

    fn close(&self, content: &mut Vec<u8>, start: usize) {
        match self.check {
            Check::None => {}
            Check::Hash => content.extend(hash(self.salt, &content[start..]).to_be_bytes()),
            Check::Sum => content.push(sum(&content[start..])),
            Check::Odd => content.extend([1, 2, 3]),
        }
    }
}

/// A size that is worth trying.
pub fn size(u: &mut Unstructured<'_>) -> Result<Size> {
    Size::new(u.int_in_range(1..=MAX)?).ok_or(arbitrary::Error::IncorrectFormat)
}

/// A marker of few bytes, or of many.
pub fn marker(u: &mut Unstructured<'_>) -> Result<Marker> {
    let len = u.int_in_range(1..=8)?;
    Marker::new(u.bytes(len)?).ok_or(arbitrary::Error::IncorrectFormat)
}

/// Perhaps a marker.
pub fn option_marker(u: &mut Unstructured<'_>) -> Result<Option<Marker>> {
    if u.arbitrary()? {
        marker(u).map(Some)
    } else {
        Ok(None)
    }
}

/// A few bytes, or none.
pub fn octets(u: &mut Unstructured<'_>) -> Result<Octets> {
    let len = u.int_in_range(0..=3)?;
    Ok(u.bytes(len)?.to_vec().into())
}

/// A silence that means something, or never.
pub fn span(u: &mut Unstructured<'_>) -> Result<Span> {
    Ok(Span::millis(*u.choose(&[0, 1, 20, 1000])?))
}
