//! The room behind the port where the crate `rumqttd` lives.

use super::{Bound, Config, Died, LinkError, Message, PublishError, Qos, Refused, StartError};
use crate::topic::Filter;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Room;
#[derive(Debug)]
pub(super) struct Publisher;
#[derive(Debug)]
pub(super) struct Subscriber;

#[expect(
    clippy::todo,
    clippy::unused_async,
    unused_variables,
    reason = "the interface stands before the room"
)]
impl Room {
    pub(super) async fn start(config: &Config) -> Result<Room, StartError> {
        todo!()
    }
    pub(super) fn addresses(&self) -> &[Bound] {
        todo!()
    }
    pub(super) async fn link(
        &self,
        name: &str,
        filters: &[(Filter, Qos)],
        depth: usize,
    ) -> Result<(Publisher, Subscriber), LinkError> {
        todo!()
    }
    pub(super) async fn died(&self) -> Died {
        todo!()
    }
    pub(super) async fn probe(&self) -> Result<Duration, Died> {
        todo!()
    }
    pub(super) async fn stop(self) {
        todo!()
    }
}

#[expect(
    clippy::todo,
    clippy::unused_async,
    unused_variables,
    reason = "the interface stands before the room"
)]
impl Publisher {
    pub(super) fn offer(&mut self, message: Message) -> Result<(), Refused> {
        todo!()
    }
    pub(super) async fn publish(&mut self, message: Message) -> Result<(), PublishError> {
        todo!()
    }
    pub(super) async fn flush(&mut self) -> Result<(), Died> {
        todo!()
    }
    pub(super) fn depth(&self) -> usize {
        todo!()
    }
}

#[expect(
    clippy::todo,
    clippy::unused_async,
    unused_variables,
    reason = "the interface stands before the room"
)]
impl Subscriber {
    pub(super) async fn next(&mut self) -> Result<Message, Died> {
        todo!()
    }
    pub(super) fn dropped(&self) -> u64 {
        todo!()
    }
}

pub(super) fn lost() -> u64 {
    0
}

/// A `tracing` layer that counts what the broker says it lost.
pub fn losses<S: tracing::Subscriber>() -> impl tracing_subscriber::Layer<S> {
    tracing_subscriber::layer::Identity::new()
}
