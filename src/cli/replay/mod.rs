//! `mqttyd replay`: what a port would have published of a recorded capture.

mod capture;

use super::watch::clean;
use crate::config::Config;
use crate::counted::counted;
use crate::field::timestamp;
use crate::port::config as port;
use crate::port::replay::{Replay, Summary, Told};
use anyhow::{Context, anyhow, bail};
use capture::{Capture, Format};
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const EXAMPLES: &str = "\
Examples:
  mqttyd replay capture.bin --config my.toml --port air      bytes as they came from the line
  mqttyd replay dump.txt --format hex -c my.toml -p air      a hex dump
  mqttyd watch --json > day                                  a recording ...
  mqttyd replay day -c my.toml -p air --json                 ... and what would be made of it now

A recording holds frames and their times: intervals, windows and staleness are as they were then. Raw bytes and hex
dumps have no times: they pass at the line's speed from `--begin` on.

Exit status: 0 if anything would have been published, 1 if nothing; with --strict also 1 if anything was damaged,
refused or could not be published; 78 if the configuration is wrong.";

/// Show what a port would have published of a recorded capture, without any serial port
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The capture; `-` reads it from stdin
    file: PathBuf,

    #[command(flatten)]
    config: super::ConfigFile,

    /// The port whose settings are used; can be left out if there is only one
    #[arg(long, short, value_name = "NAME")]
    port: Option<String>,

    /// How the capture is written [default: what it looks like]
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<Format>,

    /// When bytes without times begin to pass (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    begin: Option<SystemTime>,

    /// Print one JSON object per line
    #[arg(long)]
    json: bool,

    /// Fail if anything was damaged, refused or could not be published
    #[arg(long)]
    strict: bool,
}

impl Args {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = Config::read(&self.config.path())?.config;
        let port = find(&config, self.port.as_deref())?;
        let bytes = slurp(&self.file)?;
        let format = self.format.unwrap_or_else(|| Format::of(&bytes));
        let capture = Capture::read(bytes, format, port.name.as_str())?;
        let begin = self.begin.unwrap_or_else(SystemTime::now);
        let stdout = std::io::stdout().lock();
        let mut out = std::io::BufWriter::new(stdout);
        let summary = replay(port, &capture, begin, self.json, &mut out)?;
        out.flush().context(super::STDOUT)?;
        let bad = summary.damaged + summary.refused + summary.unpublished;
        if summary.published == 0 {
            bail!("nothing would have been published");
        }
        if self.strict && bad > 0 {
            bail!("{bad} damaged, refused or not published");
        }
        Ok(())
    }
}

fn find<'a>(config: &'a Config, name: Option<&str>) -> anyhow::Result<&'a port::Config> {
    let names = || {
        let names: Vec<&str> = config.port.iter().map(|port| port.name.as_str()).collect();
        names.join(", ")
    };
    match (name, config.port.as_slice()) {
        (Some(name), ports) => ports
            .iter()
            .find(|port| port.name.as_str() == name)
            .ok_or_else(|| {
                anyhow!(
                    "no port is called \"{}\": there are {}",
                    name.escape_debug(),
                    names()
                )
            }),
        (None, [only]) => Ok(only),
        (None, []) => Err(anyhow!("the configuration has no port")),
        (None, _) => Err(anyhow!("say which port with --port NAME: there are {}", names())),
    }
}

fn slurp(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("failed to read stdin")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))
}

/// Sends a capture through a port, and writes what comes of it.
fn replay(
    port: &port::Config,
    capture: &Capture,
    begin: SystemTime,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Summary> {
    let begin = match capture {
        Capture::Frames(frames) => frames.first().map_or(begin, |first| first.time),
        Capture::Bytes(_) => begin,
    };
    let mut replay = Replay::new(port, begin).map_err(|wrong| anyhow!("port {}: {wrong}", port.name))?;
    let mut failed = None;
    let mut tell = |time: SystemTime, told: Told<'_>| {
        let line = if json { object(time, &told) } else { line(&told) };
        if failed.is_none() {
            failed = writeln!(out, "{line}").err();
        }
    };
    match capture {
        Capture::Bytes(bytes) => replay.bytes(bytes, &mut tell),
        Capture::Frames(frames) => {
            for passed in frames {
                match &passed.damaged {
                    Some(why) => replay.damaged(passed.time, why, &passed.bytes, &mut tell),
                    None => replay.frame(passed.time, &passed.bytes, &mut tell),
                }
            }
        }
    }
    let summary = replay.end(&mut tell);
    let last = if json {
        serde_json::json!({ "summary": summary }).to_string()
    } else {
        sum(&summary)
    };
    if failed.is_none() {
        failed = writeln!(out, "{last}").err();
    }
    match failed {
        Some(error) => Err(error).context(super::STDOUT),
        None => Ok(summary),
    }
}

/// For a person.
fn line(told: &Told<'_>) -> String {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    match told {
        Told::Message(message) => {
            let payload = match std::str::from_utf8(&message.payload) {
                Ok(text) => clean(text),
                Err(_) => format!("0x{}", hex(&message.payload)),
            };
            let retained = if message.retain { "  (retained)" } else { "" };
            format!("{} {payload}{retained}", clean(message.topic.as_str()))
        }
        Told::Refused(why, bytes) => format!("! refused: {}: {}", clean(why), hex(bytes)),
        Told::Damaged(why, bytes) => format!("! damaged ({}): {}", clean(why), hex(bytes)),
    }
}

/// For a program.
fn object(time: SystemTime, told: &Told<'_>) -> String {
    let time = timestamp(time);
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let object = match told {
        Told::Message(message) => {
            let mut object = serde_json::json!({
                "time": time,
                "topic": message.topic.as_str(),
                "qos": message.qos as u8,
                "retain": message.retain,
            });
            match std::str::from_utf8(&message.payload) {
                Ok(text) => object["payload"] = text.into(),
                Err(_) => object["payload-hex"] = hex(&message.payload).into(),
            }
            object
        }
        Told::Refused(why, bytes) => serde_json::json!({ "time": time, "refused": why, "bytes": hex(bytes) }),
        Told::Damaged(why, bytes) => serde_json::json!({ "time": time, "damaged": why, "bytes": hex(bytes) }),
    };
    object.to_string()
}

fn sum(summary: &Summary) -> String {
    let Summary {
        frames,
        damaged,
        refused,
        unknown,
        published,
        unpublished,
        absent,
        out_of_range,
    } = summary;
    let mut text = format!(
        "# {}, {damaged} damaged; {}",
        counted(*frames, "frame"),
        counted(*published, "message")
    );
    for (count, what) in [
        (refused, "refused"),
        (unknown, "of unknown kind"),
        (unpublished, "not published"),
        (absent, "absent"),
        (out_of_range, "out of range"),
    ] {
        if *count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    const SCALE: &str = r#"
        [[port]]
        name = "bench"
        path = "/dev/null"
        baud = 9600
        [port.device]
        frame = { fixed = { length = 3 } }
        check = "sum8"
        fields = [
            { name = "weight", type = "u8", unit = "g", range = [0, 200] },
            { name = "pan", type = "u8", absent = [255] },
        ]
    "#;

    fn run(publish: &str, capture: &Capture) -> (Vec<String>, Summary) {
        let text = format!("{SCALE}\n{publish}");
        let config = Config::parse(&text, "my.toml")
            .unwrap_or_else(|faults| panic!("{faults}"))
            .config;
        let mut out = Vec::new();
        let summary = replay(&config.port[0], capture, UNIX_EPOCH, false, &mut out).unwrap();
        let lines = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        (lines, summary)
    }

    /// Weights at seconds, as a recording has them.
    fn recorded(weights: &[(u64, u8)]) -> Capture {
        let passed = |(second, weight): &(u64, u8)| capture::Passed {
            time: UNIX_EPOCH + Duration::from_secs(*second),
            damaged: None,
            bytes: vec![*weight, 1],
        };
        Capture::Frames(weights.iter().map(passed).collect())
    }

    #[test]
    fn a_topic_for_each_value_and_an_object_for_each_frame() {
        let bytes = Capture::Bytes(b"\x0a\x01\x0b\x0a\xff\x09\xfa\x02\xfc\x01\x01\x07".to_vec());
        let (lines, summary) = run(
            "[[port.publish]]\ntopic = 'home/{{ port }}/{{ field }}'\nretain = true\n\
             [[port.publish]]\ntopic = 'home/{{ port }}'\npayload = { values = { time = false, units = true } }\n",
            &bytes,
        );
        assert_eq!(
            lines[..8],
            [
                "home/bench/weight 10  (retained)",
                "home/bench/pan 1  (retained)",
                "home/bench {\"weight\":10,\"pan\":1,\"units\":{\"weight\":\"g\"}}",
                "home/bench/weight 10  (retained)",
                "home/bench {\"weight\":10,\"pan\":null,\"units\":{\"weight\":\"g\"}}",
                "home/bench/pan 2  (retained)",
                "home/bench {\"weight\":null,\"pan\":2,\"units\":{\"weight\":\"g\"}}",
                "! damaged (check): 010107",
            ],
            "{lines:#?}"
        );
        assert_eq!((summary.frames, summary.damaged, summary.published), (3, 1, 7));
        assert_eq!((summary.absent, summary.out_of_range), (1, 1));
    }

    #[test]
    fn templates_have_unit_time_and_formulas() {
        let (lines, _) = run(
            "[[port.publish]]\ntopic = 'home/{{ field | upper }}'\nfields = ['weight']\n\
             payload = { template = '{{ value / 1000 }} k{{ unit }} {{ quality }} {{ time }} {{ fields.pan }}' }\n",
            &recorded(&[(5, 20)]),
        );
        assert_eq!(lines[0], "home/WEIGHT 0.02 kg good 1970-01-01T00:00:05.000000Z 1");
    }

    #[test]
    fn a_window_ends_by_the_recordings_clock() {
        let (lines, _) = run(
            "[[port.publish]]\ntopic = 'w'\nfields = ['weight']\nwindow = { over = '10s', take = 'mean' }\n",
            &recorded(&[(0, 10), (4, 11), (9, 13), (30, 50), (31, 52)]),
        );
        assert_eq!(lines[..2], ["w 11.3", "w 51.0"], "{lines:#?}");
    }

    #[test]
    fn an_object_over_a_window_has_the_mean_of_each_value() {
        let (lines, _) = run(
            "[[port.publish]]\ntopic = 'w'\npayload = { values = { time = false } }\nwindow = { over = '10s' }\n",
            &recorded(&[(0, 10), (4, 11)]),
        );
        assert_eq!(lines[0], "w {\"weight\":10.5,\"pan\":1.0}", "{lines:#?}");
    }

    #[test]
    fn rules_of_one_field_and_staleness_of_all() {
        let (lines, _) = run(
            "[[port.publish]]\ntopic = '{{ field }}'\nstale = '1min'\nchange = true\n\
             fields = ['pan', { name = 'weight', change = { by = 5 } }]\n",
            &recorded(&[(0, 10), (10, 12), (20, 15), (100, 15)]),
        );
        let kept: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(
            kept[..7],
            [
                "pan 1",
                "weight 10",
                "weight 15",
                "pan stale",
                "weight stale",
                "pan 1",
                "weight 15"
            ],
            "{lines:#?}"
        );
    }

    #[test]
    fn an_object_grows_stale_as_such_with_the_time_of_its_last_frame() {
        let (lines, _) = run(
            "[[port.publish]]\ntopic = 'w'\npayload = 'values'\nstale = '1min'\n",
            &recorded(&[(0, 10), (100, 15)]),
        );
        assert_eq!(
            lines[1],
            "w {\"time\":\"1970-01-01T00:00:00.000000Z\",\"stale\":true,\"weight\":null,\"pan\":null}"
        );
    }
}
