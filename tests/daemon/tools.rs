//! The commands beside `run`.

use crate::support::{Daemon, Device, Program, mqttyd, show};
use std::process::Command;

/// Runs a command that must succeed, and gives what it printed.
#[track_caller]
fn output(command: &mut Command) -> String {
    let mut program = Program::start(command);
    let status = program.wait();
    assert!(status.success(), "{status}: {}", program.err.text());
    program.out.text()
}

#[test]
fn watch_shows_what_passes_on_a_running_gateway() {
    let device = Device::new();
    let daemon = Daemon::start(&format!(
        r#"
        [[port]]
        name = "gps"
        path = {path:?}
        check = {{ algorithm = "xor8", encoding = "hex", prefix = "*" }}
        [[port.publish]]
        topic = "gps/raw"
        [[port.command]]
        topic = "gps/set"
        "#,
        path = device.path(),
    ));
    daemon.wait_ports(&["gps"], "open");
    let mut client = daemon.client("both");
    client.subscribe("gps/raw", 0);
    let watch = |args: &[&str]| {
        let program = Program::start(
            mqttyd()
                .arg("watch")
                .arg("--socket")
                .arg(&daemon.control)
                .args(args),
        );
        program
            .out
            .wait(&[if args.contains(&"--json") { "hello" } else { "gps" }]);
        program
    };
    let mut seen = watch(&["-n", "3"]);
    let mut bad = watch(&["--bad", "-n", "1"]);
    let mut json = watch(&["--json", "--port", "gps", "-n", "3"]);
    device.send(b"AB*03\nAC*03\n");
    assert_eq!(client.next().text(), "AB");
    client.publish("gps/set", b"AB", 1, false);
    device.expect(b"AB*03\n");
    for program in [&mut seen, &mut bad, &mut json] {
        let status = program.wait();
        assert!(status.success(), "{status}: {}", program.err.text());
    }
    for parts in [["gps", "AB"], ["gps", "damaged"], ["gps", "sent"]] {
        assert!(seen.out.count(&parts) > 0, "no {parts:?} in\n{}", seen.out.text());
    }
    assert_eq!(bad.out.count(&["published"]), 0, "{}", bad.out.text());
    let verdicts: Vec<String> = json
        .out
        .all()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("lines of JSON"))
        .filter_map(|line| Some(line["verdict"].as_str()?.to_owned()))
        .filter(|verdict| verdict != "state")
        .collect();
    assert_eq!(verdicts, ["published", "damaged", "sent"]);
}

#[test]
fn watch_without_a_gateway_says_what_to_do() {
    let mut program = Program::start(mqttyd().args(["watch", "--socket", "/nowhere/control.sock"]));
    assert_eq!(program.wait().code(), Some(1));
    assert!(program.err.count(&["mqttyd run"]) > 0, "{}", program.err.text());
}

#[test]
fn demo_shows_messages_and_ends() {
    let text = output(mqttyd().args(["demo", "--count", "5", "--address", "127.0.0.1:0"]));
    assert!(text.contains("demo/") && text.contains("5 messages"), "{text}");
}

#[test]
fn demo_prints_a_configuration_that_is_right() {
    let text = output(mqttyd().args(["demo", "--print-config"]));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("mqttyd.toml");
    std::fs::write(&file, text).expect("a configuration file");
    output(mqttyd().arg("check").arg(&file));
}

#[test]
fn ports_lists_without_a_configuration_and_names_the_configured() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("mqttyd.toml");
    std::fs::write(&file, "[[port]]\nname = 'air'\npath = '/dev/null'").expect("a configuration file");
    output(mqttyd().arg("ports"));
    output(mqttyd().arg("ports").arg("--config").arg(&file));
}

#[test]
fn schema_is_json_and_knows_the_keys() {
    let text = output(mqttyd().arg("schema"));
    let schema: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        schema["properties"]["port"].is_object(),
        "{}",
        show(text.as_bytes())
    );
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let text = output(mqttyd().args(["completions", shell]));
        assert!(text.contains("demo") && text.contains("watch"), "{shell}");
    }
    assert!(output(mqttyd().arg("man")).contains(".TH"));
}

#[test]
fn help_of_every_command_and_the_version() {
    for command in [
        "run",
        "check",
        "schema",
        "ports",
        "watch",
        "demo",
        "completions",
        "man",
    ] {
        assert!(
            output(mqttyd().args([command, "--help"])).contains("Usage"),
            "{command}"
        );
    }
    assert!(output(mqttyd().arg("--version")).contains(env!("CARGO_PKG_VERSION")));
}
