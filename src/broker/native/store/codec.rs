//! Bytes for what has no column of its own: wills, subscription identifiers.
//!
//! A number is little-endian; bytes come behind their length; what may be absent comes behind a 0 or 1.

use super::super::wire::Will;
use crate::broker::Qos;
use bytes::Bytes;
use bytestring::ByteString;
use std::num::NonZeroU32;

pub(super) fn qos(level: u8) -> Option<Qos> {
    Some(match level {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        2 => Qos::ExactlyOnce,
        _ => return None,
    })
}

pub(super) fn level(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

pub(super) fn pack_ids(ids: &[NonZeroU32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.get().to_le_bytes()).collect()
}

pub(super) fn ids(bytes: &[u8]) -> Option<Vec<NonZeroU32>> {
    let (ids, rest) = bytes.as_chunks::<4>();
    let ids = ids.iter().map(|id| NonZeroU32::new(u32::from_le_bytes(*id)));
    rest.is_empty().then(|| ids.collect())?
}

pub(super) fn pack_will(will: &Will) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(will.delay.to_le_bytes());
    put(&mut out, will.topic.as_bytes());
    put(&mut out, &will.payload);
    out.push(level(will.qos));
    out.push(will.retain.into());
    out.push(will.expiry.is_some().into());
    out.extend(will.expiry.unwrap_or(0).to_le_bytes());
    put_some(&mut out, will.properties.as_deref());
    out
}

pub(super) fn will(bytes: &[u8]) -> Option<Will> {
    let mut from = Reader(bytes);
    let will = Will {
        delay: from.number()?,
        topic: from.text()?,
        payload: from.bytes()?,
        qos: qos(from.byte()?)?,
        retain: from.flag()?,
        expiry: {
            let there = from.flag()?;
            let expiry = from.number()?;
            there.then_some(expiry)
        },
        properties: if from.flag()? { Some(from.bytes()?) } else { None },
    };
    from.0.is_empty().then_some(will)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // No packet of MQTT is as long as 4 GiB.
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn put_some(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(bytes.is_some().into());
    if let Some(bytes) = bytes {
        put(out, bytes);
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length).map(Bytes::copy_from_slice)
    }

    fn text(&mut self) -> Option<ByteString> {
        ByteString::try_from(self.bytes()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::some;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(will in some::will()) {
            let packed = pack_will(&will);
            prop_assert_eq!(super::will(&packed), Some(will.clone()));
            // Nothing shorter is taken for one.
            prop_assert_eq!(super::will(&packed[..packed.len() - 1]), None);
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = super::will(&bytes);
            let _ = super::ids(&bytes);
        }
    }

    #[test]
    fn identifiers_come_out_again() {
        let some = [NonZeroU32::MIN, NonZeroU32::MAX];
        assert_eq!(ids(&pack_ids(&some)), Some(some.to_vec()));
        assert_eq!(ids(&[]), Some(vec![]));
        assert_eq!(ids(&[0; 4]), None);
        assert_eq!(ids(&[1; 5]), None);
    }
}
