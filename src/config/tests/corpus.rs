//! Every file of `tests/faults` is wrong in its own way; what a user sees of it is kept beside it.
//!
//! After a change of words: `INSTA_UPDATE=always cargo test --lib config::`, and read what changed.

use crate::config::{Config, file};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults")
}

fn said(name: &str, bytes: Vec<u8>) -> String {
    match file::text(name, bytes).and_then(|text| Config::parse(&text, name)) {
        Ok(read) => read.warnings.to_string(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
#[cfg_attr(
    not(all(feature = "rumqttd", feature = "tls", feature = "websocket")),
    ignore = "speaks of what was left out"
)]
fn every_mistake_is_told_as_it_was_kept() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 40, "only {} wrong files", files.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for path in files {
            let name = path.file_name().unwrap().to_str().unwrap();
            let said = said(name, std::fs::read(&path).unwrap());
            assert!(!said.is_empty(), "{name}: nothing is said");
            insta::assert_snapshot!(name.trim_end_matches(".toml"), said);
        }
    });
}

#[test]
fn files_that_cannot_be_read() {
    let told = |path: &Path| Config::read(path).unwrap_err().to_string();
    let every = [
        told(Path::new("/nowhere/mqttyd.toml")),
        told(Path::new("/proc/self")),
        said("big.toml", vec![b'#'; 10 << 20]),
        said("utf16.toml", b"\xff\xfe[\0b\0]\0".to_vec()),
    ];
    insta::assert_snapshot!(every.join("\n\n"));
}

#[test]
fn a_byte_order_mark_and_foreign_line_ends_are_no_faults() {
    assert_eq!(
        said("bom.toml", b"\xef\xbb\xbf[log]\r\nlevel = \"info\"\r\n".to_vec()),
        ""
    );
}

#[test]
fn columns_count_characters_and_lines_count_lines() {
    let told = said(
        "columns.toml",
        "\r\n[log]\r\n# ä\r\n\tlevel = \"ä€\"; x = 1\r\n".into(),
    );
    assert!(told.contains("columns.toml:4:"), "{told}");
    let told = said("columns.toml", "log = { \"ä€\" = 1, levle = \"info\" }".into());
    assert!(
        told.contains("columns.toml:1:9\n") && told.contains("columns.toml:1:19\n"),
        "{told}"
    );
}

#[test]
fn whatever_is_nested_deeply_is_told_and_not_followed() {
    for deep in ["[", "{a=", "a.", "[{a="] {
        let told = said("deep.toml", format!("x = {}", deep.repeat(20_000)).into_bytes());
        assert!(told.contains("error"), "{told}");
        let told = said("deep.toml", format!("{}x = 1", deep.repeat(20_000)).into_bytes());
        assert!(told.contains("error"), "{told}");
    }
    let told = said(
        "deep.toml",
        format!("[{}b]\nx = 1", "a.".repeat(20_000)).into_bytes(),
    );
    assert!(told.contains("nested too deeply"), "{told}");
}

#[test]
fn a_large_file_full_of_faults_is_told_soon() {
    let many = "[[port]]\nbaud = \"x\"\nparity = 3\n".repeat(25_000);
    let told = said("many.toml", many.into_bytes());
    assert!(told.contains("more"), "{}", &told[told.len() - 200..]);
}
