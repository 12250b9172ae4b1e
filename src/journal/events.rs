//! The events that a person may look for: each has a name, which stands in the code and in the journal's
//! `MQTTYD_EVENT`, and a `MESSAGE_ID` that stays the same for ever. `journalctl -x` explains them by the catalogue in
//! `systemd/mqttyd.catalog`, which the tests compare with this table.

/// Name and id, by name.
const EVENTS: [(&str, &str); 55] = [
    ("bus-overloaded", "779c0a91de305231a59285708dcb2034"),
    ("bus-relieved", "6143ec5029da5c419950970b7330414f"),
    ("client-caught-up", "95ef4a3fe23e54afa36546105fac73e0"),
    ("client-connected", "7aa57d5d3db958c788c6218a1e44b6e2"),
    ("client-gone", "ef42aa4e04e35f0fbbceab271e9f47b1"),
    ("client-refused", "9887c05312d85e3aaaa1e1617d5008eb"),
    ("client-sent-away", "e2872deba3fc59c8b9e69236e91f41c8"),
    ("client-slow", "3137b0beb7d5517a97dfee01300cc8d6"),
    ("clock-stepped", "c6dd9d1d47115f7187546b4d242412e7"),
    ("command-dropped", "92a7e2a088b252378f4f5a6ee929f77e"),
    ("config-doubtful", "c458b6a033ac5a02ae1caa6a823fe467"),
    ("config-later", "b80b1f4427345527b4021eef93e13a0d"),
    ("config-refused", "eefbe8b2a1d2599eb3570c88b3e25ace"),
    ("config-reloaded", "11606b2614825705b56f9be369f5c77c"),
    ("deaf", "ff7b2d9447e85a63b5f7ffb2ab9de32c"),
    ("device-answers", "47f01c8cba9e592b9fcee839a9999af3"),
    ("device-silent", "77aa1bbfa86d5c70a85f29a02e9281b3"),
    ("failed", "1bae17f4a8045bd594e96d550c8d3882"),
    ("fault", "8963d428712055b4a9a0f0b2a3658bd2"),
    ("frames-damaged", "b93fab7e597a50e691edadcb8540776f"),
    ("frames-good", "5c43bd38591f5d3dbbb65a6f3191ab32"),
    ("frames-misread", "28808a45b8615a38bed43216ad0d4f02"),
    ("frames-understood", "8e6513e8388451228bd1b175aa54f6c6"),
    ("handshake-failed", "0b40f6018d065fa09a41c19518df1e2a"),
    ("hearing", "7ae0640b9f4e54babc8d32ecf0f90199"),
    ("listener-lost", "a68ce84af42a5414898aff5e67c1a54b"),
    ("listening", "334acd46dcc3594fb2d2411864508f8c"),
    ("login-failed", "e2b841fd4a67534ea6f155d049e37564"),
    ("memory-failing", "40fc737f2bc65301a7d51cf3213688c8"),
    ("memory-keeps-up", "112a1c6fe736561ab4ce89a2893b47e3"),
    ("memory-missing", "76c47045c2335000a453b8917dc52929"),
    ("memory-opened", "6173c48cde9b5e34b5ff31d40aad1ea9"),
    ("memory-replaced", "47a05cc672435cbaac37d1f49ef5e087"),
    ("memory-slow", "67bae827e79a58d798f772f818aa9b19"),
    ("memory-written", "a6d426ca5aab583593544120334eac8f"),
    ("no-port", "ae2e1218645f4bc2a8002374eae62a39"),
    ("not-listening", "93dccf782d185e7cb13a962fe463cb7d"),
    ("port-differs", "16892e253085591ea0ea7ddec988abf9"),
    ("port-failing", "a8dd6549049c50dc91700e80f02ccd7f"),
    ("port-gone", "d39f0d998e5257329e142bb1c3690a43"),
    ("port-open", "2c7453b44aba5dca84fb67dfc885d706"),
    ("port-refused", "6ff78b80719a5585bc62b98ff3f79ef7"),
    ("port-stuck", "c02a3f978d4d5a1d977312b9ab2ff007"),
    ("port-waiting", "2d6d2f8b68ab5a96af7a196001217916"),
    ("published-again", "4336fe7b346853c8b3c0d1bb191db510"),
    ("ready", "b9b862388af15f1a811d16984137763f"),
    ("session-forgotten", "247e8e7480465447902713d10635d4aa"),
    ("started", "2ac686aca9f0589795051e5463adbf44"),
    ("stopping", "01cd04594173529fbf34870f116aba28"),
    ("tls-broken", "19529ce92de450a9b1b83a8cb87970b1"),
    ("tls-renewed", "4d837fa002ce590caddf6de11145fcf9"),
    ("unpublished", "91465be553c95052b190ab1ec21498ad"),
    ("users-doubtful", "4ac665dcbc53571eb090f25540ef1bf7"),
    ("watch-socket", "10c3777e9e445d33b7583da29c8ab61b"),
    ("watchdog-hungry", "721ab6a97bb55c08b7cadb39358d352b"),
];

/// The id of the event of this name.
pub(super) fn id(name: &str) -> Option<&'static str> {
    let at = EVENTS.binary_search_by_key(&name, |(known, _)| known).ok()?;
    Some(EVENTS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn read(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    fn sources(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn the_table_is_in_order_and_no_id_stands_twice() {
        assert!(EVENTS.is_sorted_by(|one, next| one.0 < next.0));
        let ids: BTreeSet<&str> = EVENTS.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), EVENTS.len());
        assert_eq!(id("port-gone").map(str::len), Some(32));
        assert_eq!(id("port"), None);
    }

    /// An event without an id would not be found, and an id without an event explains nothing.
    #[test]
    fn the_code_says_these_events_and_no_others() {
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        let said: BTreeSet<&str> = Regex::new(r#"[(,]\s*event = "([a-z-]+)""#)
            .unwrap()
            .captures_iter(&code)
            .map(|found| found.extract::<1>().1[0])
            .collect();
        let known: BTreeSet<&str> = EVENTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(said, known);
    }

    #[test]
    fn the_catalogue_and_the_reference_explain_each() {
        let catalogue = read("systemd/mqttyd.catalog");
        let page = read("docs/journal.md");
        for (name, id) in EVENTS {
            assert_eq!(
                catalogue.matches(&format!("\n-- {id}\n")).count(),
                1,
                "{name} in the catalogue"
            );
            assert_eq!(
                page.matches(&format!("| `{name}` | `{id}` |")).count(),
                1,
                "{name} in docs/journal.md"
            );
        }
        assert_eq!(catalogue.matches("\n-- ").count(), EVENTS.len());
    }
}
