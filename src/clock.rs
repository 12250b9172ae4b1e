//! Being told when somebody sets the clock: by the kernel, so that nothing wakes us at rest.

use rustix::fd::OwnedFd;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::unix::AsyncFd;

/// What is less is the clock being led, not set.
const LEAST: Duration = Duration::from_millis(500);

/// Notices that the clock was set.
#[derive(Debug)]
pub struct Clock {
    timer: AsyncFd<OwnedFd>,
    /// The same moment by the clock and by what can't be set.
    wall: SystemTime,
    steady: Instant,
}

/// By how much the clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It shows a later time now.
    Forward(Duration),
    /// It shows an earlier time now.
    Back(Duration),
}

impl Clock {
    /// Begins to watch.
    pub fn watch() -> io::Result<Clock> {
        let timer = timerfd_create(
            TimerfdClockId::Realtime,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        arm(&timer)?;
        // SAFETY: an OwnedFd is open and stays the same for as long as it lives, here as long as the AsyncFd.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Clock {
            timer,
            wall: SystemTime::now(),
            steady: Instant::now(),
        })
    }

    /// Waits until the clock is set. Cancel-safe: what was missed is told by the next call.
    pub async fn step(&mut self) -> io::Result<Step> {
        loop {
            let mut ready = self.timer.readable().await?;
            match read(self.timer.get_ref(), &mut [0; 8]) {
                // Set. The other is the timer's own end, in a far future.
                Err(Errno::CANCELED) | Ok(_) => {}
                Err(Errno::WOULDBLOCK) => {
                    ready.clear_ready();
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            ready.clear_ready();
            arm(self.timer.get_ref())?;
            let (wall, steady) = (SystemTime::now(), Instant::now());
            let expected = self.wall + (steady - self.steady);
            (self.wall, self.steady) = (wall, steady);
            let step = match wall.duration_since(expected) {
                Ok(ahead) => Step::Forward(ahead),
                Err(behind) => Step::Back(behind.duration()),
            };
            if step.size() >= LEAST {
                return Ok(step);
            }
        }
    }
}

impl Step {
    fn size(self) -> Duration {
        match self {
            Step::Forward(by) | Step::Back(by) => by,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nobody sets a clock by hand to less than that.
        let by =
            humantime::format_duration(Duration::from_millis(self.size().as_millis() as u64 / 100 * 100));
        match self {
            Step::Forward(_) => write!(f, "{by} forward"),
            Step::Back(_) => write!(f, "{by} back"),
        }
    }
}

/// A timer that ends in a far future, or when the clock is set (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
fn arm(timer: &OwnedFd) -> io::Result<()> {
    let never = Timespec {
        tv_sec: i64::from(i32::MAX),
        tv_nsec: 0,
    };
    let once = Itimerspec {
        it_interval: Timespec::default(),
        it_value: never,
    };
    timerfd_settime(
        timer,
        TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET,
        &once,
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_in_words() {
        assert_eq!(
            Step::Forward(Duration::from_millis(90_061_234)).to_string(),
            "1day 1h 1m 1s 200ms forward"
        );
        assert_eq!(Step::Back(Duration::from_secs(3)).to_string(), "3s back");
    }

    /// It is told of a clock that is set; that needs root, and is tried where the clock may be set.
    #[tokio::test]
    async fn a_clock_that_is_not_set_tells_nothing() {
        let mut clock = Clock::watch().unwrap();
        let told = tokio::time::timeout(Duration::from_millis(20), clock.step()).await;
        assert!(told.is_err(), "{told:?}");
    }
}
