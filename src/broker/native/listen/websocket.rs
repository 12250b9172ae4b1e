//! MQTT in WebSocket (RFC 6455; MQTT 5.0 section 6): the upgrade, and a stream of bytes out of binary frames.

use super::invalid;
use super::now::Now;
use bytes::{Buf, Bytes};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{
    Callback, ErrorResponse, Request, Response, ServerHandshake,
};
use tokio_tungstenite::tungstenite::handshake::{HandshakeError, MidHandshake};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, accept_hdr_with_config};

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
    /// Pages that browsers may come from; none: any.
    origins: Vec<String>,
    frames: WebSocketConfig,
    /// The longest frame of who is known.
    most: usize,
}

impl Upgrade {
    /// For those who ask for this path, or any, from these pages, or any.
    pub(super) fn new(path: Option<&str>, origins: &[String]) -> Upgrade {
        let frames = WebSocketConfig::default()
            .read_buffer_size(READ)
            .write_buffer_size(0)
            .max_write_buffer_size(OUT_MAX)
            .max_message_size(Some(FRAME_MAX))
            .max_frame_size(Some(FRAME_MAX));
        Upgrade {
            path: path.map(|path| path.trim_start_matches('/').to_owned()),
            origins: origins.to_vec(),
            frames,
            most: FRAME_MAX,
        }
    }

    /// Lets in frames with packets of this length, but no longer ones than `first` of those who are not known yet: room
    /// is made for a frame as soon as its head is there.
    pub(super) fn limit(&mut self, first: usize, packet: usize) {
        // A packet's fixed header is not part of its length: five bytes at most.
        self.most = packet.saturating_add(5).max(FRAME_MAX);
        let first = first.saturating_add(5).min(self.most);
        self.frames = self
            .frames
            .max_message_size(Some(first))
            .max_frame_size(Some(first));
    }

    /// The handshake: the client's request, at most 64 KiB, and our answer.
    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<Websocket<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut begin, mut middle) = (Some(stream), None);
        let shaken = poll_fn(|context| {
            let answer = Answer(self);
            let done = match (begin.take(), middle.take()) {
                (Some(stream), _) => {
                    accept_hdr_with_config(Now::new(stream, context), answer, Some(self.frames))
                }
                (None, Some(interrupted)) => {
                    let mut handshake: MidHandshake<ServerHandshake<Now<S>, Answer<'_>>> = interrupted;
                    handshake.get_mut().get_mut().wakes(context);
                    handshake.handshake()
                }
                (None, None) => return Poll::Pending,
            };
            match done {
                Ok(socket) => Poll::Ready(Ok(socket)),
                Err(HandshakeError::Failure(error)) => Poll::Ready(Err(fault(error))),
                Err(HandshakeError::Interrupted(interrupted)) => {
                    middle = Some(interrupted);
                    Poll::Pending
                }
            }
        });
        Ok(Websocket {
            socket: shaken.await?,
            most: self.most,
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
        // RFC 6455 section 10.2: a browser says which page it acts for. What says nothing is no browser.
        let origin = request.headers().get(ORIGIN).map(HeaderValue::as_bytes);
        if let Some(origin) = origin
            && !self.0.origins.is_empty()
            && !self
                .0
                .origins
                .iter()
                .any(|ours| ours.as_bytes().eq_ignore_ascii_case(origin))
        {
            return Err(refusal(StatusCode::FORBIDDEN, "Not from this page.\n"));
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
    socket: WebSocket<Now<S>>,
    /// The longest frame of who is known.
    most: usize,
    /// What came and was not taken yet.
    rest: Bytes,
    said_goodbye: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Websocket<S> {
    /// Tells the client why its connection ends, if it can be told at once.
    fn refuse(&mut self, context: &Context<'_>, code: CloseCode, why: &'static str) {
        let close = CloseFrame {
            code,
            reason: why.into(),
        };
        self.said_goodbye = true;
        self.socket.get_mut().wakes(context);
        let _ = self.socket.send(Message::Close(Some(close)));
    }

    /// Writes what waits, and answers to pings.
    fn flush(&mut self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.socket.get_mut().wakes(context);
        match later(self.socket.flush()) {
            Poll::Ready(Err(Error::ConnectionClosed)) => Poll::Ready(Ok(())),
            done => done.map_err(fault),
        }
    }

    /// Who it is, is known: frames may be as long as packets.
    pub(super) fn known(&mut self) {
        let most = self.most;
        self.socket.set_config(|config| {
            (config.max_message_size, config.max_frame_size) = (Some(most), Some(most));
        });
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Websocket<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.socket.get_mut().wakes(context);
        // Each round takes a frame; those without bytes for us are few per read, and reads are rationed (coop).
        while this.rest.is_empty() {
            match ready!(later(this.socket.read())) {
                Ok(Message::Binary(bytes)) => this.rest = bytes,
                Ok(Message::Text(_)) => {
                    let why = "MQTT goes in binary frames";
                    this.refuse(context, CloseCode::Unsupported, why);
                    return Poll::Ready(Err(invalid(
                        "a WebSocket text frame, where MQTT wants binary ones",
                    )));
                }
                // The crate answers both; after a close nothing more comes.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_)) => {}
                Err(error) => {
                    match &error {
                        Error::Capacity(_) => this.refuse(context, CloseCode::Size, "the frame is too long"),
                        Error::Protocol(_) => this.refuse(context, CloseCode::Protocol, "not RFC 6455"),
                        Error::Utf8(_) => this.refuse(context, CloseCode::Unsupported, "not MQTT"),
                        _ => {}
                    }
                    return Poll::Ready(end(error));
                }
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
        let this = self.get_mut();
        // The frame before, and answers to pings, must be gone: so there is room for this one.
        ready!(this.flush(context))?;
        let count = bytes.len().min(SENT_MAX);
        let frame = Message::Binary(Bytes::copy_from_slice(&bytes[..count]));
        match later(this.socket.write(frame)) {
            // What could not be written now waits inside.
            Poll::Pending | Poll::Ready(Ok(())) => Poll::Ready(Ok(count)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(fault(error))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said_goodbye {
            // Whether the client could be told or not: the connection goes.
            this.socket.get_mut().wakes(context);
            let _ = this.socket.close(None);
            this.said_goodbye = true;
        }
        let _ = ready!(this.flush(context));
        Pin::new(this.socket.get_mut().stream()).poll_shutdown(context)
    }
}

/// Pending where something could not be done now.
fn later<T>(done: Result<T, Error>) -> Poll<Result<T, Error>> {
    match done {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
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
