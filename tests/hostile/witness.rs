//! Another client, which the hostile ones are not to disturb: it sends itself messages all the while.

use crate::support::{Client, Daemon};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long it rests between two messages.
const REST: Duration = Duration::from_millis(5);

pub(super) struct Witness {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Duration)>,
}

impl Witness {
    #[track_caller]
    pub(super) fn of(daemon: &Daemon) -> Witness {
        let mut client = daemon.client("witness");
        client.subscribe("witness", 1);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (mut count, mut worst) = (0_u32, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                worst = worst.max(round_trip(&mut client, count));
                count += 1;
                thread::park_timeout(REST);
            }
            (count, worst)
        });
        Witness { stop, thread }
    }

    /// Ends it: all its messages have come, in their order. How long the slowest took is printed, for a machine that does
    /// nothing else; no test depends on it.
    #[track_caller]
    #[expect(clippy::print_stderr, reason = "a measure, for who asks with --nocapture")]
    pub(super) fn ends_undisturbed(self, by: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let (count, worst) = self.thread.join().expect("a witness that got all its messages");
        assert!(count > 0, "there was nothing to witness");
        eprintln!("{by}: another client's {count} round trips took at most {worst:?}");
    }
}

fn round_trip(client: &mut Client, number: u32) -> Duration {
    let payload = number.to_be_bytes();
    let start = Instant::now();
    // The acknowledgement of QoS 1 is a part of it.
    client.publish("witness", &payload, 1, false);
    let message = client.next();
    assert_eq!((&*message.topic, &*message.payload), ("witness", &payload[..]));
    start.elapsed()
}
