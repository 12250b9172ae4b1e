//! What the codec lets pass and the standard does not, found by looking at a whole packet before it is decoded.
//!
//! Only shapes are looked at: flags, lengths that must add up, strings that must not hold NUL.

use super::{Fault, Version, raw, reason};
use std::ops::Range;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;

/// How many filters one packet may hold. In the longest packet there would be room for millions: hundreds of megabytes,
/// and a second in which nobody else is served.
pub(super) const MOST_FILTERS: usize = 10_000;

/// The part of a packet that is still to be read.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let length = u16::from_be_bytes([self.byte()?, self.byte()?]);
        self.bytes(length.into())
    }

    /// A UTF-8 string; the codec looks at the encoding, this at the one character that is forbidden (MQTT-1.5.4-2).
    pub(super) fn string(&mut self) -> Result<&'a [u8], Fault> {
        let text = self.binary()?;
        match memchr::memchr(0, text) {
            Some(_) => Err(Fault::malformed("a string holds the character NUL")),
            None => Ok(text),
        }
    }

    pub(super) fn properties(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.variable()?;
        self.bytes(length)
    }

    /// A variable byte integer (MQTT 5 section 1.5.5).
    pub(super) fn variable(&mut self) -> Result<usize, Fault> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte == 0 && shift > 0 {
                // MQTT-1.5.5-1.
                return Err(Fault::malformed("a number has more bytes than it needs"));
            }
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::malformed("a number is longer than four bytes"))
    }
}

/// A version that is newer than those we know.
pub(crate) const UNKNOWN_NEW: &str = "a version of the protocol that is newer than 5";

const SHORT: Fault = Fault::malformed("the packet is shorter than what it holds");
const MANY: Fault = Fault::new(
    reason::QUOTA_EXCEEDED,
    "more filters in one packet than are allowed",
);
const TRAILING: Fault = Fault::malformed("the packet is longer than what it holds");

/// Looks at a whole packet: its first byte, and all behind the length. `version` is `None` before the CONNECT.
pub(super) fn check(version: Option<Version>, first: u8, body: &[u8]) -> Result<(), Fault> {
    let kind = first >> 4;
    let Some(version) = version else {
        return if kind == CONNECT {
            connect(first, body)
        } else {
            Err(Fault::protocol("the first packet is not a CONNECT"))
        };
    };
    match kind {
        CONNECT => Err(Fault::mute("a second CONNECT")),
        PUBLISH => publish(version, first, body),
        SUBSCRIBE => subscribe(version, body),
        // PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBSCRIBE: the codec looks at their flags and lengths itself; without
        // a version's properties nothing may follow.
        4..=7 if !version.is_five() && body.len() != 2 => Err(TRAILING),
        4..=7 => trailing_properties(body, 3),
        UNSUBSCRIBE => unsubscribe(version, body),
        12 if !body.is_empty() => Err(TRAILING),
        14 if !version.is_five() && !body.is_empty() => Err(TRAILING),
        12 => Ok(()),
        14 => trailing_properties(body, 1),
        15 if version.is_five() => trailing_properties(body, 1),
        _ => Err(Fault::mute("a packet that only a server sends, or none at all")),
    }
}

/// Properties that may be left out, behind so many bytes.
fn trailing_properties(body: &[u8], behind: usize) -> Result<(), Fault> {
    match body.get(behind..) {
        Some(rest) if !rest.is_empty() => raw::check(Rest(rest).properties()?),
        _ => Ok(()),
    }
}

fn connect(first: u8, body: &[u8]) -> Result<(), Fault> {
    if first & 0x0f != 0 {
        return Err(Fault::malformed("reserved bits of the fixed header are set"));
    }
    let mut rest = Rest(body);
    let name = rest.binary()?;
    let level = rest.byte()?;
    let unsupported = |what| Fault::new(reason::UNSUPPORTED_VERSION, what);
    let five = match (name, level) {
        (b"MQIsdp", 3) | (b"MQTT", 4) => false,
        (b"MQTT", 5) => true,
        (b"MQTT", 6..) => return Err(unsupported(UNKNOWN_NEW)),
        (b"MQTT" | b"MQIsdp", _) => return Err(unsupported("a version of the protocol that is not known")),
        _ => return Err(Fault::protocol("the protocol is not MQTT")),
    };
    let flags = rest.byte()?;
    let (user, password) = (flags & 0x80 != 0, flags & 0x40 != 0);
    let (will, will_qos, will_retain) = (flags & 0x04 != 0, flags >> 3 & 3, flags & 0x20 != 0);
    if flags & 1 != 0 {
        return Err(Fault::malformed("the reserved CONNECT flag is set"));
    }
    if will_qos == 3 || !will && (will_qos != 0 || will_retain) {
        return Err(Fault::malformed("the flags of the will contradict each other"));
    }
    if password && !user && !five && level != 3 {
        return Err(Fault::malformed("a password without a user name"));
    }
    rest.bytes(2)?;
    if five {
        raw::check(rest.properties()?)?;
    }
    if level == 3 && rest.0.is_empty() {
        return Err(Fault::new(reason::CLIENT_ID_NOT_VALID, "there is no client id"));
    }
    rest.string()?;
    if will {
        if five {
            rest.properties()?;
        }
        let topic = rest.string()?;
        if topic.is_empty() || topic.iter().any(|byte| matches!(byte, b'+' | b'#')) {
            return Err(Fault::new(
                reason::TOPIC_NAME_INVALID,
                "the will's topic is not a topic name",
            ));
        }
        rest.binary()?;
    }
    if user {
        rest.string()?;
    }
    if password {
        rest.binary()?;
    }
    if rest.0.is_empty() { Ok(()) } else { Err(TRAILING) }
}

fn publish(version: Version, first: u8, body: &[u8]) -> Result<(), Fault> {
    let (dup, qos) = (first & 0x08 != 0, first >> 1 & 3);
    if qos == 3 {
        return Err(Fault::malformed("a PUBLISH with QoS 3"));
    }
    // MQTT-3.3.1-2. MQTT 3.1 says nothing of the kind.
    if dup && qos == 0 && version != Version::V31 {
        return Err(Fault::malformed("DUP is set on a PUBLISH with QoS 0"));
    }
    let mut rest = Rest(body);
    let topic = rest.binary()?;
    if memchr::memchr(0, topic).is_some() {
        return Err(Fault::malformed("the topic of a PUBLISH holds NUL"));
    }
    if memchr::memchr2(b'+', b'#', topic).is_some() {
        return Err(Fault::protocol("the topic of a PUBLISH holds a wildcard"));
    }
    if qos > 0 && rest.bytes(2)? == [0, 0] {
        return Err(Fault::protocol("a PUBLISH with the packet id 0"));
    }
    Ok(())
}

fn subscribe(version: Version, body: &[u8]) -> Result<(), Fault> {
    let mut rest = Rest(body);
    rest.bytes(2)?;
    if version.is_five() {
        raw::check(rest.properties()?)?;
    }
    let mut count = 0;
    while !rest.0.is_empty() {
        count += 1;
        if count > MOST_FILTERS {
            return Err(MANY);
        }
        rest.string()?;
        let options = rest.byte()?;
        if options & 3 == 3 || !version.is_five() && options > 2 || options & 0x30 == 0x30 {
            return Err(Fault::malformed(
                "reserved bits of a subscription's options are set",
            ));
        }
    }
    Ok(())
}

fn unsubscribe(version: Version, body: &[u8]) -> Result<(), Fault> {
    let mut rest = Rest(body.get(2..).ok_or(SHORT)?);
    if version.is_five() {
        raw::check(rest.properties()?)?;
    }
    for _ in 0..MOST_FILTERS {
        // What a filter is wants a look at each by itself.
        if rest.binary().is_err() {
            return Ok(());
        }
    }
    if rest.0.is_empty() { Ok(()) } else { Err(MANY) }
}

/// Offset of the flags in a CONNECT of MQTT 5 or 3.1.1, behind the name and the level.
const FLAGS: usize = 7;
const CLEAN: u8 = 0x02;
const WILL: u8 = 0x04;

/// Where the properties stand in a CONNECT of MQTT 5 that has been checked: its own, and those of its will.
pub(super) fn connect_properties(body: &[u8]) -> Result<(Range<usize>, Option<Range<usize>>), Fault> {
    let at = |rest: &Rest<'_>| body.len() - rest.0.len();
    let mut rest = Rest(body);
    rest.bytes(FLAGS + 3)?;
    let own = rest.properties()?.len();
    let own = at(&rest) - own..at(&rest);
    rest.binary()?;
    let will = match body.get(FLAGS) {
        Some(flags) if flags & WILL != 0 => {
            let length = rest.properties()?.len();
            Some(at(&rest) - length..at(&rest))
        }
        _ => None,
    };
    Ok((own, will))
}

/// Where the properties stand in a PUBLISH of MQTT 5.
pub(super) fn publish_properties(first: u8, body: &[u8]) -> Result<Range<usize>, Fault> {
    let mut rest = Rest(body);
    rest.binary()?;
    if first & 0x06 != 0 {
        rest.bytes(2)?;
    }
    let length = rest.properties()?.len();
    let end = body.len() - rest.0.len();
    Ok(end - length..end)
}

/// MQTT 5 lets a client leave its id empty without asking for a clean start (section 3.1.3.1); the codec does not.
/// There is no session to go on with under an id that is yet to be given: a clean start is the same.
pub(super) fn imply_clean_start(body: &mut [u8], properties: &Range<usize>) {
    let anonymous = body.get(properties.end..properties.end + 2) == Some(&[0, 0]);
    if let (true, Some(flags)) = (anonymous, body.get_mut(FLAGS)) {
        *flags |= CLEAN;
    }
}
