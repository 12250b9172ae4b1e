//! One client's connection: its bytes to the hub, and what the hub has for it to its socket. One task each.

use super::hub::{Arrival, Flow, Holder, Outlet, Refusal, Seat, Seated};
use super::listen::{Peer, Stream};
use super::listeners::Gate;
use super::wire::{Connack, Connect, Decoder, Encoder, Fault, Packet, UNKNOWN_NEW, Version, reason};
use super::{Access, Shared};
use bytes::{Buf, BytesMut};
use bytestring::ByteString;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, timeout};
use tokio_util::io::poll_read_buf;

/// What is read at a time. A connection that is idle keeps none of it.
const CHUNK: usize = 16 * 1024;
/// How long what is left may take to be written when a connection ends.
const LINGER: Duration = Duration::from_secs(2);
/// Packets that are handled before others have their turn.
const TURN: usize = 256;

/// What a listener says of the clients that come by it.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) anonymous: bool,
    /// Whether names and passwords are looked at.
    pub(super) users: bool,
    /// Whether the name is that of the certificate.
    pub(super) identity: bool,
    /// For the handshakes, and until the CONNECT.
    pub(super) within: Duration,
    /// How many clients at once.
    pub(super) most: Option<usize>,
    /// The longest packet that a client may send.
    pub(super) packet: usize,
    /// Whether reason strings are sent.
    pub(super) reasons: bool,
    /// Its name: the address, as it is configured.
    pub(super) listener: ByteString,
}

/// Why a connection has ended, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("it said good-bye")]
    Left,
    #[error("it closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Fault(Fault),
    #[error("{0}")]
    Told(&'static str),
}

/// A client that has been taken in.
pub(super) struct Client {
    stream: Stream,
    shared: Arc<Shared>,
    decoder: Decoder,
    outlet: Arc<Outlet>,
    seat: Seat,
    reading: BytesMut,
    writing: BytesMut,
    /// Who it waits for before it reads on.
    held_by: Option<Holder>,
    /// Whether there may be whole packets in what was read.
    backlog: bool,
    /// One and a half times the keep alive, and when it is over.
    patience: Option<Duration>,
    heard: Instant,
    alarm: Pin<Box<Sleep>>,
    unflushed: bool,
}

/// Waits for a CONNECT and answers it. `within` bounds the waiting; the checking of a password has its own time.
pub(super) async fn welcome(
    mut stream: Stream,
    peer: &Peer,
    certificate: Option<String>,
    gate: &Gate,
    shared: &Arc<Shared>,
    within: Duration,
    full: impl Fn(&Door) -> bool,
) -> Result<(Box<Client>, Seated, Version), Ended> {
    let door = gate.door();
    let mut decoder = Decoder::new(door.packet);
    let mut reading = BytesMut::with_capacity(512);
    let first = async {
        loop {
            if let Some(packet) = decoder.next(&mut reading).map_err(Ended::Fault)? {
                return Ok(packet);
            }
            let count = stream.read_buf(&mut reading).await?;
            shared.hub().stats().bytes_received += count as u64;
            if count == 0 {
                return Err(Ended::Closed);
            }
        }
    };
    let first = match timeout(within, first).await {
        Ok(first) => first,
        Err(_) => Err(Ended::Told("it did not say CONNECT in time")),
    };
    let connect = match first {
        Ok(Packet::Connect(connect)) => *connect,
        Ok(_) => return Err(Ended::Fault(Fault::protocol("the first packet is not a CONNECT"))),
        Err(Ended::Fault(fault)) => {
            refuse_unread(&mut stream, decoder.version(), fault).await;
            return Err(Ended::Fault(fault));
        }
        Err(ended) => return Err(ended),
    };
    shared.open().await;
    let door = gate.door();
    let version = connect.version;
    let longest = connect.maximum_packet.map_or(usize::MAX, |most| most as usize);
    let encoder = match door.reasons && connect.problem_information {
        true => Encoder::with_reasons(version, longest),
        false => Encoder::new(version),
    };
    if full(&door) {
        let (code, why) = (reason::SERVER_BUSY, "there are as many clients as are allowed");
        refuse(&mut stream, &encoder, Refusal { code, why }, longest).await;
        return Err(Ended::Told(why));
    }
    let user = match authenticate(&connect, peer, certificate, &door, &shared.access()).await {
        Ok(user) => user,
        Err(refusal) => {
            refuse(&mut stream, &encoder, refusal, longest).await;
            return Err(Ended::Told(refusal.why));
        }
    };
    let outlet = Arc::new(Outlet::new(encoder));
    let arrival = Arrival {
        connect,
        user,
        listener: door.listener.clone(),
        outlet: outlet.clone(),
    };
    let now = Instant::now();
    let arrived = {
        let mut hub = shared.hub();
        let arrived = hub.arrive(arrival, now.into_std());
        hub.settle();
        arrived
    };
    let seated = match arrived {
        Ok(seated) => seated,
        Err(refusal) => {
            refuse(&mut stream, &outlet.encoder, refusal, longest).await;
            return Err(Ended::Told(refusal.why));
        }
    };
    let patience =
        (seated.keep_alive != 0).then(|| Duration::from_millis(u64::from(seated.keep_alive) * 1500));
    stream.known();
    let client = Box::new(Client {
        stream,
        shared: shared.clone(),
        decoder,
        outlet,
        seat: seated.seat,
        reading,
        writing: BytesMut::new(),
        held_by: None,
        // A client need not wait for its CONNACK.
        backlog: true,
        patience,
        heard: now,
        alarm: Box::pin(tokio::time::sleep_until(now + patience.unwrap_or_default())),
        unflushed: false,
    });
    Ok((client, seated, version))
}

/// Who the client is: by its certificate, by its password, or nobody in particular.
async fn authenticate(
    connect: &Connect,
    peer: &Peer,
    certificate: Option<String>,
    door: &Door,
    access: &Access,
) -> Result<Option<ByteString>, Refusal> {
    if let Some(name) = certificate {
        return Ok(Some(name.into()));
    }
    if door.identity {
        let (code, why) = (reason::BAD_USER_NAME_OR_PASSWORD, "a certificate is needed here");
        return Err(Refusal { code, why });
    }
    // MQTT 5 has codes that tell more, but whoever fails is told no more than that.
    let not = |why| Refusal {
        code: reason::NOT_AUTHORIZED,
        why,
    };
    match &connect.user {
        Some(name) => {
            if door.users {
                if !access
                    .authenticate(&door.listener, peer.ip(), name, connect.password.as_deref())
                    .await
                {
                    return Err(not("a wrong name or password"));
                }
                return Ok(Some(name.clone()));
            }
            if door.anonymous {
                Ok(Some(name.clone()))
            } else {
                Err(not("a wrong name or password"))
            }
        }
        None if door.anonymous => Ok(None),
        None => Err(not("clients without a user name are not allowed here")),
    }
}

async fn refuse(stream: &mut Stream, encoder: &Encoder, refusal: Refusal, longest: usize) {
    let mut out = BytesMut::new();
    let ack = Connack {
        code: refusal.code,
        why: Some(refusal.why),
        retain_available: true,
        maximum_qos: crate::broker::Qos::ExactlyOnce,
        ..Connack::default()
    };
    encoder.connack(&ack, &mut out);
    // MQTT-3.1.2-24.
    if out.len() > longest {
        out.clear();
    }
    finish(stream, &mut out).await;
}

/// Answers a CONNECT that can't be read, as far as its version is known.
async fn refuse_unread(stream: &mut Stream, version: Option<Version>, fault: Fault) {
    let refusal = Refusal {
        code: fault.code,
        why: fault.what,
    };
    // A packet that can't be read has no answer, but for these.
    let version = match (version, fault.code) {
        // A version that we don't know yet is answered as the newest that we do.
        (_, reason::UNSUPPORTED_VERSION) if fault.what == UNKNOWN_NEW => Version::V5,
        (_, reason::UNSUPPORTED_VERSION | reason::CLIENT_ID_NOT_VALID) => version.unwrap_or(Version::V311),
        _ => return,
    };
    refuse(stream, &Encoder::new(version), refusal, usize::MAX).await;
}

/// Writes what is left, and closes; not for longer than is bearable.
async fn finish(stream: &mut Stream, out: &mut BytesMut) {
    let write = async {
        stream.write_all_buf(out).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    let _ = timeout(LINGER, write).await;
}

impl Client {
    /// Serves the client until it goes, or is sent away.
    pub(super) async fn serve(mut self: Box<Self>) -> Ended {
        let ended = poll_fn(|context| self.poll(context)).await;
        let now = Instant::now().into_std();
        {
            let mut hub = self.shared.hub();
            match &ended {
                Ended::Fault(fault) => hub.fail(self.seat, *fault, now),
                Ended::Left | Ended::Told(_) => {}
                Ended::Closed | Ended::Io(_) => hub.lost(self.seat, now),
            }
            hub.settle();
            if hub.has_litter() {
                self.shared.sweep.notify_one();
            }
        }
        if matches!(ended, Ended::Io(_)) {
            return ended;
        }
        // What waits for the store then waits in vain: the client will ask again.
        let mut left = BytesMut::new();
        self.outlet.lock().take(self.shared.committed(), &mut left);
        self.writing.unsplit(left);
        // Boxed: it would be a part of each connection as long as that lives.
        Box::pin(finish(&mut self.stream, &mut self.writing)).await;
        ended
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ended> {
        if let Some(patience) = self.patience {
            // The alarm is not moved for every packet: when it rings, it is asked whether it should.
            while self.alarm.as_mut().poll(context).is_ready() {
                // A client that we do not read from can't be heard.
                let since = if self.held_by.is_some() {
                    Instant::now()
                } else {
                    self.heard
                };
                let due = since + patience;
                if due <= Instant::now() {
                    let fault = Fault::new(reason::KEEP_ALIVE_TIMEOUT, "the keep alive is over");
                    return Poll::Ready(Ended::Fault(fault));
                }
                self.alarm.as_mut().reset(due);
            }
        }
        loop {
            let wrote = self.write(context);
            if let Poll::Ready(Err(error)) = wrote {
                return Poll::Ready(Ended::Io(error));
            }
            if let Some(end) = self.outlet.lock().end() {
                return Poll::Ready(Ended::Told(end.why));
            }
            match self.read(context) {
                Poll::Ready(Ok(())) => {
                    if !self.outlet.lock().is_empty() {
                        // Those who are to get what it has published come before its own acknowledgements.
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Pending => {
                    let mut state = self.outlet.lock();
                    state.sleep(context.waker());
                    // Something may have come while we read: answers to our own packets do, and so does the word
                    // of the store, which wakes only those who sleep.
                    let news = state.end().is_some() || state.is_ready(self.shared.committed());
                    if !news || wrote.is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Writes until there is nothing more, or no room: then pending.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writing.is_empty() {
                let committed = self.shared.committed();
                let more = self.outlet.lock().take(committed, &mut self.writing);
                if self.writing.is_empty() {
                    if more {
                        self.shared.hub().refill(self.seat, Instant::now().into_std());
                        self.shared.hub().settle();
                        let state = self.outlet.lock();
                        if state.is_ready(self.shared.committed()) {
                            continue;
                        }
                        if state.is_unfinished() {
                            context.waker().wake_by_ref();
                        }
                    }
                    if self.unflushed {
                        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
                        self.unflushed = false;
                    }
                    return Poll::Ready(Ok(()));
                }
                if more {
                    // While this is being written, there is room for what comes next.
                    let mut hub = self.shared.hub();
                    hub.refill(self.seat, Instant::now().into_std());
                    hub.settle();
                }
            }
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.writing))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.shared.hub().stats().bytes_sent += count as u64;
            self.unflushed = true;
            self.writing.advance(count);
        }
    }

    /// Reads once, and lets the hub handle what has come.
    fn read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        if let Some(by) = self.held_by {
            if self.shared.hub().holds(by, context.waker()) {
                return Poll::Pending;
            }
            self.held_by = None;
            self.backlog = true;
        }
        if self.backlog {
            self.backlog = false;
            self.handle()?;
            return Poll::Ready(Ok(()));
        }
        if self.reading.capacity() - self.reading.len() < CHUNK / 4 {
            self.reading.reserve(CHUNK);
        }
        let count = match poll_read_buf(Pin::new(&mut self.stream), context, &mut self.reading) {
            Poll::Ready(Ok(count)) => count,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Ended::Io(error))),
            Poll::Pending => {
                if self.reading.is_empty() {
                    // At rest a connection keeps no buffer: a thousand of them would be 16 MB.
                    self.reading = BytesMut::new();
                }
                return Poll::Pending;
            }
        };
        if count == 0 {
            return Poll::Ready(Err(Ended::Closed));
        }
        self.shared.hub().stats().bytes_received += count as u64;
        self.handle()?;
        Poll::Ready(Ok(()))
    }

    /// Hands whole packets to the hub, a turn of them.
    fn handle(&mut self) -> Result<(), Ended> {
        let now = Instant::now();
        let mut hub = self.shared.hub();
        let mut handled = 0;
        loop {
            let packet = match self.decoder.next(&mut self.reading) {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(fault) => return Err(Ended::Fault(fault)),
            };
            self.heard = now;
            match hub.handle(self.seat, packet, now.into_std()) {
                Ok(Flow::On) => {}
                Ok(Flow::Hold(by)) => {
                    self.held_by = Some(by);
                    break;
                }
                Ok(Flow::Left) => {
                    hub.settle();
                    return Err(Ended::Left);
                }
                Err(fault) => return Err(Ended::Fault(fault)),
            }
            handled += 1;
            if handled == TURN {
                self.backlog = true;
                break;
            }
        }
        hub.settle();
        if hub.has_litter() {
            self.shared.sweep.notify_one();
        }
        Ok(())
    }
}
