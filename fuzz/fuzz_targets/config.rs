//! The configuration's reader: whatever the text, no panic, and every fault lies inside it.
//!
//! The engine is compiled in by its path, and reads a type that has every kind of part that the real one has.
#![no_main]

use engine::fault::Faults;
use engine::load::load;
use mqttyd_fuzz::{frame, octets::Octets, span::Span};
use serde::Deserialize;

#[allow(dead_code, unused_imports)]
#[path = "../../src/config"]
mod engine {
    pub(crate) mod error;
    pub(crate) mod fault;
    pub(crate) mod hints;
    pub(crate) mod load;
    pub(crate) mod phantom;
    pub(crate) mod reader;
    pub(crate) mod session;
    pub(crate) mod suggest;
    pub(crate) mod syntax;
    pub(crate) mod tree;
    pub(crate) mod words;
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(dead_code)]
struct House {
    #[serde(default)]
    log: Log,
    #[serde(default)]
    port: Vec<Port>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(dead_code)]
struct Log {
    level: String,
    every: Option<Span>,
    address: Option<std::net::SocketAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(dead_code)]
struct Port {
    name: String,
    #[serde(default)]
    baud: u32,
    #[serde(default)]
    frame: frame::Config,
    #[serde(default)]
    publish: Vec<Publish>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(dead_code)]
struct Publish {
    topic: String,
    span: Span,
    #[serde(default)]
    retain: bool,
    when: Option<When>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(dead_code)]
enum When {
    Always,
    Prefix(Octets),
    Between { low: f64, high: f64 },
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let loaded = load::<House>(text);
    assert!(loaded.value.is_some() || !loaded.faults.is_empty(), "refused without a word");
    for path in ["log.level", "port[0].name", "port[1].publish[0].topic", "port[0].frame.length.start"] {
        let _ = loaded.place(path);
    }
    let faults = Faults::new("fuzz.toml", text, loaded.faults, false);
    for span in faults.iter().filter_map(|fault| fault.span.clone()) {
        assert!(text.get(span.clone()).is_some(), "{span:?} in {}", text.len());
    }
    assert_eq!(faults.render(false).is_empty(), faults.is_empty());
});
