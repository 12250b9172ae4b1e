//! Each transport end to end, and those who hold it up, cut it off, or talk nonsense.

mod hostile;
mod plain;
mod secure;
mod support;
mod websocket;
