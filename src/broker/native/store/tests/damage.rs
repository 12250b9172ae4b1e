//! Files that can't be used: one is set aside, and the broker begins anew.

use super::*;
use crate::broker::native::store::file;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const FILE: &str = "broker.sqlite";

/// A folder with a store in it that was closed in order.
async fn full(folder: &Path) {
    let (store, _) = open(folder);
    commit(
        &store,
        vec![
            retain("a", b"1"),
            session("c", HOUR),
            queue("c", 1, message("b", b"2")),
        ],
    )
    .await;
    store.close().await;
}

/// Files in the folder that are not of the store as it is.
fn aside(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("broker.sqlite.2")).collect()
}

async fn begins_anew(folder: &Path) {
    let (store, loaded) = open(folder);
    assert!(loaded.retained.is_empty() && loaded.sessions.is_empty());
    assert_eq!(aside(folder).len(), 1);
    commit(&store, vec![retain("new", b"1")]).await;
    store.close().await;
    let (store, loaded) = open(folder);
    assert_eq!(topics(&loaded), ["new"]);
    store.close().await;
}

#[tokio::test]
async fn a_shortened_file_is_set_aside() {
    for length in [0, 1, 100, 1_024, 5_000] {
        let folder = tempfile::tempdir().unwrap();
        full(folder.path()).await;
        let path = folder.path().join(FILE);
        assert!(fs::metadata(&path).unwrap().len() > length);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(length).unwrap();
        begins_anew(folder.path()).await;
    }
}

#[tokio::test]
async fn a_file_of_something_else_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "this is no store\n".repeat(1_000)).unwrap();
    begins_anew(folder.path()).await;
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    full(folder.path()).await;
    // The number stands at the offset 60 of the header (SQLite's file format, section 1.3).
    let path = folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    bytes[60..64].copy_from_slice(&99u32.to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    begins_anew(folder.path()).await;
    let kept = fs::read(folder.path().join(&aside(folder.path())[0])).unwrap();
    assert_eq!(kept, bytes, "it is kept as it was");
}

#[tokio::test]
async fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let second = Store::open(folder.path(), Duration::ZERO);
    assert!(matches!(second, Err(StoreError::InUse { .. })), "{second:?}");
    store.close().await;
    open(folder.path()).0.close().await;
}

#[tokio::test]
async fn nobody_else_may_look() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let (store, _) = open(&inner);
    commit(&store, vec![retain("a", b"1")]).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for file in [
        inner.join(FILE),
        file::log_of(&inner.join(FILE)),
        inner.join("broker.lock"),
    ] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    store.close().await;
}

#[test]
fn a_folder_that_cannot_be_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let tried = Store::open(&file.join("below"), Duration::ZERO);
    assert!(matches!(tried, Err(StoreError::Folder { .. })), "{tried:?}");
}

/// Found by `flipped_bytes_are_no_messages` with many cases: the file could not be used, and was not set aside.
#[tokio::test]
async fn a_table_with_another_column_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    full(folder.path()).await;
    let good = fs::read(folder.path().join(FILE)).unwrap();
    for name in [
        "topic",
        "filter",
        "packet_id",
        "listener",
        "retained",
        "BLOB",
        "STRICT",
    ] {
        let mut aside_for_it = 0;
        for place in memchr::memmem::find_iter(&good, name) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = good.clone();
            bytes[place + 1] ^= 2;
            fs::write(folder.path().join(FILE), &bytes).unwrap();
            let (store, loaded) = open(folder.path());
            store.close().await;
            // Older copies of the tables' statements may lie in free places.
            if aside(folder.path()).is_empty() {
                assert_eq!((topics(&loaded).len(), loaded.sessions.len()), (1, 1), "{name}");
            } else {
                aside_for_it += 1;
                fs::remove_file(folder.path().join(&aside(folder.path())[0])).unwrap();
                assert!(loaded.retained.is_empty() && loaded.sessions.is_empty());
            }
            let (store, _) = open(folder.path());
            commit(&store, vec![retain("new", b"1"), session("new", HOUR)]).await;
            store.close().await;
        }
        assert!(aside_for_it > 0, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Bits that flip are either where nothing is, or the file is set aside: never does it say what nobody told.
    #[test]
    fn flipped_bytes_are_no_messages(flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..6)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(full(folder.path()));
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        fs::write(&path, &bytes).unwrap();
        let (store, loaded) = open(folder.path());
        if aside(folder.path()).is_empty() {
            prop_assert_eq!(topics(&loaded), ["a"]);
            prop_assert_eq!(&*loaded.retained[0].message, &message("a", b"1"));
            prop_assert_eq!(&loaded.retained[0].source, &None);
            prop_assert_eq!(loaded.sessions.len(), 1);
            prop_assert_eq!(&*loaded.sessions[0].queue[0].message, &message("b", b"2"));
        } else {
            prop_assert!(loaded.retained.is_empty() && loaded.sessions.is_empty());
        }
        runtime.block_on(store.close());
    }
}
