//! Memory that was given back to the allocator, given back to the system.
//!
//! A client may make a hundred thousand subscriptions and go. The allocator keeps what they took for the next one who asks,
//! as a single allocation that is still in use behind them is enough to hold on to it all.

use super::Shared;
use crate::memory;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long it rests: others wait for the allocator while it looks through all it has.
const REST: Duration = Duration::from_secs(1);

/// Gives back what is free, whenever the hub has forgotten much.
pub(super) async fn sweep(shared: Arc<Shared>) {
    loop {
        shared.sweep.notified().await;
        // A panic there would say nothing of the broker.
        let _ = tokio::task::spawn_blocking(memory::trim).await;
        sleep(REST).await;
    }
}
