//! What the corpus says of the devices that are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A case of the corpus: what is asked, what comes, and perhaps all steps until then.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) outcome: String,
    pub(super) request: Vec<u8>,
    pub(super) wire: Vec<u8>,
    pub(super) steps: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A device of the corpus.
pub(super) struct Polled {
    pub(super) name: String,
    pub(super) profile: Table,
    pub(super) addresses: Vec<Value>,
    pub(super) cases: Vec<Case>,
    pub(super) opening: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) commands: Table,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn table(path: &Path) -> Table {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    data_encoding::HEXLOWER
        .decode(digits.as_bytes())
        .expect("hexadecimal digits")
}

fn case(case: &Value) -> Option<Case> {
    let bytes = |of: &Value, key: &str| Some(hex(of.get(key)?.as_str()?));
    let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let steps = case.get("steps").and_then(Value::as_array).into_iter().flatten();
    Some(Case {
        id: text("id"),
        outcome: text("outcome"),
        request: bytes(case, "request_hex")?,
        wire: bytes(case, "wire_hex")?,
        steps: steps
            .filter_map(|step| Some((bytes(step, "send_hex")?, bytes(step, "recv_hex")?)))
            .collect(),
    })
}

/// The devices of the corpus that are asked.
pub(super) fn polled() -> Vec<Polled> {
    let folder = root().join("tests/corpus-devices");
    let files = std::fs::read_dir(&folder).expect("the corpus");
    let mut names: Vec<String> = files
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|file| file.strip_suffix(".toml").map(str::to_owned))
        .filter(|name| !name.ends_with(".names"))
        .collect();
    names.sort();
    let device = |name: String| {
        let corpus = table(&folder.join(format!("{name}.toml")));
        let beside = table(&folder.join(format!("{name}.names.toml")));
        let cases: Vec<Case> = corpus["case"].as_array()?.iter().filter_map(case).collect();
        let style = corpus.get("style").and_then(Value::as_str).unwrap_or_default();
        if style.starts_with("stream") || cases.is_empty() {
            return None;
        }
        // What the last step asks for is the case's own.
        let steps = cases.iter().flat_map(|case| {
            let steps = case.steps.iter().filter(|(sent, _)| *sent != case.request);
            steps.cloned().collect::<Vec<_>>()
        });
        let own = beside
            .get("opening")
            .and_then(Value::as_table)
            .into_iter()
            .flatten();
        let own = own.map(|(sent, reply)| (hex(sent), hex(reply.as_str().unwrap_or_default())));
        let mut opening = BTreeMap::new();
        for (sent, reply) in steps.chain(own) {
            opening.entry(sent).or_insert(reply);
        }
        Some(Polled {
            profile: table(&root().join(format!("config/devices/{name}.toml"))),
            addresses: beside
                .get("bus")
                .and_then(|bus| bus["addresses"].as_array().cloned())
                .unwrap_or_default(),
            commands: beside
                .get("command")
                .and_then(|all| all.as_table().cloned())
                .unwrap_or_default(),
            name,
            cases,
            opening,
        })
    };
    names.into_iter().filter_map(device).collect()
}

impl Polled {
    pub(super) fn polls(&self) -> Vec<String> {
        let polls = self
            .profile
            .get("poll")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        polls
            .filter_map(|poll| Some(poll["name"].as_str()?.to_owned()))
            .collect()
    }

    pub(super) fn addresses(&self) -> Vec<Option<Value>> {
        match self.addresses.as_slice() {
            [] => vec![None],
            all => all.iter().cloned().map(Some).collect(),
        }
    }

    /// Whether its profile names registers.
    pub(super) fn is_modbus(&self) -> bool {
        self.profile.contains_key("fields") && self.polls().is_empty()
    }

    /// The profile with no other registers than those that this asks for.
    pub(super) fn cut(&self, request: &[u8]) -> String {
        let number = |at: usize| i64::from(u16::from_be_bytes([request[at], request[at + 1]]));
        let (key, start, count) = match request[1] {
            1 => ("coil", number(2), number(4)),
            2 => ("discrete", number(2), number(4)),
            4 => ("input", number(2), number(4)),
            _ => ("holding", number(2), number(4)),
        };
        let mut profile = self.profile.clone();
        let at = |field: &Value| field.get(key).and_then(Value::as_integer);
        let fields = profile["fields"].as_array_mut().expect("fields");
        fields.retain(|field| at(field).is_some_and(|at| (start..start + count).contains(&at)));
        for field in fields.iter_mut().filter_map(Value::as_table_mut) {
            field.remove("every");
        }
        if fields.is_empty() {
            let unnamed = Table::from_iter([("name".into(), "raw".into()), (key.into(), start.into())]);
            fields.push(unnamed.into());
        }
        let modbus = profile.entry("modbus").or_insert_with(|| Table::new().into());
        let modbus = modbus.as_table_mut().expect("a table");
        modbus.insert("every".into(), "1s".into());
        profile.remove("example");
        profile.remove("kind");
        profile.remove("command");
        profile.to_string()
    }
}
