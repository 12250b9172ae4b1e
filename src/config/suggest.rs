//! "Did you mean ...?": the known word that a person most likely meant.

/// Words of other programs and of daily speech for our keys.
const OTHER_WORDS: &[(&str, &[&str])] = &[
    ("address", &["bind", "listen", "host", "ip", "listen-address"]),
    ("baud", &["baudrate", "baud-rate", "speed", "rate", "bps"]),
    ("data-bits", &["bits", "databits", "bytesize", "byte-size"]),
    (
        "flow-control",
        &["flow", "flowcontrol", "handshake", "rtscts", "crtscts"],
    ),
    ("path", &["device", "dev", "tty", "port", "file", "node"]),
    ("level", &["verbosity", "log-level", "loglevel"]),
    ("listener", &["listeners", "server", "servers"]),
    ("user", &["users", "auth", "account", "accounts"]),
    ("name", &["username", "user", "id", "title", "label"]),
    ("password", &["pass", "secret", "passwd"]),
    ("port", &["ports", "serial", "device", "devices"]),
    ("publish", &["pub", "publication", "out", "up"]),
    ("command", &["commands", "subscribe", "sub", "in", "down", "cmd"]),
    ("topic", &["filter", "subject", "channel"]),
    ("filter", &["topic"]),
    ("stop-bits", &["stopbits", "stop"]),
    ("check", &["checksum", "crc"]),
    ("algorithm", &["type", "method", "crc", "kind"]),
    ("frame", &["framing", "protocol"]),
    ("max", &["max-length", "max-len", "limit", "maximum", "size"]),
    ("line", &["lines", "newline", "text", "ascii"]),
    ("prefix", &["starts-with", "begins-with", "start"]),
    ("regex", &["regexp", "pattern", "matches", "match"]),
    ("raw", &["none", "binary", "bytes"]),
    ("none", &["off", "no", "n", "false", "disabled"]),
    ("even", &["e"]),
    ("odd", &["o"]),
    ("rts-cts", &["hardware", "hw", "rtscts", "crtscts"]),
    ("xon-xoff", &["software", "sw", "xonxoff"]),
    ("warn", &["warning"]),
    ("error", &["err", "fatal", "critical"]),
    ("websocket", &["ws", "wss"]),
    ("tcp", &["mqtt", "plain"]),
    ("stderr", &["console", "terminal", "stdout"]),
    ("journal", &["journald", "systemd", "syslog"]),
];

/// The one of `known` that `word` most likely stands for.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let plain = |text: &str| -> String {
        text.chars()
            .filter(|c| c.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let bare = plain(word);
    if let Some(same) = known.iter().find(|k| plain(k) == bare) {
        return Some(same);
    }
    let spoken = OTHER_WORDS
        .iter()
        .filter(|(_, others)| others.iter().any(|o| plain(o) == bare));
    if let Some(meant) = spoken
        .filter_map(|(key, _)| known.iter().find(|k| *k == key))
        .next()
    {
        return Some(meant);
    }
    let limit = bare.chars().count().max(3) / 3;
    known
        .into_iter()
        .map(|k| (strsim::osa_distance(&plain(k), &bare), k))
        .filter(|(distance, k)| *distance <= limit && *distance < k.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// The words as a list that a person reads: `` `a`, `b` or `c` ``.
pub(crate) fn listed<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["baud", "data-bits", "name", "path", "publish"];
        for (typed, meant) in [
            ("buad", Some("baud")),
            ("data_bits", Some("data-bits")),
            ("dataBits", Some("data-bits")),
            ("NAME", Some("name")),
            ("baudrate", Some("baud")),
            ("device", Some("path")),
            ("publsh", Some("publish")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
    }

    #[test]
    fn lists_read_like_a_sentence() {
        assert_eq!(listed(["a"], "or"), "`a`");
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
    }
}
