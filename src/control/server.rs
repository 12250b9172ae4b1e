//! The Unix socket on which watchers are served.

use super::Feed;
use std::future::Future;
use std::io;
use std::path::Path;

/// Serves watchers until `stop` comes. Not yet.
pub async fn serve(_path: &Path, _feed: Feed, stop: impl Future<Output = ()>) -> io::Result<()> {
    stop.await;
    Ok(())
}
