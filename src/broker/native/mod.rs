//! Our own broker, in the runtime of the gateway: a frame reaches a subscriber's socket without a change of thread.

mod access;
mod hub;
mod inbox;
mod listen;
mod message;
mod store;
mod wire;
