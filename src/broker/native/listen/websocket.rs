//! MQTT in WebSocket (RFC 6455; MQTT 5.0 section 6): the upgrade, and a stream of bytes out of binary frames.

use super::invalid;
use bytes::{Buf, Bytes};
use futures_util::{Sink, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_PROTOCOL,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// The longest frame (and message made of frames) that is taken where the longest packet is shorter: a client
/// may put several packets in one.
pub(super) const FRAME_MAX: usize = 1024 * 1024;

/// The longest frame that is sent. What is longer goes in several, so that no client needs more room than that.
const SENT_MAX: usize = 64 * 1024;

/// What is read at once.
const READ: usize = 4 * 1024;

/// Beside one frame, room for the answer to a ping, and then some.
const OUT_MAX: usize = SENT_MAX + 4 * 1024;

/// The sub-protocols (MQTT-6.0.0-3, -4), the better one first; the second is what clients of MQTT 3.1 ask for.
const PROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// How a listener answers those who want a WebSocket.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// Without the slash that it begins with; none: any.
    path: Option<String>,
    frames: WebSocketConfig,
}

impl Upgrade {
    /// For those who ask for this path, or any.
    pub(super) fn new(path: Option<&str>) -> Upgrade {
        let frames = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_write_buffer_size(OUT_MAX)
            .max_message_size(Some(FRAME_MAX))
            .max_frame_size(Some(FRAME_MAX));
        Upgrade {
            path: path.map(|path| path.trim_start_matches('/').to_owned()),
            frames,
        }
    }

    /// Lets in frames with packets of this length.
    pub(super) fn limit(&mut self, packet: usize) {
        // A packet's fixed header is not part of its length: five bytes at most.
        let most = packet.saturating_add(5).max(FRAME_MAX);
        self.frames = self
            .frames
            .max_message_size(Some(most))
            .max_frame_size(Some(most));
    }

    /// The handshake: the client's request, at most 64 KiB, and our answer.
    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<Websocket<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let socket = accept_hdr_async_with_config(stream, Answer(self), Some(self.frames)).await;
        Ok(Websocket {
            socket: socket.map_err(fault)?,
            rest: Bytes::new(),
            said_goodbye: false,
        })
    }
}

struct Answer<'a>(&'a Upgrade);

impl Callback for Answer<'_> {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let path = request.uri().path().trim_start_matches('/');
        if self.0.path.as_ref().is_some_and(|ours| ours != path) {
            return Err(refusal(StatusCode::NOT_FOUND, "There is no MQTT at this path.\n"));
        }
        let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
        let offered: Vec<&str> = offered
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(',').map(str::trim))
            .collect();
        let Some(protocol) = PROTOCOLS.into_iter().find(|ours| offered.contains(ours)) else {
            return Err(refusal(
                StatusCode::BAD_REQUEST,
                "The WebSocket sub-protocol here is \"mqtt\".\n",
            ));
        };
        let headers = response.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        Ok(response)
    }
}

fn refusal(status: StatusCode, why: &'static str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(why.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CONTENT_LENGTH, why.len().into());
    response
}

/// The bytes of MQTT in the binary frames of a WebSocket: where frames begin and end means nothing
/// (MQTT-6.0.0-2). What is written at once goes in one frame. Pings are answered; a text frame ends the
/// connection (MQTT-6.0.0-1).
#[derive(Debug)]
pub(crate) struct Websocket<S> {
    socket: WebSocketStream<S>,
    /// What came and was not taken yet.
    rest: Bytes,
    said_goodbye: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Websocket<S> {
    /// Tells the client why its connection ends, if it can be told at once.
    fn refuse(&mut self, context: &mut Context<'_>, code: CloseCode, why: &'static str) {
        let close = CloseFrame {
            code,
            reason: why.into(),
        };
        self.said_goodbye = true;
        if Pin::new(&mut self.socket)
            .start_send(Message::Close(Some(close)))
            .is_ok()
        {
            let _ = Pin::new(&mut self.socket).poll_flush(context);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Websocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Each round takes a frame; those without bytes for us are few per read, and reads are rationed (coop).
        while this.rest.is_empty() {
            match ready!(Pin::new(&mut this.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => this.rest = bytes,
                Some(Ok(Message::Text(_))) => {
                    let why = "MQTT goes in binary frames";
                    this.refuse(context, CloseCode::Unsupported, why);
                    return Poll::Ready(Err(invalid(
                        "a WebSocket text frame, where MQTT wants binary ones",
                    )));
                }
                // The crate answers both; after a close nothing more comes.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    match &error {
                        Error::Capacity(_) => this.refuse(context, CloseCode::Size, "the frame is too long"),
                        Error::Protocol(_) => this.refuse(context, CloseCode::Protocol, "not RFC 6455"),
                        Error::Utf8(_) => this.refuse(context, CloseCode::Unsupported, "not MQTT"),
                        _ => {}
                    }
                    return Poll::Ready(end(error));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = this.rest.len().min(buffer.remaining());
        buffer.put_slice(&this.rest[..count]);
        this.rest.advance(count);
        if this.rest.is_empty() {
            // Not only empty, but nobody's memory.
            this.rest = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Websocket<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut socket = Pin::new(&mut self.get_mut().socket);
        // The frame before, and answers to pings, must be gone: so there is room for this one.
        ready!(socket.as_mut().poll_flush(context)).map_err(fault)?;
        let count = bytes.len().min(SENT_MAX);
        let frame = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        socket.start_send(frame).map_err(fault)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket)
            .poll_flush(context)
            .map_err(fault)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_goodbye {
            // Whether the client could be told or not: the connection goes.
            let _ = ready!(Pin::new(&mut this.socket).poll_close(context));
            this.said_goodbye = true;
        }
        Pin::new(this.socket.get_mut()).poll_shutdown(context)
    }
}

/// How reading ends: a client that is gone without a close frame is gone.
fn end(error: Error) -> io::Result<()> {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ok(()),
        error => Err(fault(error)),
    }
}

fn fault(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::SendAfterClosing) => {
            io::ErrorKind::BrokenPipe.into()
        }
        Error::Http(response) => {
            let why = response.body().as_deref().map(String::from_utf8_lossy);
            let why = why.unwrap_or_default();
            invalid(format!(
                "WebSocket refused with {}: {}",
                response.status(),
                why.trim_end()
            ))
        }
        error => invalid(error),
    }
}
