//! What stands in for `websocket.rs` in a mqttyd that is built without WebSocket: no stream that could be.

use std::convert::Infallible;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of a listener that the configuration can't have: it is refused before, with its place.
#[derive(Debug)]
pub(super) struct Upgrade;

impl Upgrade {
    pub(super) fn new(_: Option<&str>, _: &[String]) -> Upgrade {
        Upgrade
    }

    pub(super) fn limit(&mut self, _: usize, _: usize) {}

    pub(super) async fn accept<S>(&self, _: S) -> io::Result<Websocket<S>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[derive(Debug)]
pub(crate) struct Websocket<S> {
    never: Infallible,
    stream: PhantomData<S>,
}

impl<S> Websocket<S> {
    pub(super) fn known(&mut self) {
        match self.never {}
    }
}

impl<S: Unpin> AsyncRead for Websocket<S> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.never {}
    }
}

impl<S: Unpin> AsyncWrite for Websocket<S> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.never {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.never {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.never {}
    }
}
