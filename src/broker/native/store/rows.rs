//! What stands in the file's rows, and the checksum of each.

use super::change::{LoadedSession, SessionRecord};
use super::codec;
use super::file::{FileError, damaged};
use super::row::{Columns, Sum};
use super::wall::Wall;
use bytestring::ByteString;
use rusqlite::Row;

pub(super) fn text<'a>(row: &'a Row<'_>, at: usize) -> Result<&'a str, FileError> {
    row.get_ref(at)?.as_str().map_err(|_| damaged("a text is none"))
}

pub(super) fn some_text<'a>(row: &'a Row<'_>, at: usize) -> Result<Option<&'a str>, FileError> {
    row.get_ref(at)?
        .as_str_or_null()
        .map_err(|_| damaged("a text is none"))
}

pub(super) fn columns<'a>(row: &'a Row<'_>, from: usize) -> Result<Columns<'a>, FileError> {
    Ok(Columns {
        topic: text(row, from)?,
        payload: row
            .get_ref(from + 1)?
            .as_blob()
            .map_err(|_| damaged("a payload is none"))?,
        flags: row.get(from + 2)?,
        expires: row.get(from + 3)?,
        properties: row
            .get_ref(from + 4)?
            .as_blob_or_null()
            .map_err(|_| damaged("properties"))?,
    })
}

pub(super) fn session(row: &Row<'_>, wall: Wall) -> Result<LoadedSession, FileError> {
    let (client, expiry) = (text(row, 0)?, row.get::<_, u32>(1)?);
    let user = row.get::<_, Option<String>>(2)?;
    let (away, due) = (row.get::<_, Option<i64>>(3)?, row.get::<_, Option<i64>>(4)?);
    let will = row.get::<_, Option<Vec<u8>>>(5)?;
    let (listener, last_id) = (some_text(row, 7)?, row.get::<_, Option<u16>>(8)?);
    let sum = session_sum(client, expiry, user.as_deref(), away, due, will.as_deref());
    check(row, 6, later_session_sum(sum, listener, last_id))?;
    let will = match (due, will) {
        (Some(due), Some(will)) => Some((wall.until(due), codec::will(&will).ok_or(damaged("a will"))?)),
        _ => None,
    };
    Ok(LoadedSession {
        client: client.into(),
        record: SessionRecord {
            expiry,
            user: user.map(ByteString::from),
            listener: listener.unwrap_or_default().into(),
            away: away.map(|away| wall.since(away)),
            last_id: last_id.unwrap_or_default(),
            will,
        },
        subscriptions: Vec::new(),
        queue: Vec::new(),
        received: Vec::new(),
    })
}

pub(super) fn check(row: &Row<'_>, at: usize, sum: Sum) -> Result<(), FileError> {
    match row.get::<_, u32>(at)? == sum.end() {
        true => Ok(()),
        false => Err(damaged("the checksum of a row is wrong")),
    }
}

pub(super) fn session_sum(
    client: &str,
    expiry: u32,
    user: Option<&str>,
    away: Option<i64>,
    due: Option<i64>,
    will: Option<&[u8]>,
) -> Sum {
    Sum::of("session")
        .bytes(client.as_bytes())
        .number(expiry.into())
        .some_bytes(user.map(str::as_bytes))
        .some_number(away)
        .some_number(due)
        .some_bytes(will)
}

pub(super) fn later_session_sum(sum: Sum, listener: Option<&str>, last_id: Option<u16>) -> Sum {
    sum.later("listener", listener.map(str::as_bytes))
        .later_number("last_id", last_id)
}

pub(super) fn subscription_sum(client: &str, filter: &str, flags: u8, id: Option<u32>) -> Sum {
    Sum::of("subscription")
        .bytes(client.as_bytes())
        .bytes(filter.as_bytes())
        .number(flags.into())
        .some_number(id.map(i64::from))
}

pub(super) fn queued_sum(
    client: &str,
    seq: i64,
    level: u8,
    retain: bool,
    ids: &[u8],
    it: &Columns<'_>,
) -> Sum {
    let sum = Sum::of("queued").bytes(client.as_bytes()).number(seq);
    it.sum(sum.number(level.into()).number(retain.into()).bytes(ids))
}

pub(super) fn sent_sum(client: &str, seq: i64, packet_id: u16, released: bool) -> Sum {
    Sum::of("sent")
        .bytes(client.as_bytes())
        .number(seq)
        .number(packet_id.into())
        .number(released.into())
}

pub(super) fn received_sum(client: &str, packet_id: u16) -> Sum {
    Sum::of("received")
        .bytes(client.as_bytes())
        .number(packet_id.into())
}
