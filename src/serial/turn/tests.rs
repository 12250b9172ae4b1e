//! What the line is told, in which order and when, on a double whose time only these tests move.

use super::*;
use proptest::prelude::*;

const CHAR: Duration = Duration::from_millis(1);
const MS: Duration = Duration::from_millis(1);

/// How a double's driver tells of what has left.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Driver {
    /// As serial_core's: to the last bit.
    Exact,
    /// As most USB adapters': of what the kernel holds alone.
    Vague,
    /// Never that all has left.
    Stuck,
    /// Always that all has left.
    Careless,
}

/// A line with room for so many bytes in the kernel and a transmitter that holds 16 more.
struct Double {
    driver: Driver,
    room: usize,
    now: Instant,
    /// How long a driver takes to do as it is told.
    takes: Duration,
    start: Instant,
    /// When each byte that was written has left, and whether its ninth bit was set.
    sent: Vec<(Instant, u8, bool)>,
    ninth: bool,
    driven: bool,
    held: bool,
    /// What was told, in order, with its time in tenths of a millisecond.
    told: Vec<(u128, String)>,
}

impl Double {
    fn new(driver: Driver, room: usize) -> Double {
        let start = Instant::now();
        Double {
            driver,
            room,
            now: start,
            takes: Duration::ZERO,
            start,
            sent: Vec::new(),
            ninth: false,
            driven: false,
            held: false,
            told: Vec::new(),
        }
    }

    fn tell(&mut self, what: impl Into<String>) {
        self.now += self.takes;
        let at = (self.now - self.start).as_micros() / 100;
        self.told.push((at, what.into()));
    }

    fn waiting(&self) -> usize {
        self.sent.iter().filter(|(left, _, _)| *left > self.now).count()
    }

    fn told(&self) -> Vec<String> {
        let tenths = |(at, what): &(u128, String)| format!("{}.{} {what}", at / 10, at % 10);
        self.told.iter().map(tenths).collect()
    }
}

impl Wire for Double {
    fn drive(&mut self, on: bool) -> io::Result<()> {
        assert!(
            on || self.waiting() == 0 || self.driver == Driver::Careless,
            "the driver goes off while {} bytes are leaving",
            self.waiting()
        );
        self.driven = on;
        self.tell(if on { "on" } else { "off" });
        Ok(())
    }

    fn hold(&mut self, held: bool) -> io::Result<()> {
        assert!(!held || self.waiting() == 0, "the break tears bytes");
        self.held = held;
        self.tell(if held { "held" } else { "let go" });
        Ok(())
    }

    fn mark(&mut self, set: bool) -> io::Result<()> {
        assert_eq!(
            self.waiting(),
            0,
            "the ninth bit changes under a byte that is leaving"
        );
        self.ninth = set;
        self.tell(if set { "ninth" } else { "no ninth" });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.held, "a byte in a break");
        let count = bytes.len().min((self.room + 16).saturating_sub(self.waiting()));
        if count == 0 && !bytes.is_empty() {
            return Poll::Pending;
        }
        for byte in &bytes[..count] {
            let before = self.sent.last().map_or(self.now, |(left, _, _)| *left);
            self.sent.push((before.max(self.now) + CHAR, *byte, self.ninth));
        }
        self.tell(format!("{:?}", String::from_utf8_lossy(&bytes[..count])));
        Poll::Ready(Ok(count))
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn left(&mut self) -> io::Result<Left> {
        let held = self.waiting().saturating_sub(16);
        Ok(match (self.driver, self.waiting()) {
            (Driver::Exact, 0) => Left::Nothing,
            (Driver::Vague, _) if held == 0 => Left::Untold,
            (Driver::Careless, _) if held == 0 => Left::Nothing,
            _ => Left::Bytes(held),
        })
    }
}

fn plan(before: u32, after: u32) -> Plan {
    Plan {
        drives: true,
        before: before * MS,
        after: after * MS,
        ninth: false,
    }
}

/// Sends a frame as the port's task does: whatever comes back, it comes again.
fn send(turn: &mut Turn, line: &mut Double, frame: &[u8], wake: Duration) {
    let mut at = 0;
    loop {
        match turn.send(line, &frame[at..], wake).unwrap() {
            Did::Wrote(count) => {
                at += count;
                if at == frame.len() {
                    return;
                }
            }
            Did::Full => line.now += CHAR,
            Did::Wait(until) => {
                assert!(until > line.now, "it would spin");
                line.now = until;
            }
            Did::Rest => panic!("a frame is in hand"),
        }
    }
}

/// Goes on with a frame for as long as nothing is to be waited for.
fn once(turn: &mut Turn, line: &mut Double, wake: Duration) -> Did {
    turn.send(line, b"ab", wake).unwrap()
}

fn settle(turn: &mut Turn, line: &mut Double) {
    loop {
        match turn.settle(line).unwrap() {
            Did::Wait(until) => {
                assert!(until > line.now, "it would spin");
                line.now = until;
            }
            Did::Rest => break,
            did => panic!("{did:?}"),
        }
    }
    assert!(!turn.is_sending() && !line.driven && !line.held && !line.ninth);
}

#[test]
fn the_driver_is_on_before_the_first_byte_and_off_behind_the_last_bit() {
    let (mut turn, mut line) = (Turn::new(plan(2, 3), CHAR), Double::new(Driver::Exact, 100));
    send(&mut turn, &mut line, b"abcde", Duration::ZERO);
    assert!(turn.is_sending());
    settle(&mut turn, &mut line);
    // 2 ms before, 5 characters, up to half a character until that is seen, 3 ms behind.
    let (off, told) = (line.told[2].0, line.told());
    assert_eq!(told[..2], ["0.0 on", "2.0 \"abcde\""]);
    assert!(
        (100..=105).contains(&off) && told[2].ends_with(" off"),
        "{told:?}"
    );
}

#[test]
fn without_a_plan_and_a_break_nothing_but_bytes_goes_out() {
    let (mut turn, mut line) = (Turn::new(Plan::default(), CHAR), Double::new(Driver::Exact, 100));
    send(&mut turn, &mut line, b"ab", Duration::ZERO);
    assert!(!turn.is_sending());
    assert_eq!(line.told(), ["0.0 \"ab\""]);
}

#[test]
fn an_adapter_that_cannot_tell_is_given_the_time_that_its_bytes_take() {
    let (mut turn, mut line) = (Turn::new(plan(0, 0), CHAR), Double::new(Driver::Vague, 100));
    send(&mut turn, &mut line, &[b'x'; 40], Duration::ZERO);
    settle(&mut turn, &mut line);
    assert_eq!(line.told().last().unwrap(), "42.0 off");
}

#[test]
fn a_transmitter_that_never_says_that_it_is_empty_does_not_hold_the_line_for_ever() {
    let (mut turn, mut line) = (Turn::new(plan(0, 0), CHAR), Double::new(Driver::Stuck, 100));
    send(&mut turn, &mut line, b"abcde", Duration::ZERO);
    settle(&mut turn, &mut line);
    let off = line.told.last().unwrap().0;
    assert!((2550..=2555).contains(&off), "{:?}", line.told());
    send(&mut turn, &mut line, b"abcde", Duration::ZERO);
    assert_eq!(line.sent.len(), 10);
}

#[test]
fn a_driver_that_always_says_that_it_is_empty_is_not_believed_too_soon() {
    let (mut turn, mut line) = (Turn::new(plan(0, 0), CHAR), Double::new(Driver::Careless, 100));
    send(&mut turn, &mut line, &[b'x'; 10], Duration::ZERO);
    settle(&mut turn, &mut line);
    // 10 ms, as far as a real speed may be off.
    assert_eq!(line.told().last().unwrap(), "9.7 off");
}

#[test]
fn the_next_frame_waits_for_the_end_of_the_last_one() {
    let (mut turn, mut line) = (Turn::new(plan(1, 1), CHAR), Double::new(Driver::Exact, 100));
    send(&mut turn, &mut line, b"ab", Duration::ZERO);
    send(&mut turn, &mut line, b"cd", Duration::ZERO);
    settle(&mut turn, &mut line);
    let told: Vec<String> = line.told.iter().map(|(_, what)| what.clone()).collect();
    assert_eq!(told, ["on", "\"ab\"", "off", "on", "\"cd\"", "off"]);
}

#[test]
fn a_break_wakes_before_the_first_byte() {
    let (mut turn, mut line) = (Turn::new(Plan::default(), CHAR), Double::new(Driver::Exact, 100));
    send(&mut turn, &mut line, b"ab", Duration::ZERO);
    send(&mut turn, &mut line, b"cd", 20 * MS);
    send(&mut turn, &mut line, b"", 5 * MS);
    settle(&mut turn, &mut line);
    assert_eq!(
        line.told(),
        [
            "0.0 \"ab\"",
            "2.0 held",
            "22.0 let go",
            "23.0 \"cd\"",
            "25.0 held",
            "30.0 let go"
        ]
    );
}

#[test]
fn delays_begin_when_a_slow_driver_has_done_as_it_was_told() {
    let (mut turn, mut line) = (Turn::new(plan(2, 3), CHAR), Double::new(Driver::Exact, 100));
    line.takes = MS / 2;
    send(&mut turn, &mut line, b"a", 4 * MS);
    settle(&mut turn, &mut line);
    let told = line.told();
    assert_eq!(told[..3], ["0.5 on", "3.0 held", "7.5 let go"], "{told:?}");
    let (byte, off) = (line.told[3].0, line.told[4].0);
    assert!(byte >= 90 && off >= byte + 40, "{told:?}");
}

#[test]
fn the_address_alone_has_the_ninth_bit() {
    let ninth = Plan {
        ninth: true,
        ..Plan::default()
    };
    let (mut turn, mut line) = (Turn::new(ninth, CHAR), Double::new(Driver::Exact, 100));
    send(&mut turn, &mut line, b"Abc", Duration::ZERO);
    send(&mut turn, &mut line, b"D", Duration::ZERO);
    settle(&mut turn, &mut line);
    let bits: Vec<(char, bool)> = line
        .sent
        .iter()
        .map(|(_, byte, ninth)| (char::from(*byte), *ninth))
        .collect();
    assert_eq!(bits, [('A', true), ('b', false), ('c', false), ('D', true)]);
}

#[test]
fn a_frame_that_is_given_up_leaves_the_line_to_others() {
    let (mut turn, mut line) = (Turn::new(plan(5, 0), CHAR), Double::new(Driver::Exact, 100));
    assert!(matches!(once(&mut turn, &mut line, Duration::ZERO), Did::Wait(_)));
    settle(&mut turn, &mut line);
    assert_eq!(line.told(), ["0.0 on", "0.0 off"]);
    // And in the middle of a break.
    once(&mut turn, &mut line, 20 * MS);
    line.now += 6 * MS;
    once(&mut turn, &mut line, 20 * MS);
    assert!(line.held);
    settle(&mut turn, &mut line);
}

#[test]
fn a_port_that_closes_lets_go_of_everything() {
    let all = Plan {
        ninth: true,
        ..plan(0, 5)
    };
    let (mut turn, mut line) = (Turn::new(all, CHAR), Double::new(Driver::Exact, 100));
    once(&mut turn, &mut line, Duration::ZERO);
    line.now += 20 * MS;
    turn.end(&mut line);
    assert!(!line.driven && !line.ninth && !turn.is_sending());
}

proptest! {
    /// Whatever is sent on whatever line: all of it leaves in order, the driver is on for each bit of it, breaks and
    /// ninth bits tear nothing (the double asserts it), and in the end the line is left to the others.
    #[test]
    fn nothing_is_torn(
        frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), 0u32..4, any::<bool>()), 1..6),
        before in 0u32..3, after in 0u32..3, drives: bool, ninth: bool, exact: bool, room in 1usize..60,
    ) {
        let plan = Plan { drives, ninth, ..plan(before, after) };
        let driver = if exact { Driver::Exact } else { Driver::Vague };
        let (mut turn, mut line) = (Turn::new(plan, CHAR), Double::new(driver, room));
        for (frame, wake, pause) in &frames {
            send(&mut turn, &mut line, frame, *wake * MS);
            if *pause {
                settle(&mut turn, &mut line);
            }
        }
        settle(&mut turn, &mut line);
        let sent: Vec<u8> = line.sent.iter().map(|(_, byte, _)| *byte).collect();
        let all: Vec<u8> = frames.iter().flat_map(|(frame, _, _)| frame.clone()).collect();
        prop_assert_eq!(sent, all);
        let marked = line.sent.iter().filter(|(_, _, ninth)| *ninth).count();
        let begun = frames.iter().filter(|(frame, _, _)| !frame.is_empty()).count();
        prop_assert_eq!(marked, if ninth { begun } else { 0 });
    }
}
