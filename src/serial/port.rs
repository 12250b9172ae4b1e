//! An open serial port: bytes in, bytes out, and an end when the line has hung up.

use super::ioctl;
use super::marks::{Mark, Marks};
use super::open::Line;
use super::send::{Real, Turner};
use super::timer::Timer;
use super::turn::{Plan, Turn};
use rustix::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use rustix::termios::{OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use serialport::TTYPort;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::SerialStream;

/// An open, locked serial port. Dropping it closes and unlocks it at once.
///
/// Reading ends with an error when the line has hung up, also when nobody wrote: `UnexpectedEof`, or what the
/// kernel said. Writing takes what the kernel has room for and waits (as a task) for more; flushing does
/// nothing, for the kernel's way to wait for the line blocks the thread: see [`Port::drained`]. Frames are sent by
/// [`Port::poll_send`], which does what the line wants done around them.
#[derive(Debug)]
pub struct Port {
    stream: SerialStream,
    line: Line,
    turn: Turn,
    turner: Turner,
    afar: bool,
    timer: Timer,
    marks: Option<Marks>,
    /// How the kernel turned the line before it was asked otherwise.
    before: Option<ioctl::Rs485>,
}

/// What an open port is made of.
pub(super) struct Parts {
    pub(super) fd: OwnedFd,
    pub(super) line: Line,
    pub(super) plan: Plan,
    pub(super) turner: Turner,
    pub(super) afar: bool,
    pub(super) marks: Option<Marks>,
    pub(super) before: Option<ioctl::Rs485>,
}

impl Port {
    pub(super) fn new(parts: Parts) -> io::Result<Port> {
        // SAFETY: the descriptor is open, and given away here.
        let tty = unsafe { TTYPort::from_raw_fd(parts.fd.into_raw_fd()) };
        Ok(Port {
            stream: SerialStream::try_from(tty)?,
            turn: Turn::new(parts.plan, parts.line.char_time),
            line: parts.line,
            turner: parts.turner,
            afar: parts.afar,
            timer: Timer::default(),
            marks: parts.marks,
            before: parts.before,
        })
    }

    /// What sends a frame, the line that it is done to, and what it waits with.
    pub(super) fn at_work(&mut self, cx: &mut Context<'_>) -> (&mut Turn, Real<'_>, &mut Timer) {
        let real = Real {
            stream: &mut self.stream,
            turner: &self.turner,
            afar: self.afar,
            waker: cx.waker().clone(),
        };
        (&mut self.turn, real, &mut self.timer)
    }

    /// Whether a frame is on its way, or the line is still to be turned back behind one.
    pub(super) fn is_sending(&self) -> bool {
        self.turn.is_sending()
    }

    /// What the line told beside the bytes that were read last: breaks, and where frames begin.
    pub fn marks(&self) -> &[Mark] {
        self.marks.as_ref().map_or(&[], Marks::found)
    }

    /// What was opened, and how its line is set in truth.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Sets another speed, for devices that ask for it in the middle of a dialogue.
    pub fn set_baud(&mut self, baud: u32) -> io::Result<()> {
        let mut termios = tcgetattr(&*self)?;
        let before = termios.output_speed();
        termios.set_speed(baud)?;
        // What was written leaves at the old speed, as far as the driver knows of it.
        tcsetattr(&*self, OptionalActions::Now, &termios)?;
        let factor = f64::from(before.max(1)) / f64::from(baud.max(1));
        self.line.char_time = self.line.char_time.mul_f64(factor);
        self.turn.paced(self.line.char_time);
        Ok(())
    }

    /// How many written bytes the kernel still holds. A pty holds none: its other end has them already.
    pub fn queued(&self) -> io::Result<usize> {
        Ok(ioctl::queued(self)?)
    }

    /// Waits until what was written has left and the line is turned back, at most for `patience`; whether it has.
    pub async fn drained(&mut self, patience: Duration) -> bool {
        let sent = async {
            // The kernel tells of this by blocking a thread only; but it is known how long the line takes.
            while let Ok(count @ 1..) = self.queued() {
                let time = self
                    .line
                    .char_time
                    .saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
                let pause = time.clamp(Duration::from_millis(1), Duration::from_millis(100));
                tokio::time::sleep(pause).await;
            }
            // A line that fails has nothing to be waited for.
            let _ = poll_fn(|cx| self.poll_settle(cx)).await;
        };
        tokio::time::timeout(patience, sent).await.is_ok()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Closing waits up to 30 s for a device that holds back our output by flow control (the kernel's
        // closing_wait), and would hold up the runtime with it. Who wants the last bytes to leave waits before.
        if self.queued().is_ok_and(|count| count > 0) {
            let _ = tcflush(&*self, QueueSelector::OFlush);
        }
        // Whoever else is on the line must be heard, and whoever opens it next finds it as it was.
        self.end_turn();
        if let Some(before) = &self.before {
            let _ = ioctl::set_rs485(&*self, before);
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream keeps its descriptor open for as long as it lives.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}

impl AsyncRead for Port {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let port = &mut *self;
        let before = buffer.filled().len();
        loop {
            if let Some(marks) = &mut port.marks {
                marks.clear();
            }
            ready!(Pin::new(&mut port.stream).poll_read(context, buffer))?;
            // A terminal that has hung up reads as 0 bytes for ever.
            if buffer.filled().len() == before && buffer.remaining() > 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let Some(marks) = &mut port.marks else {
                return Poll::Ready(Ok(()));
            };
            let left = marks.take(&mut buffer.filled_mut()[before..]);
            if port.turn.is_sending() {
                // Its own break, come back.
                marks.forget_breaks();
            }
            buffer.set_filled(before + left);
            if left > 0 || !marks.found().is_empty() {
                return Poll::Ready(Ok(()));
            }
            // A mark has begun, and its rest is still to come.
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::{Config, Pty, open};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_pass_both_ways_unchanged() {
        let pty = Pty::new().unwrap();
        let mut port = open(pty.path(), &Config::default()).await.unwrap();
        let all: Vec<u8> = (0..=255).collect();
        rustix::io::write(&pty, &all).unwrap();
        let mut got = vec![0; all.len()];
        port.read_exact(&mut got).await.unwrap();
        assert_eq!(got, all);

        port.write_all(&all).await.unwrap();
        port.flush().await.unwrap();
        assert!(port.drained(Duration::from_secs(1)).await);
        let mut got = vec![0; 2 * all.len()];
        let count = rustix::io::read(&pty, &mut got).unwrap();
        assert_eq!(got[..count], all);
    }

    #[tokio::test]
    async fn what_came_before_the_opening_is_not_lost() {
        let pty = Pty::new().unwrap();
        rustix::io::write(&pty, b"first\r\n\x04").unwrap();
        let mut port = open(pty.path(), &Config::default()).await.unwrap();
        let mut got = [0; 8];
        port.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"first\r\n\x04");
    }

    #[tokio::test]
    async fn a_hang_up_ends_a_waiting_read() {
        let pty = Pty::new().unwrap();
        let mut port = open(pty.path(), &Config::default()).await.unwrap();
        let reader = tokio::spawn(async move { port.read(&mut [0; 16]).await.map_err(|end| end.kind()) });
        tokio::task::yield_now().await;
        drop(pty);
        assert_eq!(reader.await.unwrap(), Err(io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn a_hang_up_while_nobody_reads_is_found_by_both_ways() {
        let pty = Pty::new().unwrap();
        let mut port = open(pty.path(), &Config::default()).await.unwrap();
        drop(pty);
        assert!(port.read(&mut [0; 16]).await.is_err());
        assert!(port.write(b"x").await.is_err());
    }

    #[tokio::test]
    async fn a_device_that_does_not_read_blocks_nobody() {
        let pty = Pty::new().unwrap();
        let mut port = open(pty.path(), &Config::default()).await.unwrap();
        let flood = vec![b'x'; 1 << 20];
        let stuck = tokio::time::timeout(Duration::from_millis(20), port.write_all(&flood)).await;
        assert!(stuck.is_err());
        drop(port);
    }

    #[tokio::test]
    async fn a_thousand_rounds_leak_no_descriptor() {
        let pty = Pty::new().unwrap();
        let count = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
            files
                .filter(|f| std::fs::read_link(f.path()).is_ok_and(|node| node == pty.path()))
                .count()
        };
        let keep = std::fs::File::open(pty.path()).unwrap();
        let before = count();
        for _ in 0..1000 {
            let mut port = open(pty.path(), &Config::default()).await.unwrap();
            port.write_all(b"x").await.unwrap();
            rustix::io::read(&pty, &mut [0; 16]).unwrap();
        }
        assert_eq!(count(), before);
        drop(keep);
    }
}
