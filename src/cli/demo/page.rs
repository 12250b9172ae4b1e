//! What the demonstration prints: where to connect, then a row for each message.

use crate::broker::Message;
use crate::cli::watch::clean;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Instant;

/// Characters of a payload that are shown: a screen's width or two.
const MAX_SHOWN: usize = 160;

/// Where the demonstration is told.
pub(super) struct Page<'a, W> {
    out: &'a mut W,
    colour: bool,
    start: Instant,
    messages: u64,
}

impl<'a, W: Write> Page<'a, W> {
    pub(super) fn new(out: &'a mut W, colour: bool) -> Self {
        Page {
            out,
            colour,
            start: Instant::now(),
            messages: 0,
        }
    }

    /// What runs, and the lines to try. `moved`: the usual port was taken.
    pub(super) fn head(&mut self, address: SocketAddr, folder: &Path, moved: bool) -> io::Result<()> {
        let host = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let port = address.port();
        // As it was called, since it need not be installed yet.
        let program = std::env::args().next().unwrap_or_else(|| "mqttyd".to_owned());
        let folder = folder.display();
        let title = |text: &str| paint(self.colour, "1", text);
        let note = if moved {
            " (1883 is taken, by another broker perhaps)"
        } else {
            ""
        };
        let text = format!(
            "\
{devices}
  room  {folder}/ttyROOM  a climate sensor: a line of text every second
  air   {folder}/ttyAIR   a dust sensor: binary frames with a checksum, some spoiled on the way
  lamp  {folder}/ttyLAMP  a lamp that obeys: LED on, LED off, ?
  and their configuration: {folder}/mqttyd.toml

{connect} the MQTT broker listens on {address}{note}

  mosquitto_sub -h {host} -p {port} -v -t 'demo/#'
  mosquitto_pub -h {host} -p {port} -t demo/lamp/set -m 'LED on'
  {program} watch --socket {folder}/control.sock

  or in Python (pip install paho-mqtt):
  python3 -c 'import paho.mqtt.subscribe as s; s.callback(lambda c, u, m: print(m.topic, m.payload), \"demo/#\", hostname=\"{host}\", port={port})'
  python3 -c 'import paho.mqtt.publish as p; p.single(\"demo/lamp/set\", \"LED on\", qos=1, hostname=\"{host}\", port={port})'

{seen} (Ctrl-C ends it)

",
            devices = title("Three simulated devices:"),
            connect = title("Connect from another terminal:"),
            seen = title("What a subscriber sees:"),
        );
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// A message, as a subscriber gets it.
    pub(super) fn message(&mut self, message: &Message) -> io::Result<()> {
        self.messages += 1;
        let time = paint(
            self.colour,
            "2",
            &format!("{:8.3}", self.start.elapsed().as_secs_f64()),
        );
        let name = clean(message.topic.as_str());
        let topic = paint(
            self.colour,
            if name.ends_with("/set") { "36" } else { "32" },
            &format!("{name:<22}"),
        );
        let kept = if message.retain {
            paint(self.colour, "2", "  (retained)")
        } else {
            String::new()
        };
        writeln!(self.out, "{time}  {topic}  {}{kept}", shown(&message.payload))?;
        self.out.flush()
    }

    /// The end.
    pub(super) fn foot(&mut self) -> io::Result<()> {
        let seconds = self.start.elapsed().as_secs_f64();
        writeln!(
            self.out,
            "\n{} messages in {seconds:.1} s; the devices are gone.",
            self.messages
        )?;
        self.out.flush()
    }
}

fn paint(colour: bool, code: &str, text: &str) -> String {
    if colour {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// A payload as text if it is text, and else in hex; cut where it is long.
fn shown(payload: &[u8]) -> String {
    if payload.is_empty() {
        return "(empty)".to_owned();
    }
    let text = match std::str::from_utf8(payload) {
        Ok(text) if !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) => clean(text),
        _ => payload
            .iter()
            .map(|byte| format!("{byte:02x} "))
            .collect::<String>()
            .trim_end()
            .to_owned(),
    };
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], payload.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Qos;
    use crate::topic::Topic;
    use bytes::Bytes;

    fn page(colour: bool, write: impl FnOnce(&mut Page<'_, Vec<u8>>)) -> String {
        let mut out = Vec::new();
        write(&mut Page::new(&mut out, colour));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn payloads_are_text_or_hex() {
        assert_eq!(shown(b"T=21.5"), "T=21.5");
        assert_eq!(shown(b""), "(empty)");
        assert_eq!(shown(b"\x42\x4d\x00"), "42 4d 00");
        assert_eq!(shown("21 °C".as_bytes()), "21 °C");
        assert_eq!(shown(b"a\nb"), "a\\nb");
        let long = shown(&[b'x'; 1000]);
        assert!(
            long.ends_with("x… (1000 bytes)") && long.chars().count() < 200,
            "{long}"
        );
    }

    #[test]
    fn rows_have_topic_and_payload() {
        let message = Message {
            topic: Topic::parse("demo/room/text").unwrap(),
            payload: Bytes::from_static(b"T=21.5"),
            qos: Qos::AtMostOnce,
            retain: true,
            beside: None,
        };
        let row = page(false, |page| page.message(&message).unwrap());
        assert!(
            row.ends_with("  demo/room/text          T=21.5  (retained)\n"),
            "{row:?}"
        );
        assert!(page(true, |page| page.message(&message).unwrap()).contains("\x1b[32m"));
    }

    #[test]
    fn the_lines_to_try_name_an_address_that_can_be_reached() {
        let head = |address: &str| {
            page(false, |page| {
                page.head(address.parse().unwrap(), Path::new("/tmp/d"), false)
                    .unwrap()
            })
        };
        assert!(head("0.0.0.0:1884").contains("mosquitto_sub -h 127.0.0.1 -p 1884 -v -t 'demo/#'"));
        assert!(head("[::]:1883").contains("hostname=\"::1\", port=1883"));
    }
}
