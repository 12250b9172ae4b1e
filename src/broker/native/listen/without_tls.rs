//! What stands in for `tls.rs` in a mqttyd that is built without TLS: nothing that could be.

use super::super::super::{Fault, StartError, Tls, Transport};
use super::stream::Plain;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(super) enum Files {}

impl Files {
    /// Refuses: the configuration is looked at before, and says so with the place.
    pub(super) fn read(_: &Tls, _: Transport) -> Result<Files, StartError> {
        Err(StartError::Config(Fault {
            path: vec!["listener".into()],
            what: super::super::super::config::without("tls"),
        }))
    }

    pub(super) async fn accept(&self, _: Plain) -> io::Result<(Secure, Option<String>)> {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Secure {}

impl AsyncRead for Secure {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl AsyncWrite for Secure {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}
