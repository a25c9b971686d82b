//! Prune: what is needed stays, whoever else is there and whenever it is killed.
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod house;

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
};

use berth_api::ErrorKind;
use berth_vault::{
    Id, Repository,
    forget::forget,
    prune::{Pruned, prune},
    store::{Kind, directory::Directory},
};
use house::{House, child, op, password, stage, who, write};

/// A repository with packs that are unused, partly used and fully used, and files that
/// writes left; and the snapshot of `all` that stays.
fn used() -> (House, Id) {
    let house = House::new();
    let old = house.back_up("gone", 6, 300_000);
    let whole = house.back_up("all", 12, 300_000);
    for number in (0..12).step_by(2) {
        fs::remove_file(house.folder.path().join(format!("content/all/file-{number}"))).unwrap();
    }
    let half = house.snapshot("all");
    house.back_up("other", 3, 100_000);
    forget(&house.open(), &op(), &[old, whole]).unwrap();
    let strange = house.path().join(Kind::Pack.path(&Id::of(b"x")));
    fs::create_dir_all(strange.parent().unwrap()).unwrap();
    fs::write(strange, b"a pack that nobody knows").unwrap();
    fs::write(house.path().join("index/a-tmp-b"), b"unfinished").unwrap();
    (house, half)
}

fn is_clean(repository: &Repository) {
    let again = prune(repository, &op(), true).unwrap();
    assert_eq!((again.packs_removed, again.bytes_unused, again.packs_rewritten), (0, 0, 0));
}

#[test]
fn what_nobody_needs_goes_and_the_rest_stays() {
    let (house, half) = used();
    let repository = house.open();
    let files = |kind| house.files(kind).into_iter().collect::<BTreeSet<_>>();
    let before = (files(Kind::Pack), files(Kind::Index), files(Kind::Snapshot));
    let planned = prune(&repository, &op(), true).unwrap();
    assert_eq!(before, (files(Kind::Pack), files(Kind::Index), files(Kind::Snapshot)), "dry");
    let done = prune(&repository, &op(), false).unwrap();
    assert_eq!(Pruned { bytes_freed: 0, ..done }, Pruned { bytes_freed: 0, ..planned });
    assert!(done.packs_rewritten >= 1 && done.packs_removed > done.packs_rewritten, "{done:?}");
    assert!(done.bytes_freed > 3_000_000 && done.bytes_rewritten > 1_500_000, "{done:?}");
    assert_eq!(done.snapshots, 2);
    assert!(!house.path().join("index/a-tmp-b").exists());
    is_clean(&repository);
    house.judged();
    house.restores(&half, "all");
    assert!(house.files(Kind::Lock).is_empty());
}

#[test]
fn without_snapshots_nothing_is_left() {
    let (house, _) = used();
    let repository = house.open();
    let all = house.files(Kind::Snapshot);
    forget(&repository, &op(), &all).unwrap();
    forget(&repository, &op(), &all).unwrap();
    prune(&repository, &op(), false).unwrap();
    assert!(house.files(Kind::Pack).is_empty() && house.files(Kind::Index).is_empty());
    house.judged();
    house.back_up("again", 2, 1000);
    house.judged();
}

#[test]
fn small_packs_and_many_indexes_are_merged() {
    let house = House::new();
    let repository = house.open();
    for number in 0..20 {
        write(&repository, &format!("seed {number}"), 100_000).unwrap();
    }
    assert_eq!(house.files(Kind::Pack).len(), 40);
    let done = prune(&repository, &op(), false).unwrap();
    assert_eq!(done.packs_rewritten, 40);
    assert_eq!((house.files(Kind::Pack).len(), house.files(Kind::Index).len()), (2, 1));
    is_clean(&repository);
    house.judged();
}

#[test]
fn blobs_that_are_there_twice_are_there_once_after() {
    let house = House::new();
    let repository = house.open();
    house.back_up("a", 4, 300_000);
    house.back_up_unaware("a");
    let done = prune(&repository, &op(), false).unwrap();
    assert!(done.bytes_freed > 1_100_000, "{done:?}");
    house.judged();
    is_clean(&repository);
}

/// Everything in a folder, with lengths.
fn inventory(folder: &Path) -> BTreeSet<(String, u64)> {
    let mut found = Command::new("find");
    let output = found.arg(folder).args(["-type", "f", "-printf", "%P %s\n"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, length)| (name.to_owned(), length.parse().unwrap()))
        .collect()
}

#[test]
fn damage_ends_it_before_anything_is_removed() {
    type Damage = (&'static str, fn(&House, &Id));
    let damages: [Damage; 4] = [
        ("a snapshot", |house, _| {
            let id = house.files(Kind::Snapshot)[0];
            fs::write(house.path().join(Kind::Snapshot.path(&id)), b"damaged").unwrap();
        }),
        ("an index", |house, _| {
            let id = house.files(Kind::Index)[0];
            fs::write(house.path().join(Kind::Index.path(&id)), b"damaged").unwrap();
        }),
        ("all packs", |house, _| {
            for id in house.files(Kind::Pack) {
                fs::remove_file(house.path().join(Kind::Pack.path(&id))).unwrap();
            }
        }),
        ("the ends of packs", |house, _| {
            for id in house.files(Kind::Pack) {
                let path = house.path().join(Kind::Pack.path(&id));
                let file = fs::OpenOptions::new().write(true).open(path).unwrap();
                file.set_len(file.metadata().unwrap().len() - 1).unwrap();
            }
        }),
    ];
    for (what, damage) in damages {
        let (house, half) = used();
        let repository = house.open();
        damage(&house, &half);
        let before = inventory(&house.path());
        for dry_run in [true, false] {
            let error = prune(&repository, &op(), dry_run).expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
            assert!(error.hint().is_some(), "{what}: {error:?}");
        }
        assert_eq!(inventory(&house.path()), before, "{what}");
    }
}

/// Run as a child: prunes.
#[test]
fn prunes() {
    let Some(stage) = stage() else { return };
    let store = std::sync::Arc::new(Directory::new(stage));
    let repository = Repository::open(&op(), "house", store, &password(), who()).unwrap();
    prune(&repository, &op(), false).unwrap();
}

fn copied(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Kills a prune at the first and the last pass of each of the failpoints that are
/// `wanted`; every restic accepts what is left, and the next prune ends the work.
fn kill(wanted: fn(&str) -> bool) -> BTreeSet<String> {
    let (house, half) = used();
    let (path, kept) = (house.path(), house.folder.path().join("kept"));
    copied(&path, &kept);
    let trace = house.folder.path().join("trace");
    let whole = child("prunes", &path).env("BERTH_FAILPOINTS_TRACE", &trace).output().unwrap();
    assert!(whole.status.success(), "{}", house::text(&whole));
    let trace = fs::read_to_string(trace).unwrap();
    let names: BTreeSet<_> = trace.lines().filter(|name| wanted(name)).map(String::from).collect();
    for name in &names {
        let passes = trace.lines().filter(|line| line == name).count();
        for at in BTreeSet::from([1, passes]) {
            copied(&kept, &path);
            let rule = format!("{name}=kill@{at}");
            let killed = child("prunes", &path).env("BERTH_FAILPOINTS", &rule).output().unwrap();
            assert!(!killed.status.success(), "{rule}");
            // restic would look for a pack that is missing for minutes.
            let repository = house.open();
            let packs = house.files(Kind::Pack);
            let index = repository.index(&op()).unwrap();
            assert!(index.packs().iter().all(|pack| packs.contains(pack)), "{rule}");
            // restic takes nobody's lock for dead by itself.
            house.succeed("unlock");
            house.judged();
            prune(&repository, &op(), false).unwrap();
            is_clean(&repository);
        }
    }
    house.judged();
    house.restores(&half, "all");
    names
}

#[test]
fn killed_at_its_own_steps_it_leaves_a_repository_that_restic_accepts() {
    let names = kill(|name| name.starts_with("prune."));
    for wanted in ["prune.index.write", "prune.index.remove", "prune.pack.remove"] {
        assert!(names.contains(wanted), "{wanted} in {names:?}");
    }
}

#[test]
fn killed_at_steps_of_others_it_leaves_a_repository_that_restic_accepts() {
    let names = kill(|name| !name.starts_with("prune."));
    for wanted in ["writer.pack.write", "writer.index.write", "lock.take.look"] {
        assert!(names.contains(wanted), "{wanted} in {names:?}");
    }
}

#[test]
fn beside_a_running_restic_backup_it_waits() {
    for house in House::each() {
        waits(&house);
    }
}

fn waits(house: &House) {
    house.back_up("all", 12, 300_000);
    let repository = house.open();
    let mut blocker = house.blocker();
    let before = inventory(&house.path());
    for result in [
        prune(&repository, &op(), false).map(|_| ()),
        forget(&repository, &op(), &house.files(Kind::Snapshot)),
    ] {
        assert_eq!(result.expect_err("restic is there").kind(), ErrorKind::Busy);
    }
    assert_eq!(inventory(&house.path()), before);
    prune(&repository, &op(), true).unwrap();
    drop(blocker.stdin.take());
    let ended = blocker.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", house::text(&ended));
    prune(&repository, &op(), false).unwrap();
    house.judged();
}

/// Writers of our own, our prune, and every stock restic, all at once.
#[test]
fn writers_and_prunes_of_all_kinds_hurt_nothing() {
    let house = House::new();
    house.back_up("base", 3, 100_000);
    let (done, pruned) = (AtomicBool::new(false), AtomicU32::new(0));
    let kept = std::thread::scope(|scope| {
        let writers: Vec<_> = [who(), house::stranger()]
            .into_iter()
            .map(|who| {
                let (house, pruned) = (&house, &pruned);
                scope.spawn(move || {
                    let repository = house.open_as(who);
                    let mut kept = Vec::new();
                    for round in 0..100 {
                        // Content that went before comes back: a prune may be at it.
                        let seed = format!("{} {}", repository.who().hostname, round % 2);
                        kept.extend(write(&repository, &seed, 300_000));
                        if round > 3 && pruned.load(SeqCst) > 1 {
                            break;
                        }
                        pause();
                    }
                    kept
                })
            })
            .collect();
        for _ in 0..2 {
            let (house, done, pruned) = (&house, &done, &pruned);
            scope.spawn(move || {
                let repository = house.open();
                while !done.load(SeqCst) {
                    match prune(&repository, &op(), false) {
                        Ok(_) => _ = pruned.fetch_add(1, SeqCst),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}"),
                    }
                    pause();
                }
            });
        }
        scope.spawn(|| {
            let mut restics = house::restics::all().into_iter().cycle();
            while !done.load(SeqCst)
                && let Some(restic) = restics.next()
            {
                // Refused is fine, and so is a backup that came through.
                for args in ["backup content/base", "forget --keep-last 1 --path /x", "prune"] {
                    house.command(&restic, args).output().unwrap();
                    pause();
                }
            }
        });
        let ends: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, SeqCst);
        ends.into_iter().flat_map(Result::unwrap).collect::<Vec<Id>>()
    });
    house.judged();
    let pruned = pruned.load(SeqCst);
    assert!(kept.len() >= 3 && pruned >= 1, "{} backups, {pruned} prunes", kept.len());
    let there = house.files(Kind::Snapshot);
    assert!(kept.iter().all(|id| there.contains(id)));
}

/// Room for others: nobody backs up or prunes all the time.
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(400));
}
