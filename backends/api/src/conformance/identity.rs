//! Whose pool it is.

use super::{Pool, Stage, op, refused, settled, sidecar};
use crate::{ErrorKind, Health, HostId, Options, Owner, PoolId};

/// A place that nobody used, for a pool that the catalog has never seen.
pub fn a_new_place_becomes_a_pool<S: Stage>() {
    let pool = Pool::<S>::new();
    assert_eq!(pool.identity.host, Owner::Host(pool.host));
    assert_eq!(pool.backend.health(), Health::Ready);
    assert!(pool.backend.list(&op()).expect("listed").is_empty());
    assert_ne!(Pool::<S>::new().identity.pool, pool.identity.pool);
}

/// Asking again, knowing it or not, gives the same.
pub fn an_identity_stays<S: Stage>() {
    let pool = Pool::<S>::new().restart();
    let again = pool.backend.identify(&op(), None, pool.host).expect("a lost catalog");
    assert_eq!(again, pool.identity);
}

/// A second host, `pool rebuild --take-over`, and then the first host.
pub fn another_host_is_refused_until_it_takes_over<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    let (other, second) = (HostId::random(), pool.stage.open());
    for expected in [None, Some(pool.identity.pool)] {
        let error = refused(second.identify(&op(), expected, other), "another host's pool");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("--take-over")), "{error:?}");
        assert!(matches!(second.health(), Health::Unavailable(_)));
    }
    let taken = second.take_over(&op(), other, true).expect("taken over");
    assert_eq!((taken.pool, taken.host), (pool.identity.pool, Owner::Host(other)));
    assert_eq!(second.identify(&op(), Some(taken.pool), other).expect("its own now"), taken);
    assert!(settled(|| second.attach(&op(), &handle, &Options::default())).is_ok());
    // The first host notices with its next call, and can come back the same way.
    let error = refused(pool.backend.inspect(&op(), &handle), "taken over");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let error = refused(pool.backend.identify(&op(), None, pool.host), "taken over");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    pool.backend.take_over(&op(), pool.host, true).expect("taken back");
    assert!(pool.backend.inspect(&op(), &handle).is_ok());
}

/// The catalog knows another pool under this name.
pub fn another_pool_is_refused<S: Stage>() {
    let pool = Pool::<S>::new();
    let backend = pool.stage.open();
    let found = backend.identify(&op(), Some(PoolId::random()), pool.host);
    assert_eq!(refused(found, "another pool").kind(), ErrorKind::Unavailable);
    assert!(matches!(backend.health(), Health::Unavailable(_)));
}

/// An unmounted disk looks like an empty folder.
pub fn a_known_pool_is_never_made_anew<S: Stage>() {
    let (stage, host, known) = (S::fresh(), HostId::random(), PoolId::random());
    let backend = stage.open();
    for _ in 0..2 {
        let error = refused(backend.identify(&op(), Some(known), host), "an unmounted disk");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(matches!(backend.health(), Health::Unavailable(_)));
    }
    let error = refused(backend.take_over(&op(), host, true), "no pool");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    // And nothing was made that would look like a pool now.
    backend.identify(&op(), None, host).expect("still a new place");
}

/// Calls that come too early say so, and touch nothing.
pub fn nothing_works_before_the_identity_is_known<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, described) = pool.volume("db", &[]);
    let early = pool.stage.open();
    assert!(matches!(early.health(), Health::Unavailable(_)));
    let kinds = [
        refused(early.plan(&op(), &sidecar("new", &[]).spec), "plan"),
        refused(early.create(&op(), &handle, &described), "create"),
        refused(early.remove(&op(), &handle), "remove"),
        refused(early.purge(&op(), &handle), "purge"),
        refused(early.attach(&op(), &handle, &Options::default()), "attach"),
        refused(early.inspect(&op(), &handle), "inspect"),
        refused(early.list(&op()), "list"),
    ];
    for error in kinds {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    assert!(pool.backend.inspect(&op(), &handle).is_ok());
}
