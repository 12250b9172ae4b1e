//! What is kept in the repository and made from the types: the schema, the reference, the examples.

use crate::config::{Config, reference};
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a kept file with what it should hold, or with UPDATE_SCHEMA=1 writes it.
fn current(path: &str, should: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, should).unwrap();
    }
    let is = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        is == should,
        "{path} is not current: run `UPDATE_SCHEMA=1 cargo test --lib config::` and commit it"
    );
}

#[test]
fn the_schema_is_current() {
    current("config/mqttyd.schema.json", &format!("{:#}\n", Config::schema()));
}

#[test]
fn the_schema_of_device_profiles_is_current() {
    let schema = crate::config::device::schema();
    current("config/device.schema.json", &format!("{schema:#}\n"));
}

#[test]
fn the_reference_is_current() {
    current("docs/configuration.md", &reference(&Config::schema()));
}

/// What docs/publishing.md shows is good for a port that has the fields it speaks of.
#[test]
fn the_page_about_publishing_is_right() {
    let page = std::fs::read_to_string(root().join("docs/publishing.md")).unwrap();
    let shown: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(shown.len() >= 4, "{shown:?}");
    for example in shown {
        let port = "[[port]]\nname = 'air'\npath = '/dev/ttyAMA0'\n[port.device]\nframe = { fixed = { length = 2 } }\n\
            fields = [{ name = 'pm10', type = 'u8' }, { name = 'pm25', type = 'u8' }]\n";
        if let Err(faults) = Config::parse(&format!("{port}{example}"), "page.toml") {
            panic!("{faults}");
        }
    }
}

#[test]
fn every_key_is_explained() {
    fn walk(path: &str, schema: &serde_json::Value, root: &serde_json::Value) {
        let Some(properties) = schema["properties"].as_object() else {
            return;
        };
        for (key, value) in properties {
            let inner = value["$ref"].as_str().and_then(|path| root.pointer(&path[1..]));
            let told = value["description"]
                .as_str()
                .or(inner.and_then(|v| v["description"].as_str()));
            assert!(
                told.is_some_and(|told| told.len() > 10),
                "{path}.{key} is not explained"
            );
        }
    }
    let schema = Config::schema();
    walk("", &schema, &schema);
    for (name, part) in schema["$defs"].as_object().unwrap() {
        walk(name, part, &schema);
    }
}

fn examples() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("config")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Device profiles are another kind of file; src/profile/tests looks at them.
                if !path.ends_with("devices") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == "toml") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn every_example_is_good() {
    let files = examples();
    assert!(files.len() >= 2, "no examples");
    for path in files {
        match Config::read(&path) {
            Ok(read) => assert!(read.warnings.is_empty(), "{}", read.warnings),
            Err(faults) => panic!("{faults}"),
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("#:schema "),
            "{} names no schema for editors",
            path.display()
        );
    }
}

#[test]
fn what_the_default_file_has_in_comments_is_right_too() {
    let text = std::fs::read_to_string(root().join("config/mqttyd.toml")).unwrap();
    let said = |line: &str| {
        let key = line.split(" = ").next().unwrap_or("");
        line.starts_with('[')
            || line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if said(rest) => rest,
        _ => line,
    });
    let all = lines.collect::<Vec<_>>().join("\n");
    let read = Config::parse(&all, "config/mqttyd.toml").unwrap_or_else(|faults| panic!("{faults}"));
    assert!(read.warnings.is_empty(), "{}", read.warnings);
    assert_eq!((read.config.port.len(), read.config.broker.user.len()), (1, 1));
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn each_configuration_of_the_pages_is_right() {
    for page in ["docs/access.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let blocks = text
            .split("```toml\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next());
        let blocks: Vec<&str> = blocks.collect();
        assert!(!blocks.is_empty());
        for block in blocks {
            match Config::parse(block, page) {
                Ok(read) => assert!(read.warnings.is_empty(), "{}", read.warnings),
                Err(faults) => panic!("{faults}"),
            }
        }
    }
}

#[test]
fn what_the_readme_shows_is_right() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!blocks.is_empty());
    let all = blocks.join("\n");
    // As if it stood beside the profiles.
    if let Err(faults) = Config::parse(&all, "config/README.md") {
        panic!("{faults}");
    }
}
