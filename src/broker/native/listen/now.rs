//! A stream for code that does not wait: what can't be done now is `WouldBlock`, and wakes the task later.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that is used by one task alone.
#[derive(Debug)]
pub(super) struct Now<S> {
    stream: S,
    waker: Waker,
}

impl<S> Now<S> {
    pub(super) fn new(stream: S, context: &Context<'_>) -> Now<S> {
        Now {
            stream,
            waker: context.waker().clone(),
        }
    }

    /// Who is to be woken. To be said whenever the task is polled.
    pub(super) fn wakes(&mut self, context: &Context<'_>) {
        self.waker.clone_from(context.waker());
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Unpin> Read for Now<S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(bytes);
        let mut context = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.stream).poll_read(&mut context, &mut into))?;
        Ok(into.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> Write for Now<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut context = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.stream).poll_write(&mut context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut context = Context::from_waker(&self.waker);
        now(Pin::new(&mut self.stream).poll_flush(&mut context))
    }
}

fn now<T>(done: Poll<io::Result<T>>) -> io::Result<T> {
    match done {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
