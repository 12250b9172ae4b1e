//! Takes bytes apart into the pieces that fields ask for by number or key.

use super::config::{Columns, Decode, Pairs};
use super::record::{Info, Value};
use regex::bytes::Regex;
use std::borrow::Cow;

/// The most pieces of one frame that are looked at.
const PIECES_MAX: usize = 4096;

/// A way to take bytes apart, ready for use.
#[derive(Debug, Clone)]
pub(crate) enum Split {
    Binary,
    Columns(Columns),
    Pairs(Pairs),
    Regex(Regex),
    Obis,
    Json,
    Named(super::named::Named),
}

/// Bytes taken apart.
#[derive(Debug)]
pub(crate) enum Parts<'a> {
    Binary,
    Columns(Vec<Cow<'a, [u8]>>),
    Pairs(Found<'a>),
    Groups(Vec<(&'a str, &'a [u8])>),
    Json(serde_json::Value),
    Values(Vec<(Info, Value)>),
}

/// Keys and what belongs to them, in order.
type Found<'a> = Vec<(Cow<'a, str>, &'a [u8])>;

/// Why bytes can't be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SplitError {
    #[error("there are {found} columns, not {least} to {most}")]
    Columns { found: usize, least: usize, most: usize },
    #[error("a line has no separator between key and value")]
    Assign,
    #[error("the regular expression does not match")]
    Match,
    #[error("the text is no JSON")]
    Json,
    #[error("there are more pieces than a frame may have")]
    Many,
    #[error("{0}")]
    Named(String),
}

impl Split {
    pub(crate) fn new(decode: &Decode) -> Result<Split, String> {
        Ok(match decode {
            Decode::Binary => Split::Binary,
            Decode::Columns(columns) if columns.separator.is_empty() => {
                return Err("`separator` is empty: columns stand between separators".into());
            }
            Decode::Columns(columns) => Split::Columns(columns.clone()),
            Decode::Pairs(pairs) if pairs.separator.is_empty() || pairs.assign.is_empty() => {
                return Err("`separator` and `assign` must not be empty".into());
            }
            Decode::Pairs(pairs) => Split::Pairs(pairs.clone()),
            Decode::Regex(text) => Split::Regex(regex(text)?),
            Decode::Obis => Split::Obis,
            Decode::Json => Split::Json,
            Decode::Sml | Decode::Mbus | Decode::Dlms | Decode::Script(_) => {
                Split::Named(super::named::Named::new(decode)?)
            }
        })
    }

    /// Whether pieces have an order, so that one may follow the one before.
    pub(crate) fn ordered(&self) -> bool {
        matches!(self, Split::Binary | Split::Columns(_))
    }

    /// Whether fields are named by key.
    pub(crate) fn keyed(&self) -> bool {
        !self.ordered()
    }

    pub(crate) fn apart<'a>(&'a self, bytes: &'a [u8]) -> Result<Parts<'a>, SplitError> {
        Ok(match self {
            Split::Binary => Parts::Binary,
            Split::Columns(columns) => Parts::Columns(apart_columns(columns, bytes)?),
            Split::Pairs(pairs) => Parts::Pairs(apart_pairs(pairs, bytes)?),
            Split::Regex(regex) => {
                let captures = regex.captures(bytes).ok_or(SplitError::Match)?;
                let named = regex.capture_names().flatten();
                Parts::Groups(
                    named
                        .filter_map(|name| Some((name, captures.name(name)?.as_bytes())))
                        .collect(),
                )
            }
            Split::Obis => Parts::Pairs(apart_obis(bytes)?),
            Split::Json => Parts::Json(serde_json::from_slice(bytes).map_err(|_| SplitError::Json)?),
            Split::Named(named) => Parts::Values(named.values(bytes).map_err(SplitError::Named)?),
        })
    }
}

/// Compiles a regular expression over bytes.
pub(crate) fn regex(text: &str) -> Result<Regex, String> {
    let built = regex::bytes::RegexBuilder::new(text).size_limit(1 << 20).build();
    built.map_err(|error| {
        let error = error.to_string();
        let reason = error
            .lines()
            .last()
            .unwrap_or("")
            .trim_start_matches("error: ")
            .to_owned();
        format!("not a regular expression: {reason}")
    })
}

fn apart_columns<'a>(columns: &Columns, bytes: &'a [u8]) -> Result<Vec<Cow<'a, [u8]>>, SplitError> {
    let separator = columns.separator.as_slice();
    let mut pieces: Vec<Cow<'a, [u8]>> = Vec::new();
    let mut rest = bytes;
    loop {
        if pieces.len() > PIECES_MAX {
            return Err(SplitError::Many);
        }
        let quote = columns.quote.and_then(|quote| u8::try_from(quote).ok());
        if let Some(quote) = quote
            && rest.first() == Some(&quote)
            && let Some((piece, after)) = quoted(rest, quote)
        {
            pieces.push(piece.into());
            match after.strip_prefix(separator) {
                Some(after) => rest = after,
                None => break,
            }
            continue;
        }
        let (piece, after) = match memchr::memmem::find(rest, separator) {
            Some(at) => (&rest[..at], Some(&rest[at + separator.len()..])),
            None => (rest, None),
        };
        if !(columns.squeeze && piece.is_empty()) {
            pieces.push(piece.into());
        }
        match after {
            Some(after) => rest = after,
            None => break,
        }
    }
    if let Some(count) = columns.count
        && !(count.0..=count.1).contains(&pieces.len())
    {
        let (least, most, found) = (count.0, count.1, pieces.len());
        return Err(SplitError::Columns { found, least, most });
    }
    Ok(pieces)
}

/// What stands between quotes, and what comes behind.
fn quoted(bytes: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut piece = Vec::new();
    let mut at = 1;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (byte, Some(next)) if *byte == quote && *next == quote => {
                piece.push(quote);
                at += 2;
            }
            (byte, _) if *byte == quote => return Some((piece, &bytes[at + 1..])),
            (byte, _) => {
                piece.push(*byte);
                at += 1;
            }
        }
    }
}

fn apart_pairs<'a>(pairs: &Pairs, bytes: &'a [u8]) -> Result<Found<'a>, SplitError> {
    let mut found = Vec::new();
    let mut rest = bytes;
    loop {
        let (item, after) = match memchr::memmem::find(rest, &pairs.separator) {
            Some(at) => (&rest[..at], Some(&rest[at + pairs.separator.len()..])),
            None => (rest, None),
        };
        let item = item.strip_suffix(b"\r").unwrap_or(item);
        let item = item.strip_prefix(b"\n").unwrap_or(item);
        let item = &item[..item.len().saturating_sub(pairs.trailer)];
        if !item.trim_ascii().is_empty() {
            match memchr::memmem::find(item, &pairs.assign) {
                Some(at) => {
                    let key = String::from_utf8_lossy(item[..at].trim_ascii());
                    found.push((key, &item[at + pairs.assign.len()..]));
                }
                None if pairs.strict => return Err(SplitError::Assign),
                None => {}
            }
        }
        if found.len() > PIECES_MAX {
            return Err(SplitError::Many);
        }
        match after {
            Some(after) => rest = after,
            None => return Ok(found),
        }
    }
}

/// `1-0:1.8.1(000123.456*kWh)`: the code names the last value, `code/0`, `code/1` ... each of them, `code/unit`
/// the unit of the last. The first line, behind its `/`, is `ident`.
fn apart_obis(bytes: &[u8]) -> Result<Found<'_>, SplitError> {
    let mut found: Found<'_> = Vec::new();
    let (mut code, mut number) = ("", 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if let Some(ident) = line.strip_prefix(b"/") {
            found.push(("ident".into(), ident));
            continue;
        }
        let mut rest = line;
        while let Some(open) = memchr::memchr(b'(', rest) {
            if open > 0 {
                code = std::str::from_utf8(&rest[..open]).unwrap_or_default().trim();
                code = code.trim_start_matches(['\u{2}', '!']);
                number = 0;
            }
            let Some(close) = memchr::memchr(b')', &rest[open..]) else {
                break;
            };
            let whole = &rest[open + 1..open + close];
            rest = &rest[open + close + 1..];
            if code.is_empty() {
                continue;
            }
            let (value, unit) = match memchr::memchr(b'*', whole) {
                Some(star) => (&whole[..star], &whole[star + 1..]),
                None => (whole, &whole[whole.len()..]),
            };
            found.retain(|(known, _)| {
                number == 0 || (known != code && known.strip_suffix("/unit") != Some(code))
            });
            found.push((Cow::Borrowed(code), value));
            found.push((format!("{code}/{number}").into(), value));
            if !unit.is_empty() {
                found.push((format!("{code}/unit").into(), unit));
            }
            number += 1;
            if found.len() > PIECES_MAX {
                return Err(SplitError::Many);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn columns(change: impl Fn(&mut Columns), text: &str) -> Result<Vec<String>, SplitError> {
        let mut columns = Columns::default();
        change(&mut columns);
        let pieces = apart_columns(&columns, text.as_bytes())?;
        Ok(pieces
            .iter()
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect())
    }

    #[test]
    fn columns_stand_between_separators() {
        assert_eq!(columns(|_| (), "a,,b").unwrap(), ["a", "", "b"]);
        let blanks = |columns: &mut Columns| {
            columns.separator = " ".as_bytes().into();
            columns.squeeze = true;
        };
        assert_eq!(columns(blanks, "  a  b ").unwrap(), ["a", "b"]);
        let quotes = |columns: &mut Columns| columns.quote = Some('"');
        assert_eq!(
            columns(quotes, "1,\"a,\"\"b\"\"\",2").unwrap(),
            ["1", "a,\"b\"", "2"]
        );
        let three = |columns: &mut Columns| columns.count = Some(super::super::config::Count(3, 3));
        assert!(columns(three, "1,2,3").is_ok());
        assert_eq!(
            columns(three, "1,2"),
            Err(SplitError::Columns {
                found: 2,
                least: 3,
                most: 3
            })
        );
    }

    #[test]
    fn obis_lines_name_their_values() {
        let text = b"/ISk5\r\n\r\n1-0:1.8.1(000004.426*kWh)\r\n0-1:24.2.1(170102161005W)(00000.107*m3)\r\nF.F(00)\r\n!";
        let found = apart_obis(text).unwrap();
        let get = |key: &str| {
            let mut all = found.iter().filter(|(known, _)| known == key);
            let value = all
                .next()
                .map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            assert!(all.next().is_none(), "{key} twice");
            value
        };
        assert_eq!(get("ident").as_deref(), Some("ISk5"));
        assert_eq!(get("1-0:1.8.1").as_deref(), Some("000004.426"));
        assert_eq!(get("1-0:1.8.1/unit").as_deref(), Some("kWh"));
        assert_eq!(get("0-1:24.2.1").as_deref(), Some("00000.107"));
        assert_eq!(get("0-1:24.2.1/0").as_deref(), Some("170102161005W"));
        assert_eq!(get("F.F").as_deref(), Some("00"));
    }

    #[test]
    fn pairs_have_keys() {
        let pairs = Pairs {
            assign: b"\t".to_vec().into(),
            ..Pairs::default()
        };
        let found = apart_pairs(&pairs, b"\r\nV\t12868\r\nno\r\nI\t-5").unwrap();
        assert_eq!(found, [("V".into(), &b"12868"[..]), ("I".into(), &b"-5"[..])]);
        let strict = Pairs {
            strict: true,
            ..pairs
        };
        assert_eq!(apart_pairs(&strict, b"no\n"), Err(SplitError::Assign));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(prop::sample::select(&b"a1,;=()*\n\r\t\"/!"[..]), 0..60)) {
            let quoting = Columns { quote: Some('"'), ..Columns::default() };
            let _ = apart_columns(&quoting, &bytes);
            let _ = apart_pairs(&Pairs { trailer: 2, ..Pairs::default() }, &bytes);
            let _ = apart_obis(&bytes);
        }
    }
}
