//! Create, inspect, list, attach, detach, remove, restore, purge.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, time::Duration};

use super::{Attached, Pool, Stage, op, refused, settled, sidecar};
use crate::{Change, ErrorKind, Handle, Health, Observed, Op, Options};

/// One volume through all its states, each seen by `inspect` and `list`.
pub fn a_volume_lives_and_dies<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    let id = sidecar.spec.id;
    let inspect = || pool.backend.inspect(&op(), &handle).expect("evidence");

    assert_eq!(inspect(), Observed::Present { empty: true });
    let found = pool.listed(id).expect("listed");
    assert_eq!((found.handle, found.trashed), (handle.clone(), false));
    assert_eq!(found.sidecar.expect("readable"), sidecar);

    let attached = pool.attach(&handle);
    fs::write(attached.path("file"), "content").expect("writable");
    assert_eq!(inspect(), Observed::Present { empty: false });
    drop(attached);
    settled(|| pool.backend.detach(&op(), &handle)).expect("detached");

    assert_eq!(settled(|| pool.backend.remove(&op(), &handle)).expect("removed"), Change::Done);
    assert_eq!(inspect(), Observed::Trashed);
    let found = pool.listed(id).expect("listed");
    assert_eq!((found.handle, found.trashed), (handle.clone(), true));
    assert_eq!(found.sidecar.expect("readable"), sidecar);

    assert_eq!(settled(|| pool.backend.restore(&op(), &handle)).expect("back"), Change::Done);
    assert_eq!(inspect(), Observed::Present { empty: false });

    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    assert_eq!(settled(|| pool.backend.purge(&op(), &handle)).expect("purged"), Change::Done);
    assert_eq!(inspect(), Observed::Absent);
    assert!(pool.listed(id).is_none());
}

/// Every call twice: the second is `Already`, and nothing is lost by it.
pub fn repetition_changes_nothing<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[("mode", "0700")]);
    let backend = &pool.backend;
    fs::write(pool.attach(&handle).path("file"), "content").expect("writable");
    let already = |what: &str, change: crate::Result<Change>| {
        assert_eq!(change.expect(what), Change::Already, "{what}");
        let read = || fs::read(pool.attach(&handle).path("file")).expect("readable");
        if matches!(backend.inspect(&op(), &handle), Ok(Observed::Present { .. })) {
            assert_eq!(read(), b"content", "{what}");
        }
    };
    already("create", settled(|| backend.create(&op(), &handle, &sidecar)));
    already("describe", settled(|| backend.describe(&op(), &handle, &sidecar)));
    already("restore", settled(|| backend.restore(&op(), &handle)));
    settled(|| backend.detach(&op(), &handle)).expect("detached");
    already("detach", settled(|| backend.detach(&op(), &handle)));
    settled(|| backend.remove(&op(), &handle)).expect("removed");
    already("remove", settled(|| backend.remove(&op(), &handle)));
    settled(|| backend.restore(&op(), &handle)).expect("restored");
    already("restore", settled(|| backend.restore(&op(), &handle)));
    settled(|| backend.remove(&op(), &handle)).expect("removed");
    settled(|| backend.purge(&op(), &handle)).expect("purged");
    already("purge", settled(|| backend.purge(&op(), &handle)));
    already("remove", settled(|| backend.remove(&op(), &handle)));
}

/// Calls on a volume that is not there.
pub fn what_is_absent_is_told_so<S: Stage>() {
    let pool = Pool::<S>::new();
    let backend = &pool.backend;
    let (handle, sidecar) = pool.planned("db", &[]);
    let kind = |error: crate::Error| error.kind();
    assert_eq!(backend.inspect(&op(), &handle).expect("evidence"), Observed::Absent);
    assert_eq!(
        kind(refused(settled(|| backend.attach(&op(), &handle, &Options::default())), "attach")),
        ErrorKind::NotFound
    );
    let described = settled(|| backend.describe(&op(), &handle, &sidecar));
    assert_eq!(kind(refused(described, "describe")), ErrorKind::NotFound);
    let restored = settled(|| backend.restore(&op(), &handle));
    assert_eq!(kind(refused(restored, "restore")), ErrorKind::NotFound);
    assert_eq!(settled(|| backend.remove(&op(), &handle)).expect("absent"), Change::Already);
    assert_eq!(settled(|| backend.purge(&op(), &handle)).expect("absent"), Change::Already);
    assert_eq!(settled(|| backend.detach(&op(), &handle)).expect("absent"), Change::Already);
    // In the trash it is not there either.
    let (trashed, sidecar) = pool.volume("db", &[]);
    settled(|| backend.remove(&op(), &trashed)).expect("removed");
    let attached = settled(|| backend.attach(&op(), &trashed, &Options::default()));
    assert_eq!(kind(refused(attached, "attach from the trash")), ErrorKind::NotFound);
    let created = settled(|| backend.create(&op(), &trashed, &sidecar));
    assert_eq!(kind(refused(created, "create over the trash")), ErrorKind::Conflict);
}

/// `plan` leaves nothing behind.
pub fn a_plan_has_no_effect<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.planned("db", &[]);
    assert_eq!(pool.backend.inspect(&op(), &handle).expect("evidence"), Observed::Absent);
    assert!(pool.backend.list(&op()).expect("listed").is_empty());
}

/// Handles survive as JSON, and a new backend on the old place knows them.
pub fn a_restart_finds_everything<S: Stage>() {
    let pool = Pool::<S>::new();
    let (live, _) = pool.volume("live", &[]);
    let (trashed, _) = pool.volume("trashed", &[]);
    fs::write(pool.attach(&live).path("file"), "content").expect("writable");
    settled(|| pool.backend.remove(&op(), &trashed)).expect("removed");
    let stored = [live, trashed].map(|handle| serde_json::to_string(&handle).expect("JSON"));

    let pool = pool.restart();
    let [live, trashed]: [Handle; 2] =
        stored.map(|text| serde_json::from_str(&text).expect("own JSON"));
    let inspect = |handle| pool.backend.inspect(&op(), handle).expect("evidence");
    assert_eq!(inspect(&live), Observed::Present { empty: false });
    assert_eq!(inspect(&trashed), Observed::Trashed);
    assert_eq!(pool.backend.list(&op()).expect("listed").len(), 2);
    assert_eq!(fs::read(pool.attach(&live).path("file")).expect("readable"), b"content");
}

/// Calls on different volumes do not disturb each other.
pub fn many_volumes_at_once<S: Stage>() {
    const THREADS: usize = 8;
    const EACH: usize = 8;
    let pool = Pool::<S>::new();
    let backend = pool.backend.as_ref();
    let left: BTreeSet<String> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(move || {
                    let mut left = Vec::new();
                    for number in 0..EACH {
                        let sidecar = sidecar("same", &[]);
                        let handle = backend.plan(&op(), &sidecar.spec).expect("planned");
                        settled(|| backend.create(&op(), &handle, &sidecar)).expect("created");
                        backend.list(&op()).expect("listed");
                        if number % 2 == 0 {
                            settled(|| backend.remove(&op(), &handle)).expect("removed");
                            settled(|| backend.purge(&op(), &handle)).expect("purged");
                        } else {
                            left.push(sidecar.spec.id.to_string());
                        }
                    }
                    left
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    let found = backend.list(&op()).expect("listed");
    assert!(found.iter().all(|found| found.sidecar.is_ok() && !found.trashed));
    assert_eq!(found.into_iter().map(|found| found.entry).collect::<BTreeSet<_>>(), left);
}

/// Into the trash and out goes the very same directory: there is no moment with
/// two of them, and who still has it open writes to what may come back.
pub fn a_removal_moves_and_never_copies<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.volume("db", &[]);
    let content = pool.attach(&handle);
    let inode = |content: &Attached| fs::metadata(content.path(".")).expect("there").ino();
    for round in 0..3 {
        settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
        assert!(pool.listed(sidecar.spec.id).expect("listed once").trashed);
        fs::write(content.path("late"), round.to_string()).expect("writable");
        settled(|| pool.backend.restore(&op(), &handle)).expect("restored");
        assert!(!pool.listed(sidecar.spec.id).expect("listed once").trashed);
        let restored = pool.attach(&handle);
        assert_eq!(inode(&restored), inode(&content), "another directory");
        let read = fs::read_to_string(restored.path("late"));
        assert_eq!(read.expect("readable"), round.to_string());
    }
}

/// Capacity and health of a pool in order.
pub fn the_pool_says_how_full_it_is<S: Stage>() {
    let pool = Pool::<S>::new();
    let capacity = pool.backend.capacity(&op()).expect("known");
    assert!(capacity.total >= capacity.free && capacity.total.0 > 0, "{capacity:?}");
    assert_eq!(pool.backend.health(), Health::Ready);
}

/// An operation that is over before it begins.
pub fn cancelled_calls_do_nothing<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.planned("db", &[]);
    let cancelled = op();
    cancelled.cancel();
    let error = refused(pool.backend.create(&cancelled, &handle, &sidecar), "cancelled");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let late = Op::new(Duration::ZERO);
    let error = refused(pool.backend.create(&late, &handle, &sidecar), "too late");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(pool.backend.inspect(&op(), &handle).expect("evidence"), Observed::Absent);
}
