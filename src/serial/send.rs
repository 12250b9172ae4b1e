//! Sending on an open port: what [`Turn`] wants done, done to the real line.

use super::gpio::Output;
use super::ioctl;
use super::open::parity_modes;
use super::port::Port;
use super::turn::{Did, Left, Wire};
use super::words::Parity;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use std::io;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::AsyncWrite;
use tokio_serial::SerialStream;

/// What is moved to turn the line.
#[derive(Debug)]
pub(super) enum Turner {
    /// Nothing that is moved from here.
    Nobody,
    /// RTS, asserted (or not) while sending.
    Rts { asserts: bool },
    /// A GPIO line.
    Gpio(Output),
}

impl Turner {
    pub(super) fn turn(&self, line: impl AsFd, on: bool) -> io::Result<()> {
        match self {
            Turner::Nobody => Ok(()),
            Turner::Rts { asserts } => Ok(ioctl::set_rts(line, on == *asserts)?),
            Turner::Gpio(output) => output.set(on),
        }
    }
}

impl Port {
    /// Sends what is left of a frame: turns an RS-485 line before its first byte, holds a break of the length `wake` if
    /// that isn't zero, sets the ninth bit. Gives how many bytes were taken. When it was all of them, the line is turned
    /// back by [`poll_settle`](Port::poll_settle) or the next frame.
    pub fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        rest: &[u8],
        wake: Duration,
    ) -> Poll<io::Result<usize>> {
        loop {
            let (turn, mut wire, timer) = self.at_work(cx);
            match turn.send(&mut wire, rest, wake)? {
                Did::Wrote(count) => return Poll::Ready(Ok(count)),
                Did::Full => return Poll::Pending,
                Did::Wait(until) => ready!(timer.poll(cx, until))?,
                // There is a frame.
                Did::Rest => {}
            }
        }
    }

    /// No frame is in hand: turns the line back when the last bit has left. Ready when nothing is left to be done.
    pub fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // As it mostly is: asked each time that the port's task looks for something to do.
        if !self.is_sending() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let (turn, mut wire, timer) = self.at_work(cx);
            match turn.settle(&mut wire)? {
                Did::Wait(until) => ready!(timer.poll(cx, until))?,
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Leaves the line as one that receives.
    pub(super) fn end_turn(&mut self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (turn, mut wire, _) = self.at_work(&mut cx);
        turn.end(&mut wire);
    }
}

/// The line itself.
pub(super) struct Real<'a> {
    pub(super) stream: &'a mut SerialStream,
    pub(super) turner: &'a Turner,
    /// Whether the transmitter is at the other end of a USB cable: what its driver knows of it is some milliseconds old.
    pub(super) afar: bool,
    pub(super) waker: std::task::Waker,
}

impl Real<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream keeps its descriptor open for as long as it lives.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}

impl Wire for Real<'_> {
    fn drive(&mut self, on: bool) -> io::Result<()> {
        self.turner.turn(self.fd(), on)
    }

    fn hold(&mut self, held: bool) -> io::Result<()> {
        Ok(ioctl::set_break(self.fd(), held)?)
    }

    fn mark(&mut self, set: bool) -> io::Result<()> {
        let parity = if set { Parity::Mark } else { Parity::Space };
        let mut termios = tcgetattr(self.fd())?;
        termios.control_modes -= ControlModes::PARENB | ControlModes::PARODD | ControlModes::CMSPAR;
        termios.control_modes |= parity_modes(parity);
        // At once, and not behind what is written (TCSADRAIN), which would block: the transmitter is empty.
        Ok(tcsetattr(self.fd(), OptionalActions::Now, &termios)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut cx = Context::from_waker(&self.waker);
        Pin::new(&mut *self.stream).poll_write(&mut cx, bytes)
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn left(&mut self) -> io::Result<Left> {
        let held = ioctl::queued(self.fd())?;
        if held > 0 {
            return Ok(Left::Bytes(held));
        }
        if self.afar {
            return Ok(Left::Untold);
        }
        Ok(match ioctl::is_empty(self.fd())? {
            Some(true) => Left::Nothing,
            Some(false) => Left::Bytes(0),
            None => Left::Untold,
        })
    }
}
