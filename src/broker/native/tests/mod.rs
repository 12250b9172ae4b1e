//! What the standard demands of a server, statement by statement: the whole broker in this process, raw bytes on a
//! socket. `docs/mqtt-conformance.md` says which test shows what, and `page.rs` that it says so of all of them.

mod connect;
mod deliver;
mod farewell;
mod fields;
mod page;
mod publish;
mod retain;
mod sessions;
mod shared;
mod subscribe;
mod support;
mod wills;
