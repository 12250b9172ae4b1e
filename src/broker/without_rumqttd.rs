//! What stands in for `rumqttd/` in a mqttyd that is built without it: nothing that could be.

use super::{Bound, Config, Died, Fault, LinkError, Message, PublishError, Qos, Refused, StartError};
use crate::topic::Filter;
use std::time::Duration;
use tracing::Subscriber as Trace;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Identity;

/// Hears nothing: there is nobody who would only tell the log.
pub fn report<S: Trace>() -> impl Layer<S> {
    Identity::new()
}

pub(super) fn lost() -> u64 {
    0
}

#[derive(Debug)]
pub(super) enum Room {}

impl Room {
    /// Refuses: the configuration is looked at before, and says so with the place.
    pub(super) async fn start(_: &Config) -> Result<Room, StartError> {
        Err(StartError::Config(Fault {
            path: vec!["engine".into()],
            what: super::config::without("rumqttd"),
        }))
    }

    pub(super) fn addresses(&self) -> &[Bound] {
        match *self {}
    }

    pub(super) async fn link(
        &self,
        _: &str,
        _: &[(Filter, Qos)],
        _: usize,
    ) -> Result<(Publisher, Subscriber), LinkError> {
        match *self {}
    }

    pub(super) async fn died(&self) -> Died {
        match *self {}
    }

    pub(super) async fn probe(&self) -> Result<Duration, Died> {
        match *self {}
    }

    pub(super) async fn stop(self) {
        match self {}
    }
}

#[derive(Debug)]
pub(super) enum Publisher {}

impl Publisher {
    pub(super) fn offer(&mut self, _: Message) -> Result<(), Refused> {
        match *self {}
    }

    pub(super) async fn publish(&mut self, _: Message) -> Result<(), PublishError> {
        match *self {}
    }

    pub(super) async fn flush(&mut self) -> Result<(), Died> {
        match *self {}
    }

    pub(super) fn depth(&self) -> usize {
        match *self {}
    }
}

#[derive(Debug)]
pub(super) enum Subscriber {}

impl Subscriber {
    pub(super) async fn next(&mut self) -> Result<Message, Died> {
        match *self {}
    }

    pub(super) fn dropped(&self) -> u64 {
        match *self {}
    }
}
