//! Two meters on one line, played by the test, that do wrong what they are told to do wrong.

use super::{Device, pause};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long one stays away that is pulled out once.
const AWAY: Duration = Duration::from_millis(100);
/// So often they look whether they are to end.
const MOMENT: Duration = Duration::from_millis(20);
/// No value of theirs.
const LIE: [u8; 2] = [0x7f, 0xff];

/// What they read: energy and level, by an own protocol and by Modbus, with the names that the test's profiles have.
pub(crate) const ENERGY: [u8; 2] = [1, 4];
/// The level.
pub(crate) const LEVEL: [u8; 2] = [2, 3];
/// A level is set.
pub(crate) const SET: u8 = 6;
/// Somebody logs in.
pub(crate) const LOGIN: u8 = 9;

/// What a meter does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// It does nothing.
    Silent,
    /// It answers when nobody waits for it any more.
    Late,
    /// Half of its answer comes.
    Cut,
    /// A bit of its answer is wrong.
    Garbled,
    /// What it is asked comes back before its answer.
    Echo,
    /// What it is asked comes back, and no answer.
    EchoAlone,
    /// Another one answers.
    Foreign,
    /// Both answer at the same time.
    Both,
    /// It is pulled out in the middle of its answer.
    Unplugged,
}

impl Fault {
    /// All of them, and what people call them.
    pub(crate) const ALL: [(Fault, &'static str); 9] = [
        (Fault::Silent, "silent"),
        (Fault::Late, "late"),
        (Fault::Cut, "cut"),
        (Fault::Garbled, "garbled"),
        (Fault::Echo, "echo, then the reply"),
        (Fault::EchoAlone, "echo alone"),
        (Fault::Foreign, "another answers"),
        (Fault::Both, "two at once"),
        (Fault::Unplugged, "unplugged in mid-frame"),
    ];
}

/// How they are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tongue {
    /// An own protocol, whose replies don't say what they answer.
    Own,
    /// The same, and they answer only those who have logged in.
    Session,
    /// Modbus.
    Modbus,
}

/// The line with its two meters, whose addresses are 1 and 2, in a thread of its own.
pub(crate) struct Faulty {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What is known of the line, and what is to happen on it.
#[derive(Default)]
struct State {
    stop: bool,
    fault: Option<Fault>,
    /// To which requests it happens, by their function, and how often still; `None`: always.
    aim: Vec<u8>,
    left: Option<u32>,
    /// How often it has happened since it was armed.
    done: u32,
    /// Something happens to each request that is aimed at, and this says what.
    storm: Option<u64>,
    requests: Vec<Vec<u8>>,
    /// What each has really read, by `device/field`.
    truths: BTreeSet<(String, u16)>,
}

impl Faulty {
    /// Two meters that do nothing wrong, for which the gateway waits so long. What is late comes after that, but not
    /// after twice as long.
    pub(crate) fn new(tongue: Tongue, timeout: Duration) -> Faulty {
        let device = Device::new();
        let (path, shared) = (device.path().to_owned(), Arc::new(Shared::default()));
        let meters = Meters {
            tongue,
            timeout,
            shared: shared.clone(),
            device,
            count: 0,
            levels: BTreeMap::from([(1, 11), (2, 22)]),
            coming: Vec::new(),
            known: BTreeSet::new(),
        };
        Faulty {
            path,
            shared,
            thread: Some(std::thread::spawn(move || meters.run())),
        }
    }

    /// Where the gateway finds them.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on this happens to requests of these functions, so many times or always.
    pub(crate) fn arm(&self, fault: Fault, aim: &[u8], times: Option<u32>) {
        let mut state = self.shared.state();
        (state.fault, state.left, state.done) = (Some(fault), times, 0);
        state.aim = aim.to_vec();
    }

    /// From now on any fault may happen to requests of these functions, and mostly none does.
    pub(crate) fn storm(&self, aim: &[u8], seed: u64) {
        let mut state = self.shared.state();
        (state.storm, state.left) = (Some(seed), Some(u32::MAX));
        state.aim = aim.to_vec();
    }

    /// Nothing wrong happens any more.
    pub(crate) fn disarm(&self) {
        let mut state = self.shared.state();
        (state.fault, state.left, state.storm) = (None, None, None);
        self.shared.changed.notify_all();
    }

    /// How often it has happened since it was armed.
    pub(crate) fn happened(&self) -> u32 {
        self.shared.state().done
    }

    /// Whether a meter has ever read this.
    pub(crate) fn is_true(&self, key: &str, value: u16) -> bool {
        self.shared.state().truths.contains(&(key.to_owned(), value))
    }

    /// Each request that came, in order.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.shared.state().requests.clone()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// In a storm: what happens next.
    fn draw(&mut self) {
        let Some(seed) = &mut self.storm else { return };
        // The middle bits of a product don't repeat soon.
        *seed = seed
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        let drawn = (*seed >> 33) as usize;
        // To be pulled out is rare.
        let most = if drawn.is_multiple_of(41) { 9 } else { 8 };
        let fault = Fault::ALL.get(drawn / 41 % 60).filter(|_| drawn / 41 % 60 < most);
        self.fault = fault.map(|(fault, _)| *fault);
    }
}

struct Meters {
    tongue: Tongue,
    timeout: Duration,
    shared: Arc<Shared>,
    device: Device,
    count: u16,
    levels: BTreeMap<u8, u16>,
    /// What is late, and when it comes.
    coming: Vec<(Instant, Vec<u8>)>,
    /// Which of them somebody has logged in to.
    known: BTreeSet<u8>,
}

impl Meters {
    fn run(mut self) {
        let mut waiting = Vec::new();
        while !self.shared.state().stop {
            let length = match (self.tongue, waiting.get(1)) {
                (_, None) => usize::MAX,
                (Tongue::Modbus, _) => 8,
                (_, Some(&(SET | LOGIN))) => 6,
                _ => 4,
            };
            if self.coming.first().is_some_and(|(at, _)| *at <= Instant::now()) {
                let (_, reply) = self.coming.remove(0);
                self.device.try_send(&reply);
            }
            if waiting.len() < length {
                let bound = self.coming.first().map_or(MOMENT, |(at, _)| {
                    at.saturating_duration_since(Instant::now()).min(MOMENT)
                });
                Device::wait_any(&[&self.device], bound);
                waiting.extend(self.device.take());
                continue;
            }
            let request: Vec<u8> = waiting.drain(..length).collect();
            assert_eq!(checked(&request[..length - 2]), request, "the check is right");
            if self.asked(&request) {
                waiting.clear();
            }
        }
    }

    /// Does what is asked, or something wrong. Says whether the line is another one since.
    fn asked(&mut self, request: &[u8]) -> bool {
        let (fault, once) = {
            let mut state = self.shared.state();
            state.requests.push(request.to_vec());
            state.draw();
            // The second one does nothing wrong.
            let fault = state
                .fault
                .filter(|_| request[0] < 2 && state.aim.contains(&request[1]));
            let fault = fault.filter(|_| state.left != Some(0));
            if fault.is_some() {
                state.left = state.left.map(|left| left - 1);
                state.done += 1;
            }
            (fault, state.left.is_some())
        };
        if fault == Some(Fault::Silent) {
            return false;
        }
        // What nobody is to answer is answered by one that does something wrong.
        let reply = match self.reply(request) {
            Some(reply) if request[0] != 0 || fault.is_some() => checked(&reply),
            _ => return false,
        };
        let half = &reply[..reply.len() / 2];
        let lie = self.lie(&reply[..reply.len() - 2]);
        // Nobody may be there who reads.
        match fault {
            None => _ = self.device.try_send(&reply),
            Some(Fault::Silent) => {}
            Some(Fault::Late) => self.coming.push((Instant::now() + self.timeout * 6 / 5, reply)),
            Some(Fault::Cut) => _ = self.device.try_send(half),
            Some(Fault::Garbled) => {
                let mut reply = reply.clone();
                reply[1] ^= 1;
                self.device.try_send(&reply);
            }
            Some(Fault::Echo) => {
                self.device.try_send(request);
                pause(self.timeout / 12);
                self.device.try_send(&reply);
            }
            Some(Fault::EchoAlone) => _ = self.device.try_send(request),
            Some(Fault::Foreign) => _ = self.device.try_send(&lie),
            Some(Fault::Both) => {
                // A wire that two pull at is low where either is.
                let both = reply.iter().zip(&lie).map(|(one, other)| one & other);
                self.device.try_send(&both.collect::<Vec<_>>());
            }
            Some(Fault::Unplugged) => {
                self.device.try_send(half);
                self.device.unplug();
                self.known.clear();
                self.coming.clear();
                if once {
                    pause(AWAY);
                } else {
                    let state = self.shared.state();
                    let gone = |state: &mut State| state.fault.is_some() && !state.stop;
                    drop(self.shared.changed.wait_while(state, gone));
                }
                self.device.plug();
                return true;
            }
        }
        false
    }

    /// The true reply, without its check.
    fn reply(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let address = request[0];
        let modbus = self.tongue == Tongue::Modbus;
        if request[1] == LOGIN {
            self.known.insert(address);
            return Some(vec![address, 0x99, 0x99, 0x99, 0x99]);
        }
        if self.tongue == Tongue::Session && !self.known.contains(&address) {
            return None;
        }
        if request[1] == SET {
            let value = &request[request.len() - 4..request.len() - 2];
            let level = u16::from_be_bytes([value[0], value[1]]);
            for (_, own) in self
                .levels
                .iter_mut()
                .filter(|(own, _)| [0, **own].contains(&address))
            {
                *own = level;
            }
            return Some(match modbus {
                true => request[..6].to_vec(),
                false => vec![address, 0x80 | SET, value[0], value[1]],
            });
        }
        let (field, value) = if ENERGY.contains(&request[1]) {
            self.count = (self.count + 1) % 1000;
            ("energy", u16::from(address) * 1000 + self.count)
        } else {
            ("level", self.levels.get(&address).copied().unwrap_or(0))
        };
        let truth = (format!("{address}/{field}"), value);
        self.shared.state().truths.insert(truth);
        let [high, low] = value.to_be_bytes();
        Some(match modbus {
            true => vec![address, request[1], 2, high, low],
            false => vec![address, high, low],
        })
    }

    /// The same reply of another device, and with a value that is nobody's.
    fn lie(&self, reply: &[u8]) -> Vec<u8> {
        let mut lie = reply.to_vec();
        // Of one that is not asked: if it came late, in the name of one that is being asked then, nobody could tell.
        lie[0] += 16;
        let at = lie.len() - 2;
        lie[at..].copy_from_slice(&LIE);
        checked(&lie)
    }
}

/// With the check of Modbus behind it.
pub(crate) fn checked(bytes: &[u8]) -> Vec<u8> {
    let crc = bytes.iter().fold(0xffffu16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xa001 } else { 0 }
        })
    });
    [bytes, &crc.to_le_bytes()].concat()
}
