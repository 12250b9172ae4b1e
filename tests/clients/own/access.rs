//! Users, passwords and rules, as people set them up: with `mqttyd passwd`, and with a file of mosquitto's.

use crate::support::{
    Daemon, Engine, MosquittoSub, Setup, Version, mosquitto_pub, mosquitto_sub, mosquitto_try, mqttyd,
};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

/// Written by mosquitto_passwd 2.0; the password is "geheim".
const OLD: &str = "old:$6$VClma1xtw2nGVpy6$5w4YojM0XwqlCbkCWziE2FjHlT6kO4L8ze/flo/3k3h49i4y9WlfdEgevrDRX6ePezwoS7XXDdy/2+XT3DQ9Jw==\n";

/// `mqttyd passwd --stdin`, and what it printed.
#[track_caller]
fn passwd(args: &[&str], password: &str) -> String {
    let mut command = mqttyd();
    command
        .args(["passwd", "--stdin"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect("mqttyd passwd");
    let mut stdin = child.stdin.take().expect("its stdin");
    writeln!(stdin, "{password}").expect("room in a pipe");
    drop(stdin);
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", output.status);
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn start(folder: &Path, acl: &str) -> Daemon {
    let file = folder.join("passwd");
    let path = file.to_str().expect("a path in UTF-8");
    fs::write(&file, OLD).expect("a password file");
    assert_eq!(passwd(&["--file", path, "air"], "secret"), "");
    let admin = passwd(&[], "boss");
    let user = format!("user = [{{ name = 'admin', password = '{}' }}]", admin.trim());
    Setup::new("")
        .engine(Engine::Native)
        .broker(&format!("password-file = {file:?}\n{user}\n{acl}"))
        .start()
}

#[test]
fn who_has_a_password_comes_in_and_who_has_not_is_told_in_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let daemon = start(folder.path(), "");
    for version in [Version::V3, Version::V5] {
        for (user, password) in [
            ("old", "geheim"),
            ("air", "secret"),
            ("admin", "boss"),
            ("air", "secret"),
        ] {
            mosquitto_pub(
                &daemon,
                version,
                &["-u", user, "-P", password, "-t", "a", "-m", "b"],
            );
        }
        let tries: [&[&str]; 5] = [
            &["-u", "old", "-P", "secret"],
            &["-u", "air", "-P", "geheim"],
            &["-u", "air"],
            &["-u", "nobody", "-P", "secret"],
            &[],
        ];
        for args in tries {
            let args = [args, &["-t", "a", "-m", "b"]].concat();
            let Some(mut program) = mosquitto_try(&daemon, version, &args) else {
                return;
            };
            assert!(!program.wait().success(), "{args:?}");
        }
    }
    daemon.log().wait(&["failed log-in from 127.0.0.1 as \"old\""]);
    assert!(!daemon.log().text().contains("geheim"));
}

/// Who listens to all of it hears what is allowed, and what was refused before it has not come.
fn only_the_allowed_passes(daemon: &Daemon) {
    let Some(mut all) = MosquittoSub::start(
        daemon,
        Version::V5,
        &["-u", "admin", "-P", "boss", "-t", "a/#", "-t", "b/#"],
    ) else {
        return;
    };
    for version in [Version::V3, Version::V5] {
        for topic in ["b/air", "a/old/x", "a/air/except", "a/air/x"] {
            let args = ["-u", "air", "-P", "secret", "-q", "1", "-t", topic, "-m", topic];
            mosquitto_try(daemon, version, &args);
        }
        assert_eq!(all.next().topic, "a/air/x");
    }
}

#[test]
fn mosquittos_acl_file_is_kept_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let acl = folder.path().join("acl");
    let rules = "user admin\ntopic read #\n\npattern readwrite a/%u/#\npattern deny a/%u/except\n";
    fs::write(&acl, rules).expect("an ACL file");
    let daemon = start(folder.path(), &format!("acl-file = {acl:?}"));
    only_the_allowed_passes(&daemon);
    // As in mosquitto: granted, and nothing comes.
    MosquittoSub::start(&daemon, Version::V3, &["-u", "air", "-P", "secret", "-t", "b/#"]);
}

#[test]
fn rules_of_the_configuration_refuse_subscriptions_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let acl = "acl = [{ topic = '#', user = 'admin', access = 'read' }, { topic = 'a/%u/#' }, \
        { topic = 'a/+/except', access = 'deny' }]";
    let daemon = start(folder.path(), acl);
    only_the_allowed_passes(&daemon);
    let Some(mut denied) = mosquitto_sub(&daemon, Version::V5, &["-u", "air", "-P", "secret", "-t", "b/#"])
    else {
        return;
    };
    denied.err.wait(&["All subscription requests were denied"]);
    denied.wait();
}

/// CVE-2018-12546 of mosquitto, and over a restart: what somebody left may be given only as long as he may say it.
#[test]
fn a_retained_message_goes_with_its_publishers_right_also_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let acl = folder.path().join("acl");
    let rules = |air: &str| {
        let text = format!("user admin\ntopic readwrite #\n\nuser air\ntopic {air} a/#\n");
        fs::write(&acl, text).expect("an ACL file");
    };
    rules("readwrite");
    let store = folder.path().join("store");
    let mut daemon = start(
        folder.path(),
        &format!("acl-file = {acl:?}\npersistence-location = {store:?}"),
    );
    for (user, password, topic) in [("air", "secret", "a/air"), ("admin", "boss", "a/boss")] {
        mosquitto_pub(
            &daemon,
            Version::V5,
            &[
                "-u", user, "-P", password, "-q", "1", "-r", "-t", topic, "-m", "1",
            ],
        );
    }
    let topics = |daemon: &Daemon| -> Option<Vec<String>> {
        let args = ["-u", "admin", "-P", "boss", "-t", "a/#"];
        let mut all = MosquittoSub::start(daemon, Version::V5, &args)?;
        // Retained messages come in the order of their topics, and before what is published now.
        mosquitto_pub(
            daemon,
            Version::V5,
            &["-u", "admin", "-P", "boss", "-t", "a/last", "-m", "1"],
        );
        let mut seen = Vec::new();
        while seen.last().is_none_or(|last| last != "a/last") {
            seen.push(all.next().topic);
        }
        Some(seen)
    };
    for kill in [true, false] {
        rules("readwrite");
        daemon = again(daemon, kill);
        let Some(seen) = topics(&daemon) else { return };
        assert_eq!(seen, ["a/air", "a/boss", "a/last"]);
        rules("read");
        daemon = again(daemon, kill);
        assert_eq!(topics(&daemon).expect("it was there"), ["a/boss", "a/last"]);
    }
}

/// Ends it, and starts it again.
fn again(mut daemon: Daemon, kill: bool) -> Daemon {
    if kill {
        daemon.program.kill();
    } else {
        daemon.terminate();
    }
    daemon.start_again()
}
