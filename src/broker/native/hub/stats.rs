//! What is counted, since the start.

/// Counters of the broker; `$SYS` publishes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
    pub(crate) publishes_received: u64,
    pub(crate) publishes_sent: u64,
    pub(crate) publish_bytes_received: u64,
    pub(crate) publish_bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Messages that found a queue full, or were longer than their receiver or the broker takes.
    pub(crate) dropped: u64,
    /// Messages that were one topic too many to be retained.
    pub(crate) not_retained: u64,
    /// How often a publisher was held because the store had too much to write.
    pub(crate) held: u64,
    /// Connections that were taken.
    pub(crate) connections: u64,
    pub(crate) most_connected: usize,
    /// Sessions that time has ended.
    pub(crate) expired: u64,
}
