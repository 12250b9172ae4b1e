//! The simulated devices: what they say by themselves, and what they answer. No I/O.

use std::time::Duration;

/// What a simulated device does.
pub(super) trait Device: Send {
    /// How often it speaks by itself; never, when `None`.
    fn every(&self) -> Option<Duration>;
    /// It speaks by itself.
    fn speak(&mut self, out: &mut Vec<u8>);
    /// Bytes have come for it.
    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>);
}

/// A climate sensor that says `T=21.5 H=48` every second.
pub(super) struct Room {
    temperature: Wander,
    humidity: Wander,
}

/// A dust sensor with the frames of the Plantower PMS5003: 0x42 0x4d, the length of what follows, thirteen
/// words and their sum. Now and then the line spoils a byte.
pub(super) struct Air {
    dust: [Wander; 3],
    said: u32,
}

/// A lamp that does as it is told, a line at a time: `LED on`, `LED off`, and `?` for its state.
pub(super) struct Lamp {
    on: bool,
    line: Vec<u8>,
}

/// Every so many frames of the dust sensor, one is spoiled on the way.
pub(super) const SPOILED: u32 = 7;

/// The longest line that the lamp listens to.
const LINE: usize = 64;

impl Room {
    pub(super) fn new() -> Room {
        Room {
            temperature: Wander::new(215, 150..=300, 3),
            humidity: Wander::new(48, 30..=70, 1),
        }
    }
}

impl Device for Room {
    fn every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn speak(&mut self, out: &mut Vec<u8>) {
        let (t, h) = (self.temperature.next(), self.humidity.next());
        out.extend_from_slice(format!("T={}.{} H={h}\r\n", t / 10, t % 10).as_bytes());
    }

    fn hear(&mut self, _: &[u8], _: &mut Vec<u8>) {}
}

impl Air {
    pub(super) fn new() -> Air {
        let dust = [(6, 1), (9, 2), (11, 3)].map(|(start, step)| Wander::new(start, 0..=90, step));
        Air { dust, said: 0 }
    }

    /// A whole frame, as the data sheet has it.
    fn frame(&mut self) -> [u8; 32] {
        let [pm1, pm25, pm10] = self.dust.each_mut().map(Wander::next);
        let (pm25, pm10) = (pm1 + pm25 / 4, pm1 + pm25 / 4 + pm10 / 8);
        // Concentrations twice (standard and ambient air), counts by size, a reserved word.
        let counts = [90, 27, 6, 3, 1, 0].map(|n| n * pm25);
        let words = [pm1, pm25, pm10, pm1, pm25, pm10]
            .into_iter()
            .chain(counts)
            .chain([0x9100]);
        let mut frame = [0; 32];
        frame[..4].copy_from_slice(&[0x42, 0x4d, 0, 28]);
        for (place, word) in frame[4..30].chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        let sum: u16 = frame[..30].iter().copied().map(u16::from).sum();
        frame[30..].copy_from_slice(&sum.to_be_bytes());
        frame
    }
}

impl Device for Air {
    fn every(&self) -> Option<Duration> {
        Some(Duration::from_millis(1500))
    }

    fn speak(&mut self, out: &mut Vec<u8>) {
        let mut frame = self.frame();
        self.said += 1;
        // The third is the first: whoever looks for five seconds sees one.
        if self.said % SPOILED == 3 {
            frame[12] ^= 0x10;
        }
        out.extend_from_slice(&frame);
    }

    fn hear(&mut self, _: &[u8], _: &mut Vec<u8>) {}
}

impl Lamp {
    pub(super) fn new() -> Lamp {
        Lamp {
            on: false,
            line: Vec::new(),
        }
    }

    fn answer(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.line);
        match line.trim() {
            "?" => {}
            "LED on" => self.on = true,
            "LED off" => self.on = false,
            other => return format!("ERR {other:?}: I know LED on, LED off and ?\n"),
        }
        let state = if self.on { "LED on" } else { "LED off" };
        if line.trim() == "?" {
            format!("{state}\n")
        } else {
            format!("OK {state}\n")
        }
    }
}

impl Device for Lamp {
    fn every(&self) -> Option<Duration> {
        None
    }

    fn speak(&mut self, _: &mut Vec<u8>) {}

    fn hear(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    out.extend_from_slice(self.answer().as_bytes());
                    self.line.clear();
                }
                _ if self.line.len() < LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }
}

/// A value that wanders within bounds; the same walk each time.
struct Wander {
    value: u16,
    bounds: std::ops::RangeInclusive<u16>,
    step: u16,
    seed: u32,
}

impl Wander {
    fn new(value: u16, bounds: std::ops::RangeInclusive<u16>, step: u16) -> Wander {
        Wander {
            value,
            bounds,
            step,
            seed: 0x9e37_79b9 ^ u32::from(value),
        }
    }

    fn next(&mut self) -> u16 {
        // Marsaglia's xorshift32: cheap, and good enough for the weather.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        let by = (self.seed % u32::from(2 * self.step + 1)) as u16;
        let next = (self.value + by).saturating_sub(self.step);
        self.value = next.clamp(*self.bounds.start(), *self.bounds.end());
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_says_a_line() {
        let mut room = Room::new();
        for _ in 0..1000 {
            let mut out = Vec::new();
            room.speak(&mut out);
            let line = String::from_utf8(out).unwrap();
            let (t, h) = line
                .strip_prefix("T=")
                .unwrap()
                .strip_suffix("\r\n")
                .unwrap()
                .split_once(" H=")
                .unwrap();
            assert!((15.0..=30.0).contains(&t.parse::<f32>().unwrap()), "{line}");
            assert!((30..=70).contains(&h.parse::<u16>().unwrap()), "{line}");
        }
    }

    #[test]
    fn the_dust_sensors_sum_is_right_but_now_and_then() {
        let mut air = Air::new();
        for n in 1..=3 * SPOILED {
            let mut out = Vec::new();
            air.speak(&mut out);
            assert_eq!(out[..4], [0x42, 0x4d, 0, 28]);
            let sum: u16 = out[..30].iter().copied().map(u16::from).sum();
            assert_eq!(out[30..] == sum.to_be_bytes(), n % SPOILED != 3, "frame {n}");
        }
    }

    #[test]
    fn the_lamp_obeys_and_answers_however_the_bytes_come() {
        let mut lamp = Lamp::new();
        let mut out = Vec::new();
        for part in [
            "?\nLED",
            " on\n?",
            "\r\nLED off\n",
            "dance\n",
            &"x".repeat(1000),
            "\n?\n",
        ] {
            lamp.hear(part.as_bytes(), &mut out);
        }
        let said = String::from_utf8(out).unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[..4], ["LED off", "OK LED on", "LED on", "OK LED off"]);
        assert!(lines[4].starts_with("ERR \"dance\""), "{said}");
        assert!(
            lines[5].starts_with("ERR \"xxx") && lines[5].len() < 120,
            "{said}"
        );
        assert_eq!(lines[6], "LED off");
    }
}
