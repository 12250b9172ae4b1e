//! The file: SQLite, and no other file knows it.

use super::super::message::{Kept, Who};
use super::change::{Loaded, LoadedMessage, LoadedSession};
use super::codec;
use super::group::{Client, Group, Queued, Record};
use super::row::{self, Columns, Source, Sum};
use super::rows::{
    check, columns, later_session_sum, queued_sum, received_sum, sent_sum, session, session_sum, some_text,
    subscription_sum, text,
};
use super::wall::Wall;
use bytestring::ByteString;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, ffi, params};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// "mqttyd" with a number behind it, as `file` and SQLite's tools show it.
const APPLICATION: i32 = 0x6d71_7479;
/// Which tables and columns there are. A file with a higher number is of a newer version of this program.
const VERSION: i32 = 1 + LATER.len() as i32;

/// So many pages of the write-ahead log are copied into the file together.
const LOG_PAGES: i64 = 2_000;

/// Version 1.
const TABLES: &str = "
    CREATE TABLE retained (
        topic TEXT PRIMARY KEY, payload BLOB NOT NULL, flags INTEGER NOT NULL, expires INTEGER, properties BLOB,
        sum INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE session (
        client TEXT PRIMARY KEY, expiry INTEGER NOT NULL, user TEXT, away INTEGER, will_due INTEGER, will BLOB,
        sum INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE subscription (
        client TEXT, filter TEXT, options INTEGER NOT NULL, id INTEGER, sum INTEGER NOT NULL,
        PRIMARY KEY (client, filter)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE queued (
        client TEXT, seq INTEGER, qos INTEGER NOT NULL, retain INTEGER NOT NULL, ids BLOB NOT NULL,
        topic TEXT NOT NULL, payload BLOB NOT NULL, flags INTEGER NOT NULL, expires INTEGER, properties BLOB,
        sum INTEGER NOT NULL, PRIMARY KEY (client, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sent (
        client TEXT, seq INTEGER, packet_id INTEGER NOT NULL, released INTEGER NOT NULL, sum INTEGER NOT NULL,
        PRIMARY KEY (client, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE received (
        client TEXT, packet_id INTEGER, sum INTEGER NOT NULL, PRIMARY KEY (client, packet_id)
    ) STRICT, WITHOUT ROWID;
";

/// What each version after the first adds. A file of an older one is brought up to date when it is opened.
const LATER: [&str; 2] = [
    // Who published what is retained, and which way a client came.
    "ALTER TABLE retained ADD COLUMN client TEXT;
    ALTER TABLE retained ADD COLUMN user TEXT;
    ALTER TABLE retained ADD COLUMN listener TEXT;
    ALTER TABLE session ADD COLUMN listener TEXT;",
    // Packet ids go on where they were.
    "ALTER TABLE queued ADD COLUMN packet_id INTEGER;
    ALTER TABLE session ADD COLUMN last_id INTEGER;",
];

/// The checksum of what SQLite keeps of these statements. A letter of them that turned would be another column, and nothing
/// could be written any more.
const SCHEMA: u32 = 446_140_748;

/// Those with something of a session.
const OF_SESSIONS: [&str; 5] = ["session", "subscription", "queued", "sent", "received"];

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It can't be read as it is: nothing but another file helps.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// It was written by a later version of this program.
    #[error("the file is of a newer version: {0}, where this program knows {VERSION}")]
    Newer(i32),
    /// Another process has it.
    #[error("the file is in use")]
    InUse,
    /// It can't be read or written now.
    #[error(transparent)]
    Now(rusqlite::Error),
    /// The same, said by the system.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rusqlite::Error> for FileError {
    fn from(error: rusqlite::Error) -> FileError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                FileError::Damaged(error.to_string())
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FileError::InUse,
            _ => FileError::Now(error),
        }
    }
}

impl FileError {
    /// What it means where a file that was there can't be opened although it may be: unless the system has its
    /// reasons, something is wrong in it.
    pub(super) fn at_open(self) -> FileError {
        let FileError::Now(error) = &self else {
            return self;
        };
        let unreadable = [
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_IOERR_SHORT_READ,
            ffi::SQLITE_IOERR_CORRUPTFS,
        ];
        // Where SQLite itself has no code for it, a statement of ours doesn't fit the tables.
        let reasons = error.sqlite_error().is_some_and(|error| match error.code {
            ErrorCode::SystemIoFailure => !unreadable.contains(&error.extended_code),
            ErrorCode::DiskFull
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::PermissionDenied => true,
            _ => false,
        });
        match reasons {
            true => self,
            false => FileError::Damaged(self.to_string()),
        }
    }
}

pub(super) fn damaged(what: &str) -> FileError {
    FileError::Damaged(what.to_owned())
}

/// The checksum of the tables as they are.
fn schema(sqlite: &Connection) -> Result<u32, FileError> {
    let mut query = sqlite.prepare("SELECT name, tbl_name, sql FROM sqlite_schema ORDER BY name")?;
    let mut rows = query.query([])?;
    let mut sum = Sum::of("sqlite_schema");
    while let Some(row) = rows.next()? {
        for column in 0..3 {
            let text = row.get_ref(column)?.as_bytes_or_null();
            sum = sum.some_bytes(text.map_err(|_| damaged("its tables are not ours"))?);
        }
    }
    Ok(sum.end())
}

/// An open file.
#[derive(Debug)]
pub(super) struct File {
    sqlite: Connection,
    /// What was committed and is not in the file itself yet.
    log: fs::File,
    #[cfg(test)]
    slow: Duration,
}

impl File {
    /// Opens what is there, or makes a new one where nothing is. With `each`, a commit waits for the disk.
    pub(super) fn open(path: &Path, each: bool) -> Result<File, FileError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let sqlite = Connection::open_with_flags(path, flags)?;
        sqlite.busy_timeout(Duration::ZERO)?;
        sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        sqlite.set_prepared_statement_cache_capacity(32);
        // Small pages: a small change is a small write. They count only before anything is in the file.
        sqlite.pragma_update(None, "page_size", 1024)?;
        sqlite.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let mode: String = sqlite.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(damaged("it can't have a write-ahead log"));
        }
        sqlite.pragma_update(None, "synchronous", if each { "FULL" } else { "NORMAL" })?;
        sqlite.pragma_update(None, "wal_autocheckpoint", 0)?;
        sqlite.pragma_update(None, "temp_store", "MEMORY")?;
        sqlite.pragma_update(None, "cache_size", -1024)?;
        sqlite.pragma_update(None, "cell_size_check", true)?;
        let number = |name| sqlite.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        match (number("application_id")?, number("user_version")?) {
            (0, 0) if number("schema_version")? == 0 => {
                let make = sqlite.unchecked_transaction()?;
                make.execute_batch(TABLES)?;
                for step in LATER {
                    make.execute_batch(step)?;
                }
                make.pragma_update(None, "application_id", APPLICATION)?;
                make.pragma_update(None, "user_version", VERSION)?;
                make.commit()?;
            }
            (APPLICATION, VERSION) => {}
            (APPLICATION, older @ 1..VERSION) => {
                let update = sqlite.unchecked_transaction()?;
                // Step 0 makes version 2 of version 1.
                for step in LATER.iter().skip(older as usize - 1) {
                    update.execute_batch(step)?;
                }
                update.pragma_update(None, "user_version", VERSION)?;
                update.commit()?;
            }
            (APPLICATION, newer) if newer > VERSION => return Err(FileError::Newer(newer)),
            _ => return Err(damaged("it is not one of ours")),
        }
        if schema(&sqlite)? != SCHEMA {
            return Err(damaged("its tables are not ours"));
        }
        let word: String = sqlite.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if word != "ok" {
            return Err(FileError::Damaged(word));
        }
        let log = fs::File::open(log_of(path))?;
        let file = File {
            sqlite,
            log,
            #[cfg(test)]
            slow: Duration::ZERO,
        };
        file.checkpoint()?;
        Ok(file)
    }

    /// Writes a group: all of it, or, where that fails, nothing.
    pub(super) fn write(&mut self, group: &Group, wall: Wall) -> Result<(), FileError> {
        #[cfg(test)]
        std::thread::park_timeout(self.slow);
        // Rolls back when it is dropped.
        let whole = self.sqlite.unchecked_transaction()?;
        if group.anew {
            for table in OF_SESSIONS.iter().chain(&["retained"]) {
                self.run(&format!("DELETE FROM {table}"), [])?;
            }
        }
        for (topic, kept) in &group.retained {
            match kept {
                Some(Kept { message, source }) => {
                    let it = Columns::of(message, wall);
                    let source = source.as_deref().map(Source::of).unwrap_or_default();
                    let sum = source.sum(it.sum(Sum::of("retained"))).end();
                    self.run(
                        "INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        params![
                            it.topic,
                            it.payload,
                            it.flags,
                            it.expires,
                            it.properties,
                            sum,
                            source.client,
                            source.user,
                            source.listener
                        ],
                    )?;
                }
                None => self.run("DELETE FROM retained WHERE topic = ?", [&**topic])?,
            }
        }
        for (client, of) in &group.clients {
            self.write_client(client, of, wall)?;
        }
        whole.commit()?;
        Ok(())
    }

    fn write_client(&self, client: &str, of: &Client, wall: Wall) -> Result<(), FileError> {
        if of.anew {
            self.forget(client)?;
        }
        if let Some(Record {
            expiry,
            user,
            listener,
            away,
            last_id,
            will,
        }) = &of.record
        {
            let due = will.as_ref().map(|(due, _)| *due);
            let will = will.as_ref().map(|(_, will)| codec::pack_will(will));
            let listener = Some(&**listener).filter(|listener| !listener.is_empty());
            let sum = session_sum(client, *expiry, user.as_deref(), *away, due, will.as_deref());
            let last_id = Some(*last_id).filter(|last_id| *last_id != 0);
            let sum = later_session_sum(sum, listener, last_id).end();
            self.run(
                "INSERT OR REPLACE INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    client,
                    expiry,
                    user.as_deref(),
                    away,
                    due,
                    will,
                    sum,
                    listener,
                    last_id
                ],
            )?;
        }
        for (filter, options) in &of.subscriptions {
            match options {
                Some(options) => {
                    let (flags, id) = (row::pack_options(options), options.id.map(|id| id.get()));
                    let sum = subscription_sum(client, filter, flags, id).end();
                    self.run(
                        "INSERT OR REPLACE INTO subscription VALUES (?, ?, ?, ?, ?)",
                        params![client, &**filter, flags, id, sum],
                    )?;
                }
                None => self.run(
                    "DELETE FROM subscription WHERE client = ? AND filter = ?",
                    params![client, &**filter],
                )?,
            }
        }
        for (seq, queued) in &of.queue {
            let seq = seq.cast_signed();
            match queued {
                Some(Queued {
                    packet_id,
                    message,
                    qos,
                    retain,
                    ids,
                }) => {
                    let it = Columns::of(message, wall);
                    let (level, ids) = (codec::level(*qos), codec::pack_ids(ids));
                    let packet_id = packet_id.map(NonZeroU16::get);
                    let sum = queued_sum(client, seq, level, *retain, &ids, &it);
                    let sum = sum.later_number("packet_id", packet_id).end();
                    self.run(
                        "INSERT OR REPLACE INTO queued VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        params![
                            client,
                            seq,
                            level,
                            retain,
                            ids,
                            it.topic,
                            it.payload,
                            it.flags,
                            it.expires,
                            it.properties,
                            sum,
                            packet_id
                        ],
                    )?;
                }
                None => {
                    self.run(
                        "DELETE FROM queued WHERE client = ? AND seq = ?",
                        params![client, seq],
                    )?;
                    self.run(
                        "DELETE FROM sent WHERE client = ? AND seq = ?",
                        params![client, seq],
                    )?;
                }
            }
        }
        for (seq, (packet_id, released)) in &of.sent {
            let seq = seq.cast_signed();
            self.run(
                "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?)",
                params![
                    client,
                    seq,
                    packet_id,
                    released,
                    sent_sum(client, seq, *packet_id, *released).end()
                ],
            )?;
        }
        for (packet_id, there) in &of.received {
            match there {
                true => self.run(
                    "INSERT OR REPLACE INTO received VALUES (?, ?, ?)",
                    params![client, packet_id, received_sum(client, *packet_id).end()],
                )?,
                false => self.run(
                    "DELETE FROM received WHERE client = ? AND packet_id = ?",
                    params![client, packet_id],
                )?,
            }
        }
        Ok(())
    }

    fn forget(&self, client: &str) -> Result<(), FileError> {
        for table in OF_SESSIONS {
            self.run(&format!("DELETE FROM {table} WHERE client = ?"), [client])?;
        }
        Ok(())
    }

    fn run(&self, sql: &str, with: impl rusqlite::Params) -> Result<(), FileError> {
        self.sqlite.prepare_cached(sql)?.execute(with)?;
        Ok(())
    }

    /// The smallest commit: whether anything can be written.
    pub(super) fn touch(&self) -> Result<(), FileError> {
        self.sqlite.pragma_update(None, "user_version", VERSION)?;
        Ok(())
    }

    /// Waits until the disk has all that was committed.
    pub(super) fn sync(&self) -> io::Result<()> {
        // What SQLite does itself after each commit when it is asked for that.
        self.log.sync_data()
    }

    /// Copies the log into the file, with the disk's word for both.
    pub(super) fn checkpoint(&self) -> Result<(), FileError> {
        let busy: i64 = self
            .sqlite
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err(FileError::InUse) }
    }

    /// The same, when the log has become long; its room is used again.
    pub(super) fn tidy(&self) -> Result<(), FileError> {
        let pages: i64 = self
            .sqlite
            .query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1))?;
        if pages > LOG_PAGES {
            self.sqlite
                .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    /// All that it holds, and holds it no longer where it is too old.
    pub(super) fn load(&mut self, wall: Wall) -> Result<Loaded, FileError> {
        let whole = self.sqlite.unchecked_transaction()?;
        let mut loaded = Loaded::default();
        let mut old = Vec::new();
        // Few publish most of it.
        let mut sources: HashSet<Arc<Who>> = HashSet::new();
        self.each("SELECT * FROM retained ORDER BY topic", |row| {
            let it = columns(row, 0)?;
            let source = Source {
                client: some_text(row, 6)?,
                user: some_text(row, 7)?,
                listener: some_text(row, 8)?,
            };
            check(row, 5, source.sum(it.sum(Sum::of("retained"))))?;
            if it.is_old(wall) {
                old.push(it.topic.to_owned());
                return Ok(());
            }
            let source = source.who().map(|who| match sources.get(&who) {
                Some(known) => known.clone(),
                None => {
                    let who = Arc::new(who);
                    sources.insert(who.clone());
                    who
                }
            });
            let message = Arc::new(it.message(wall).ok_or(damaged("properties"))?);
            loaded.retained.push(Kept { message, source });
            Ok(())
        })?;
        for topic in old {
            self.run("DELETE FROM retained WHERE topic = ?", [topic])?;
        }
        let mut sessions = BTreeMap::new();
        let mut old = Vec::new();
        self.each("SELECT * FROM session", |row| {
            let session = session(row, wall)?;
            let since = session.record.away.unwrap_or_default();
            if since < Duration::from_secs(session.record.expiry.into()) || session.record.expiry == u32::MAX
            {
                sessions.insert(session.client.clone(), session);
            } else {
                if session.record.will.is_some() {
                    loaded.sessions.push(session);
                } else {
                    old.push(session.client);
                }
            }
            Ok(())
        })?;
        for client in old {
            self.forget(&client)?;
        }
        self.load_parts(&mut sessions, wall)?;
        // Of sessions that there are not, or of messages; nobody would ever take it away.
        for table in &OF_SESSIONS[1..] {
            self.run(
                &format!("DELETE FROM {table} WHERE client NOT IN (SELECT client FROM session)"),
                [],
            )?;
        }
        self.run(
            "DELETE FROM sent WHERE (client, seq) NOT IN (SELECT client, seq FROM queued)",
            [],
        )?;
        whole.commit()?;
        loaded.sessions.extend(sessions.into_values());
        Ok(loaded)
    }

    fn load_parts(
        &self,
        sessions: &mut BTreeMap<ByteString, LoadedSession>,
        wall: Wall,
    ) -> Result<(), FileError> {
        self.each("SELECT * FROM subscription", |row| {
            let (client, filter) = (text(row, 0)?, text(row, 1)?);
            let (flags, id) = (row.get::<_, u8>(2)?, row.get::<_, Option<u32>>(3)?);
            check(row, 4, subscription_sum(client, filter, flags, id))?;
            let options = row::options(flags, id).ok_or(damaged("options"))?;
            if let Some(session) = sessions.get_mut(client) {
                session.subscriptions.push((filter.into(), options));
            }
            Ok(())
        })?;
        let mut sent: HashMap<ByteString, HashMap<u64, (u16, bool)>> = HashMap::new();
        self.each("SELECT * FROM sent", |row| {
            let (client, seq) = (text(row, 0)?, row.get::<_, i64>(1)?);
            let (packet_id, released) = (row.get::<_, u16>(2)?, row.get::<_, bool>(3)?);
            check(row, 4, sent_sum(client, seq, packet_id, released))?;
            let of = sent.entry(client.into()).or_default();
            of.insert(seq.cast_unsigned(), (packet_id, released));
            Ok(())
        })?;
        let mut old = Vec::new();
        self.each("SELECT * FROM queued ORDER BY client, seq", |row| {
            let (client, seq) = (text(row, 0)?, row.get::<_, i64>(1)?);
            let (level, retain) = (row.get::<_, u8>(2)?, row.get::<_, bool>(3)?);
            let packed = row.get_ref(4)?.as_blob().map_err(|_| damaged("identifiers"))?;
            let it = columns(row, 5)?;
            let packet_id = row.get::<_, Option<u16>>(11)?;
            let sum = queued_sum(client, seq, level, retain, packed, &it);
            check(row, 10, sum.later_number("packet_id", packet_id))?;
            let Some(session) = sessions.get_mut(client) else {
                return Ok(());
            };
            let sent = sent
                .get(client)
                .and_then(|of| of.get(&seq.cast_unsigned()))
                .copied();
            if sent.is_none() && it.is_old(wall) {
                // One that is on its way goes on (section 3.3.2.3.3).
                old.push((ByteString::from(client), seq));
                return Ok(());
            }
            session.queue.push(LoadedMessage {
                seq: seq.cast_unsigned(),
                packet_id: packet_id.and_then(NonZeroU16::new),
                message: Arc::new(it.message(wall).ok_or(damaged("properties"))?),
                qos: codec::qos(level).ok_or(damaged("quality of service"))?,
                retain,
                ids: codec::ids(packed).ok_or(damaged("identifiers"))?,
                sent,
            });
            Ok(())
        })?;
        for (client, seq) in old {
            self.run(
                "DELETE FROM queued WHERE client = ? AND seq = ?",
                params![&*client, seq],
            )?;
        }
        self.each("SELECT * FROM received", |row| {
            let (client, packet_id) = (text(row, 0)?, row.get::<_, u16>(1)?);
            check(row, 2, received_sum(client, packet_id))?;
            if let Some(session) = sessions.get_mut(client) {
                session.received.push(packet_id);
            }
            Ok(())
        })
    }

    fn each(
        &self,
        sql: &str,
        mut take: impl FnMut(&Row<'_>) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let mut statement = self.sqlite.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // A value of another kind, or out of its range, is not what was written.
            take(row).map_err(|error| match error {
                FileError::Now(what) => FileError::Damaged(what.to_string()),
                other => other,
            })?;
        }
        Ok(())
    }

    /// Each write takes so much longer: for the tests of a slow disk.
    #[cfg(test)]
    pub(super) fn slow_down(&mut self, each: Duration) {
        self.slow = each;
    }

    /// How many pages it may have: for the tests of a full disk.
    #[cfg(test)]
    pub(super) fn limit(&self, pages: u32) {
        self.sqlite.pragma_update(None, "max_page_count", pages).unwrap();
    }
}

/// Where SQLite keeps the write-ahead log of a file.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_tables() {
        let sqlite = Connection::open_in_memory().unwrap();
        sqlite.execute_batch(TABLES).unwrap();
        for step in LATER {
            sqlite.execute_batch(step).unwrap();
        }
        assert_eq!(schema(&sqlite).unwrap(), SCHEMA);
    }
}
