//! Locks between processes, hosts, and stock restic.

mod house;

use std::time::{Duration, Instant};

use berth_api::ErrorKind;
use berth_vault::{
    Lock, Repository,
    lock::{LockFile, Pace, Reading},
    store::{Kind, directory::Directory},
};
use house::{House, child, op, password, stage, stranger, who, within};
use jiff::{SignedDuration, Timestamp};

fn busy(result: berth_api::Result<Lock>) -> String {
    let error = result.expect_err("another lock is in the way");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
    assert!(error.hint().is_some());
    error.chain()
}

/// Writes a lock as somebody else would.
fn plant(repository: &Repository, age: SignedDuration, hostname: &str, pid: i64, exclusive: bool) {
    let file = LockFile {
        time: Timestamp::now() - age,
        exclusive,
        hostname: hostname.to_owned(),
        username: "them".to_owned(),
        pid,
        uid: 0,
        gid: 0,
    };
    repository.save(&op(), Kind::Lock, &file).expect("a lock is written");
}

#[test]
fn shared_locks_go_together_and_exclusive_ones_with_none() {
    let house = House::new();
    let (here, there) = (house.open(), house.open_as(stranger()));
    let one = Lock::shared(&op(), &here).unwrap();
    let two = Lock::shared(&op(), &there).unwrap();
    assert_eq!(house.files(Kind::Lock).len(), 2);
    let said = busy(Lock::exclusive(&op(), &here));
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    one.release().unwrap();
    assert!(busy(Lock::exclusive(&op(), &here)).contains("elsewhere"));
    drop(two);
    let alone = Lock::exclusive(&op(), &here).unwrap();
    assert!(busy(Lock::shared(&op(), &there)).contains("exclusive"));
    assert!(busy(Lock::exclusive(&op(), &here)).contains("exclusive"));
    alone.check().unwrap();
    alone.release().unwrap();
    assert!(house.files(Kind::Lock).is_empty(), "who was refused left nothing either");
}

#[test]
fn what_was_read_counts_although_the_lock_cannot_be_given_back() {
    let house = House::new();
    let repository = house.open();
    let reading = Reading::begin(&op(), &repository).unwrap();
    let locks = house.path().join("locks");
    std::fs::rename(&locks, house.path().join("away")).unwrap();
    std::fs::write(&locks, "no folder").unwrap();
    assert_eq!(reading.end(Ok(7)).unwrap(), 7);
}

#[test]
fn who_waits_gets_it_once_it_is_free() {
    let house = House::new();
    let repository = house.open();
    let first = Lock::exclusive(&op(), &repository).unwrap();
    std::thread::scope(|scope| {
        let waits =
            scope.spawn(|| Lock::shared_within(&op(), &repository, Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waits.is_finished());
        drop(first);
        waits.join().unwrap().unwrap().release().unwrap();
    });
    let _first = Lock::exclusive(&op(), &repository).unwrap();
    let begin = Instant::now();
    busy(Lock::shared_within(&op(), &repository, Duration::from_millis(600)));
    assert!(begin.elapsed() >= Duration::from_millis(600));
    let cancelled = op();
    cancelled.cancel();
    assert!(Lock::shared_within(&cancelled, &repository, Duration::from_secs(60)).is_err());
}

#[test]
fn a_lock_is_refreshed_and_one_that_was_removed_is_lost() {
    let house = House::new();
    let repository = house.open();
    let pace = Pace {
        every: Duration::from_millis(50),
        again: Duration::from_millis(50),
        safe: Duration::from_secs(20),
    };
    let lock = Lock::take(&op(), &repository, false, pace).unwrap();
    let first = house.files(Kind::Lock);
    within(20, "a new file", || house.files(Kind::Lock).iter().all(|id| !first.contains(id)));
    lock.check().unwrap();
    within(20, "the loss is noticed", || {
        for id in house.files(Kind::Lock) {
            repository.store().remove(&op(), Kind::Lock, &id).unwrap();
        }
        lock.check().is_err()
    });
    lock.release().unwrap();
    assert!(house.files(Kind::Lock).is_empty());
}

#[test]
fn who_could_not_refresh_stops() {
    let house = House::new();
    let repository = house.open();
    let pace = Pace {
        every: Duration::from_millis(50),
        again: Duration::from_millis(50),
        safe: Duration::from_millis(500),
    };
    let lock = Lock::take(&op(), &repository, false, pace).unwrap();
    let locks = house.path().join("locks");
    std::fs::rename(&locks, house.path().join("away")).unwrap();
    within(20, "the lock is not trusted any more", || lock.check().is_err());
    std::fs::rename(house.path().join("away"), locks).unwrap();
    within(20, "it is again, since nobody removed it", || lock.check().is_ok());
}

#[test]
fn only_provably_dead_locks_are_removed() {
    let house = House::new();
    let repository = house.open();
    let minutes = SignedDuration::from_mins;
    let here = who().hostname;
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    let gone = (i64::from(gone.id()), gone.wait().unwrap()).0;
    plant(&repository, minutes(31), "elsewhere", 1, true);
    plant(&repository, minutes(31), &here, 1, true);
    plant(&repository, minutes(0), &here, gone, true);
    // What a container's process 1 left is not the next one's.
    plant(&repository, minutes(0), &here, std::process::id().into(), true);
    Lock::exclusive(&op(), &repository).unwrap().release().unwrap();
    assert!(house.files(Kind::Lock).is_empty());
    for (age, host, pid) in
        [(29, "elsewhere", gone), (0, here.as_str(), 1), (-90, "elsewhere", 1), (0, &here, -1)]
    {
        plant(&repository, minutes(age), host, pid, false);
        busy(Lock::exclusive(&op(), &repository));
        Lock::shared(&op(), &repository).unwrap().release().unwrap();
        let left = house.files(Kind::Lock);
        assert_eq!(left.len(), 1, "{age} {host} {pid}");
        repository.store().remove(&op(), Kind::Lock, &left[0]).unwrap();
    }
}

#[test]
fn a_lock_that_cannot_be_read_is_somebodys() {
    let house = House::new();
    let repository = house.open();
    let id = berth_vault::Id::of(b"another");
    std::fs::write(house.path().join(Kind::Lock.path(&id)), b"").unwrap();
    assert!(busy(Lock::shared(&op(), &repository)).contains("cannot be read"));
}

#[test]
fn stock_restic_honours_our_locks() {
    for house in House::each() {
        house.back_up("a", 2, 1000);
        let repository = house.open();
        let lock = Lock::shared(&op(), &repository).unwrap();
        assert!(house.fail("prune").contains(&std::process::id().to_string()));
        house.back_up("b", 2, 1000);
        lock.release().unwrap();
        house.succeed("prune");
        let lock = Lock::exclusive(&op(), &repository).unwrap();
        assert!(house.fail("backup content/a").contains("exclusive"));
        lock.release().unwrap();
        house.judged();
    }
}

#[test]
fn restic_unlock_leaves_the_living_and_removes_the_dead() {
    for house in House::each() {
        let mut holder = child("holds_a_lock", &house.path()).spawn().unwrap();
        within(30, "the child locks", || house.files(Kind::Lock).len() == 1);
        house.succeed("unlock");
        assert_eq!(house.files(Kind::Lock).len(), 1, "the child lives");
        assert!(holder.try_wait().unwrap().is_none(), "the child was not hurt");
        holder.kill().unwrap();
        holder.wait().unwrap();
        house.succeed("unlock");
        assert!(house.files(Kind::Lock).is_empty());
    }
}

#[test]
fn a_killed_holder_is_in_nobodys_way() {
    let house = House::new();
    let mut holder = child("holds_a_lock", &house.path()).spawn().unwrap();
    within(30, "the child locks", || house.files(Kind::Lock).len() == 1);
    let repository = house.open();
    busy(Lock::exclusive(&op(), &repository));
    holder.kill().unwrap();
    holder.wait().unwrap();
    Lock::exclusive(&op(), &repository).unwrap();
}

/// Run as a child: holds a lock until it is killed.
#[test]
fn holds_a_lock() {
    let Some(stage) = stage() else { return };
    let store = std::sync::Arc::new(Directory::new(stage));
    let repository = Repository::open(&op(), "house", store, &password(), who()).unwrap();
    let _lock = Lock::exclusive(&op(), &repository).unwrap();
    std::thread::park();
}

#[test]
fn we_honour_stock_restics_locks() {
    for house in House::each() {
        let repository = house.open();
        let mut blocker = house.blocker();
        assert!(busy(Lock::exclusive(&op(), &repository)).contains(&blocker.id().to_string()));
        Lock::shared(&op(), &repository).unwrap().release().unwrap();
        drop(blocker.stdin.take());
        let lock = Lock::exclusive_within(&op(), &repository, Duration::from_secs(60)).unwrap();
        let ended = blocker.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", house::text(&ended));
        lock.release().unwrap();
        // One that was killed.
        let mut blocker = house.blocker();
        blocker.kill().unwrap();
        blocker.wait().unwrap();
        Lock::exclusive(&op(), &repository).unwrap().release().unwrap();
    }
}

#[test]
fn of_many_at_once_no_two_have_what_does_not_go_together() {
    let house = House::new();
    let inside = std::sync::atomic::AtomicI64::new(0);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (house, inside) = (&house, &inside);
            scope.spawn(move || {
                use std::sync::atomic::Ordering::SeqCst;
                let repository = house.open_as(if number % 2 == 0 { who() } else { stranger() });
                for _ in 0..4 {
                    // An exclusive one counts as a thousand.
                    let (lock, weight) = match number % 3 {
                        0 => (Lock::exclusive(&op(), &repository), 1000),
                        _ => (Lock::shared(&op(), &repository), 1),
                    };
                    let Ok(lock) = lock else { continue };
                    let before = inside.fetch_add(weight, SeqCst);
                    assert!(before + weight <= 1000, "{before} beside {weight}");
                    std::thread::sleep(Duration::from_millis(150));
                    inside.fetch_sub(weight, SeqCst);
                    lock.release().unwrap();
                }
            });
        }
    });
    assert!(house.files(Kind::Lock).is_empty());
}
