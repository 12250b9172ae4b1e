//! A disk that is full, or slow.

use super::*;
use crate::broker::native::store::folder::Folder;
use crate::broker::native::store::wall::Wall;
use std::sync::atomic::Ordering;

/// A store in a file that may have 100 KiB.
fn small(folder: &Path) -> Store {
    let folder = Folder::lock(folder, false).unwrap();
    let (file, _) = folder.open(Wall::now()).unwrap();
    file.limit(100);
    Store::start(folder, file, Duration::from_secs(5)).unwrap()
}

/// A store whose disk takes so long for each commit.
fn slow(folder: &Path, each: Duration) -> Store {
    let folder = Folder::lock(folder, false).unwrap();
    let (mut file, _) = folder.open(Wall::now()).unwrap();
    file.slow_down(each);
    Store::start(folder, file, Duration::from_secs(5)).unwrap()
}

static BIG: [u8; 4_000] = [7; 4_000];

fn big(numbers: std::ops::Range<u32>) -> Vec<Change> {
    numbers
        .map(|number| retain(&format!("big/{number:03}"), &BIG))
        .collect()
}

#[tokio::test]
async fn a_full_disk_holds_nobody_up_and_loses_nothing_when_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = small(folder.path());
    commit(&store, vec![retain("first", b"1"), session("c", HOUR)]).await;
    // More than there is room for: it counts as committed all the same, and so does what follows.
    commit(&store, big(0..50)).await;
    commit(&store, vec![queue("c", 1, message("t", b"1"))]).await;
    // Those that are not wanted any more need no room.
    let gone = (5..50).map(|number| Change::Unretain {
        topic: format!("big/{number:03}").into(),
    });
    commit(&store, gone.collect()).await;
    assert!(!*store.needs_snapshot().borrow());
    // The end is another try.
    store.close().await;
    let (store, loaded) = open(folder.path());
    assert_eq!(
        topics(&loaded),
        ["big/000", "big/001", "big/002", "big/003", "big/004", "first"]
    );
    assert_eq!(loaded.sessions[0].queue.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn it_tries_again_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = small(folder.path());
    commit(&store, vec![retain("first", b"1")]).await;
    commit(&store, big(0..50)).await;
    let gone = (5..50).map(|number| Change::Unretain {
        topic: format!("big/{number:03}").into(),
    });
    commit(&store, gone.collect()).await;
    // Nothing more is said; whether it is written shows in what a kill would leave: the log beside the file.
    let log = folder.path().join("broker.sqlite-wal");
    let before = std::fs::metadata(&log).unwrap().len();
    while std::fs::metadata(&log).unwrap().len() == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_held_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = small(folder.path());
    commit(&store, vec![retain("first", b"1"), session("gone", HOUR)]).await;
    let mut wanted = store.needs_snapshot();
    // 40 MB that have no room on the disk, and too little in memory.
    for _ in 0..100 {
        commit(&store, big(0..100)).await;
    }
    wanted.wait_for(|wanted| *wanted).await.unwrap();
    // Changes in between are in the whole that follows.
    commit(&store, vec![session("between", HOUR)]).await;
    store.replace(vec![retain("first", b"2"), session("here", HOUR)]);
    commit(&store, vec![retain("second", b"1")]).await;
    assert!(!*wanted.borrow());
    store.close().await;
    let (store, loaded) = open(folder.path());
    assert_eq!(topics(&loaded), ["first", "second"]);
    assert_eq!(&loaded.retained[0].message.payload[..], b"2");
    assert_eq!(loaded.sessions.len(), 1);
    assert_eq!(loaded.sessions[0].client, "here");
    store.close().await;
}

#[tokio::test]
async fn it_says_when_it_is_behind_and_drops_what_nobody_could_hold() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let mut behind = false;
    let mut ticket = 0;
    // Faster than any disk.
    for _ in 0..20_000 {
        ticket = store.commit(big(0..20));
        behind |= store.behind().load(Ordering::Acquire);
    }
    assert!(behind);
    assert_eq!(ticket, 20_000);
    store.committed().wait_for(|at| *at == ticket).await.unwrap();
    if *store.needs_snapshot().borrow() {
        store.replace(vec![retain("all", b"1")]);
    }
    commit(&store, vec![retain("last", b"1")]).await;
    assert!(!*store.needs_snapshot().borrow() && !store.behind().load(Ordering::Acquire));
    store.close().await;
    let (store, loaded) = open(folder.path());
    assert!(topics(&loaded).contains(&"last"));
    store.close().await;
}

#[tokio::test]
async fn who_waits_when_it_is_behind_never_has_it_lose_anything() {
    let folder = tempfile::tempdir().unwrap();
    let store = slow(folder.path(), Duration::from_millis(20));
    let behind = store.behind();
    let mut committed = store.committed();
    let (mut waited, mut number) = (0, 0);
    // Much more than can be held, as fast as it can be said.
    for _ in 0..1_200 {
        let ticket = store.commit(big(number % 900..number % 900 + 20));
        number += 20;
        if behind.load(Ordering::Acquire) {
            waited += 1;
            committed.wait_for(|at| *at >= ticket).await.unwrap();
        }
    }
    assert!(waited > 0);
    assert!(!*store.needs_snapshot().borrow());
    store.close().await;
    let (store, loaded) = open(folder.path());
    assert_eq!(loaded.retained.len(), 900);
    store.close().await;
}
