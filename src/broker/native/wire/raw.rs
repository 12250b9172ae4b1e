//! Properties as they stand in a packet of MQTT 5. What goes from a publisher to its receivers unaltered (section
//! 3.3.2.3) is kept as these bytes: in their order, whatever they say.

use super::Fault;
use super::strict::Rest;
use bytes::Bytes;

const PAYLOAD_FORMAT: u8 = 0x01;
const MESSAGE_EXPIRY: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SESSION_EXPIRY: u8 = 0x11;
const USER: u8 = 0x26;

/// What is found in the properties of a PUBLISH or of a will.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Those that go on to the receivers.
    pub(super) passed: Option<Bytes>,
    pub(super) expiry: Option<u32>,
}

/// Looks at the properties of a message, and makes them such that the codec takes them: it knows no expiry of 0, and
/// of the payload format only 0 and 1.
pub(super) fn of_message(properties: &mut [u8]) -> Result<Said, Fault> {
    let mut said = Said::default();
    let mut passed = Vec::new();
    let mut at = 0;
    while at < properties.len() {
        let length = one(&properties[at..])?;
        let property = &mut properties[at..at + length];
        match property[0] {
            PAYLOAD_FORMAT => {
                passed.extend_from_slice(property);
                property[1] = property[1].min(1);
            }
            CONTENT_TYPE | RESPONSE_TOPIC | CORRELATION_DATA | USER => passed.extend_from_slice(property),
            MESSAGE_EXPIRY => {
                let seconds = u32::from_be_bytes([property[1], property[2], property[3], property[4]]);
                said.expiry = Some(seconds);
                property[1..].copy_from_slice(&seconds.max(1).to_be_bytes());
            }
            _ => {}
        }
        at += length;
    }
    if !passed.is_empty() {
        said.passed = Some(Bytes::from(passed));
    }
    Ok(said)
}

/// Looks at properties of which only the codec makes something: a string holds no NUL (MQTT-1.5.4-2).
pub(super) fn check(mut properties: &[u8]) -> Result<(), Fault> {
    while !properties.is_empty() {
        properties = &properties[one(properties)?..];
    }
    Ok(())
}

/// Whether a CONNECT says how long its session is to be kept, be it 0.
pub(super) fn says_session_expiry(mut properties: &[u8]) -> bool {
    while let (Ok(length), Some(id)) = (one(properties), properties.first()) {
        if *id == SESSION_EXPIRY {
            return true;
        }
        properties = &properties[length..];
    }
    false
}

/// How long the first property is, its identifier included (section 2.2.2.2).
fn one(properties: &[u8]) -> Result<usize, Fault> {
    let mut rest = Rest(properties);
    match rest.byte()? {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => drop(rest.bytes(1)?),
        0x13 | 0x21 | 0x22 | 0x23 => drop(rest.bytes(2)?),
        0x02 | 0x11 | 0x18 | 0x27 => drop(rest.bytes(4)?),
        0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => drop(rest.string()?),
        0x09 | 0x16 => drop(rest.binary()?),
        0x26 => {
            rest.string()?;
            rest.string()?;
        }
        0x0b => {
            rest.variable()?;
        }
        _ => return Err(Fault::malformed("a property that is not known")),
    }
    Ok(properties.len() - rest.0.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_keeps_its_order_and_its_bytes() {
        let mut properties =
            b"\x26\x00\x01k\x00\x01v\x01\xed\x02\x00\x00\x00\x00\x23\x00\x01\x09\x00\x01c\x03\x00\x01t"
                .to_vec();
        let said = of_message(&mut properties).unwrap();
        assert_eq!(said.expiry, Some(0));
        let passed = b"\x26\x00\x01k\x00\x01v\x01\xed\x09\x00\x01c\x03\x00\x01t";
        assert_eq!(said.passed.as_deref(), Some(&passed[..]));
        assert!(
            properties.windows(2).any(|two| two == b"\x01\x01"),
            "the codec takes it"
        );
        assert!(of_message(&mut [0x26, 0, 9]).is_err());
        assert!(of_message(&mut [0x7f]).is_err());
    }

    #[test]
    fn an_expiry_of_the_session_is_found_behind_others() {
        assert!(says_session_expiry(b"\x21\x00\x05\x11\x00\x00\x00\x00"));
        assert!(!says_session_expiry(b"\x21\x00\x11"));
        assert!(!says_session_expiry(b""));
    }
}
