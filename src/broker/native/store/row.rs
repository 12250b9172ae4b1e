//! Rows of the tables: each carries a checksum of all that it says, for SQLite has none.

use super::super::message::{Message, Options, Who};
use super::codec;
use super::wall::Wall;
use bytes::Bytes;
use bytestring::ByteString;
use crc::{CRC_32_ISO_HDLC, Crc};
use std::num::NonZeroU32;
use std::time::Duration;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The checksum of a row: each column behind its length.
pub(super) struct Sum(crc::Digest<'static, u32>);

impl Sum {
    pub(super) fn of(table: &str) -> Sum {
        Sum(CRC.digest()).bytes(table.as_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Sum {
        // The same on machines of 32 and of 64 bits: a file may go from one to the other.
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    pub(super) fn number(self, number: i64) -> Sum {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn some_bytes(self, bytes: Option<&[u8]>) -> Sum {
        match bytes {
            Some(bytes) => self.number(1).bytes(bytes),
            None => self.number(0),
        }
    }

    pub(super) fn some_number(self, number: Option<i64>) -> Sum {
        match number {
            Some(number) => self.number(1).number(number),
            None => self.number(0),
        }
    }

    /// A column that the table has not had from the beginning: nothing, where the row was written without it.
    pub(super) fn later(self, column: &str, bytes: Option<&[u8]>) -> Sum {
        match bytes {
            Some(bytes) => self.bytes(column.as_bytes()).bytes(bytes),
            None => self,
        }
    }

    pub(super) fn later_number(self, column: &str, number: Option<u16>) -> Sum {
        self.later(
            column,
            number.map(u16::to_le_bytes).as_ref().map(|bytes| &bytes[..]),
        )
    }

    pub(super) fn end(self) -> u32 {
        self.0.finalize()
    }
}

/// The columns that a message has wherever it stands.
pub(super) struct Columns<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    /// The level of quality of service, and 4 for the retain flag.
    pub(super) flags: u8,
    pub(super) expires: Option<i64>,
    pub(super) properties: Option<&'a [u8]>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(message: &'a Message, wall: Wall) -> Columns<'a> {
        Columns {
            topic: &message.topic,
            payload: &message.payload,
            flags: codec::level(message.qos) | u8::from(message.retain) << 2,
            expires: message.expires.map(|expires| wall.at(expires)),
            properties: message.properties.as_deref(),
        }
    }

    pub(super) fn sum(&self, sum: Sum) -> Sum {
        sum.bytes(self.topic.as_bytes())
            .bytes(self.payload)
            .number(self.flags.into())
            .some_number(self.expires)
            .some_bytes(self.properties)
    }

    /// Whether it is too old to be delivered.
    pub(super) fn is_old(&self, wall: Wall) -> bool {
        self.expires.is_some_and(|expires| expires <= wall.millis)
    }

    pub(super) fn message(&self, wall: Wall) -> Option<Message> {
        let left: Option<Duration> = self.expires.map(|expires| wall.until(expires));
        Some(Message {
            topic: ByteString::from(self.topic),
            payload: Bytes::copy_from_slice(self.payload),
            qos: codec::qos(self.flags & 3)?,
            retain: self.flags & 4 != 0,
            // One that is too far to be told never comes.
            expires: left.and_then(|left| wall.now.checked_add(left)),
            properties: self.properties.map(Bytes::copy_from_slice),
        })
    }
}

/// The columns that say who published what is retained: all are empty where it was ourselves.
#[derive(Default)]
pub(super) struct Source<'a> {
    pub(super) client: Option<&'a str>,
    pub(super) user: Option<&'a str>,
    pub(super) listener: Option<&'a str>,
}

impl<'a> Source<'a> {
    pub(super) fn of(who: &'a Who) -> Source<'a> {
        Source {
            client: Some(&who.client),
            user: who.user.as_deref(),
            listener: Some(&who.listener),
        }
    }

    pub(super) fn sum(&self, sum: Sum) -> Sum {
        sum.later("client", self.client.map(str::as_bytes))
            .later("user", self.user.map(str::as_bytes))
            .later("listener", self.listener.map(str::as_bytes))
    }

    pub(super) fn who(&self) -> Option<Who> {
        Some(Who {
            client: self.client?.into(),
            user: self.user.map(ByteString::from),
            listener: self.listener.unwrap_or_default().into(),
        })
    }
}

/// All of a subscription's options but the number that the client gave it.
pub(super) fn pack_options(options: &Options) -> u8 {
    codec::level(options.qos)
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | options.retain_handling << 4
}

pub(super) fn options(flags: u8, id: Option<u32>) -> Option<Options> {
    Some(Options {
        qos: codec::qos(flags & 3)?,
        no_local: flags & 4 != 0,
        retain_as_published: flags & 8 != 0,
        retain_handling: flags >> 4,
        id: match id {
            Some(id) => Some(NonZeroU32::new(id)?),
            None => None,
        },
    })
}
