//! A timer for the moments of a line: tokio's counts in milliseconds, and at 115,200 baud eleven characters pass in one.

use rustix::fd::OwnedFd;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel's; made when it is first needed, for most lines never need one.
#[derive(Debug, Default)]
pub(super) struct Timer {
    fd: Option<AsyncFd<OwnedFd>>,
    /// For when it is set.
    until: Option<Instant>,
}

impl Timer {
    /// Whether it is `until`; if not, the task is woken then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<io::Result<()>> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.until = None;
            return Poll::Ready(Ok(()));
        }
        let fd = match &mut self.fd {
            Some(fd) => fd,
            none => {
                let fd = timerfd_create(
                    TimerfdClockId::Monotonic,
                    TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
                )?;
                // SAFETY: an OwnedFd is open and stays the same for as long as it lives, here as long as the AsyncFd.
                none.insert(unsafe { AsyncFd::register(fd) }?)
            }
        };
        if self.until != Some(until) {
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: left.subsec_nanos().into(),
                },
            };
            timerfd_settime(fd.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            self.until = Some(until);
        }
        loop {
            let mut ready = ready!(fd.poll_read_ready(cx))?;
            match read(fd.get_ref(), &mut [0; 8]) {
                Ok(_) => {
                    self.until = None;
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::WOULDBLOCK) => ready.clear_ready(),
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test]
    async fn it_rings_when_it_is_time_and_not_before_though_it_was_set_for_another_time() {
        let mut timer = Timer::default();
        let far = Instant::now() + Duration::from_secs(3600);
        let early = poll_fn(|cx| Poll::Ready(timer.poll(cx, far).is_ready())).await;
        assert!(!early);
        for micros in [300, 0, 1500] {
            let until = Instant::now() + Duration::from_micros(micros);
            poll_fn(|cx| timer.poll(cx, until)).await.unwrap();
            assert!(Instant::now() >= until);
        }
    }
}
