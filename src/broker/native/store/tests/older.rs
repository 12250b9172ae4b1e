//! Files that older versions of this program wrote: `version-1.sqlite` is one, byte for byte.

use super::*;
use std::fs;

const VERSION_1: &[u8] = include_bytes!("version-1.sqlite");

#[tokio::test]
async fn an_older_file_is_taken_over_and_then_holds_what_it_could_not() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("broker.sqlite"), VERSION_1).unwrap();
    let (store, loaded) = open(folder.path());
    let [kept] = &loaded.retained[..] else {
        panic!("{loaded:?}")
    };
    assert_eq!(
        (&*kept.message.topic, &kept.message.payload[..]),
        ("a/b", &b"kept"[..])
    );
    assert_eq!(kept.source, None, "nobody knows any more");
    let [session] = &loaded.sessions[..] else {
        panic!("{loaded:?}")
    };
    assert_eq!(session.client, "reader");
    assert_eq!(session.record.user.as_deref(), Some("panel"));
    assert_eq!(session.record.listener, "");
    assert_eq!(session.subscriptions.len(), 1);
    let waiting: Vec<_> = session
        .queue
        .iter()
        .map(|waiting| &waiting.message.payload[..])
        .collect();
    assert_eq!(waiting, [&b"kept"[..], b"waits", b"waits, too"]);

    let who = Who {
        user: Some("air".into()),
        client: "c".into(),
        listener: "127.0.0.1:1883".into(),
    };
    let new = Kept {
        message: Arc::new(message("new", b"1")),
        source: Some(Arc::new(who)),
    };
    commit(&store, vec![Change::Retain(new.clone())]).await;
    store.close().await;
    let (store, loaded) = open(folder.path());
    assert_eq!(topics(&loaded), ["a/b", "new"]);
    assert_eq!(loaded.retained[1], new);
    assert_eq!(loaded.sessions.len(), 1);
    store.close().await;
}
