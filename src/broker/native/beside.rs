//! What the gateway's own links see of a message's properties, and what they say by them (MQTT 5 section 3.3.2.3).

use super::message::Message;
use crate::broker::{Beside, Sent};
use crate::topic::Topic;
use bytes::Bytes;

const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;

/// What is said beside a message; `None` where that is nothing.
pub(super) fn of(message: &Message, sent: Option<&Sent>) -> Option<Box<Beside>> {
    let mut beside = Beside {
        expires: message.expires,
        sent: sent.cloned(),
        ..Beside::default()
    };
    let all = message.properties.as_ref();
    let mut rest = all.map_or(&[][..], |all| all);
    while let Some((id, behind)) = rest.split_first() {
        let Some((value, behind)) = property(*id, behind) else {
            // The connection has let only those through that are good.
            break;
        };
        match *id {
            RESPONSE_TOPIC => {
                let text = std::str::from_utf8(value).ok();
                beside.response = text.and_then(|text| Topic::parse(text).ok());
            }
            CORRELATION_DATA => beside.correlation = all.map(|all| all.slice_ref(value)),
            _ => {}
        }
        rest = behind;
    }
    (beside != Beside::default()).then(|| Box::new(beside))
}

/// The properties that say the same.
pub(super) fn written(beside: &Beside) -> Option<Bytes> {
    let data = beside.correlation.as_ref()?;
    let mut properties = vec![CORRELATION_DATA];
    properties.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
    properties.extend_from_slice(data);
    Some(properties.into())
}

/// The value of a property that receivers get, and what is behind it.
fn property(id: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = |bytes: &'_ [u8]| -> Option<usize> {
        let length = bytes.first_chunk::<2>()?;
        Some(2 + usize::from(u16::from_be_bytes(*length)))
    };
    let (start, end) = match id {
        0x01 => (0, 1),
        0x03 | RESPONSE_TOPIC | CORRELATION_DATA => (2, text(bytes)?),
        0x26 => {
            let name = text(bytes)?;
            (0, name + text(bytes.get(name..)?)?)
        }
        _ => return None,
    };
    Some((bytes.get(start..end)?, &bytes[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(properties: &[u8]) -> Message {
        Message {
            properties: Some(Bytes::copy_from_slice(properties)),
            ..Message::empty()
        }
    }

    fn read(message: &Message) -> Option<Box<Beside>> {
        of(message, None)
    }

    #[test]
    fn response_topic_and_correlation_data_are_found_among_others() {
        let found = read(&message(
            b"\x01\x01\x26\x00\x01k\x00\x01v\x09\x00\x02ab\x08\x00\x03a/b\x03\x00\x01t",
        ))
        .unwrap();
        assert_eq!(found.response, Topic::parse("a/b").ok());
        assert_eq!(found.correlation.as_deref(), Some(&b"ab"[..]));
        assert_eq!(read(&Message::empty()), None);
        let again = written(&found).unwrap();
        assert_eq!(read(&message(&again)).unwrap().correlation, found.correlation);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(properties in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&message(&properties));
        }
    }
}
