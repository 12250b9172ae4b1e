//! Twelve devices on one line of real speed: the plan says what it needs, and the line bears it.

use super::super::Plan;
use super::line::{CHAR, Line, MS, PROFILE, made};
use std::time::Duration;

fn profile() -> String {
    PROFILE
        .replace("timeout = ", "turnaround = \"5ms\"\ntimeout = ")
        .replace(
            "name = \"b\"\n    every",
            "name = \"b\"\n    reply-length = 5\n    every",
        )
        .replace(
            "name = \"a\"\n    every",
            "name = \"a\"\n    reply-length = 5\n    every",
        )
}

#[test]
fn a_plan_is_the_sum_of_its_polls() {
    let devices = made(&profile(), &[1, 2]);
    let plan = Plan::new(&devices, CHAR);
    // 4 characters sent and 5 received, 3.5 of silence, 5 ms until the reply.
    let one = CHAR * 9 + CHAR * 35 / 10 + 5 * MS;
    assert_eq!(plan.rows.len(), 4);
    assert!(plan.rows.iter().all(|row| row.time == one), "{plan}");
    let wanted = 4.0 * one.as_secs_f64();
    assert!((plan.utilisation() - wanted).abs() < 1e-9, "{plan}");
    let text = plan.to_string();
    for part in [
        "d1 a: 4 sent + 5 received + 3.6 ms silence + 5.0 ms waiting = 18.0 ms every 1s = 1.8%",
        "together 7.2%",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn twelve_devices_and_one_of_them_dead() {
    let all: Vec<u8> = (1..=12).collect();
    let devices = made(&profile(), &all);
    let planned = Plan::new(&devices, CHAR).utilisation();
    let mut line = Line::new(&profile(), &all);
    line.run(Duration::from_secs(10));
    line.bus.busy(Duration::from_secs(10));
    line.told.clear();
    line.run(Duration::from_secs(60));
    let measured = line.bus.busy(Duration::from_secs(60));
    assert!(
        (measured / planned - 1.0).abs() < 0.05,
        "planned {planned}, measured {measured}"
    );
    // One of them dies: the others have at least 95% of what was planned.
    line.there.retain(|address| *address != 5);
    line.told.clear();
    line.run(Duration::from_secs(60));
    for device in (0..12).filter(|device| *device != 4) {
        let count = line.values().iter().filter(|(of, ..)| *of == device).count();
        assert!(count >= 114, "device {device}: {count} of 120");
    }
    assert_eq!(line.bus.counts().skipped, 0);
}

#[test]
fn a_line_that_is_full_leaves_out_polls_evenly_and_counts_them() {
    let all: Vec<u8> = (1..=6).collect();
    let mut line = Line::new(&profile().replace("1s", "100ms"), &all);
    line.run(Duration::from_secs(30));
    line.assert_true();
    let counts: Vec<usize> = (0..6)
        .map(|device| line.values().iter().filter(|(of, ..)| *of == device).count())
        .collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least * 10 >= *most * 8, "{counts:?}");
    assert!(line.bus.counts().skipped > 100);
}
