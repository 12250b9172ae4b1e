//! A panic becomes a line in the log.

use std::panic::{PanicHookInfo, set_hook, take_hook};

/// Logs panics from now on. The hook ends nothing by itself: it can't tell our own task from a connection of the
/// broker's server, which a network client can make panic. Whoever waits for a task of ours hears of its panic
/// and ends the process.
pub fn log_panics() {
    let before = take_hook();
    // With RUST_BACKTRACE somebody wants to see the stack, which is no line for a log.
    let backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|wish| wish != "0");
    set_hook(Box::new(move |panic| {
        log(panic);
        if backtrace {
            before(panic);
        }
    }));
}

fn log(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let (location, ours) = match panic.location() {
        Some(location) => (location.to_string(), is_ours(location.file())),
        None => ("unknown".to_owned(), true),
    };
    let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
    if ours {
        tracing::error!(
            event = "fault",
            thread,
            location,
            "a fault in mqttyd, please report it: {text}"
        );
    } else {
        tracing::warn!(thread, location, "a library failed: {text}");
    }
}

/// Whether a source file is one of this package: the compiler names a library's by its full path.
fn is_ours(file: &str) -> bool {
    const HERE: &str = file!();
    let root = HERE.strip_suffix("src/journal/panics.rs").unwrap_or_default();
    file.strip_prefix(root)
        .is_some_and(|file| file.starts_with("src/") || file.starts_with("tests/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_not_ours() {
        assert!(is_ours(file!()));
        assert!(!is_ours(
            "/root/.cargo/registry/src/index/rumqttd-0.20.0/src/protocol/v5.rs"
        ));
        assert!(!is_ours("/rustc/abc/library/core/src/slice/index.rs"));
    }
}
