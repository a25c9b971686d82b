//! Copies into another repository, keys, listings, and removal by id.
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod house;

use std::fs;

use berth_api::{Consistency, ErrorKind, VolumeId};
use berth_vault::{
    Id, Password, Repository,
    backup::{Label, Mode},
    copy::copy,
    forget::forget,
    format::{BlobKind, SnapshotFile},
    keys::{add_key, change_password, list_keys, remove_key},
    listing::{backups, find},
    store::Kind,
};
use house::{House, op, password, who};

/// Gives a snapshot the tags of a backup of that volume, as `restic tag` would.
fn label(repository: &Repository, id: &Id, volume: &str, volume_id: VolumeId) -> Id {
    let label = Label {
        volume: volume.parse().unwrap(),
        volume_id,
        snapshot: None,
        snapshot_id: None,
        consistency: Consistency::Live,
        mode: Mode::Full,
        bytes_read: 0,
        host: who().hostname,
        host_id: "h".to_owned(),
        pool: "p".to_owned(),
        policy: None,
    };
    let file: SnapshotFile = repository.load(&op(), Kind::Snapshot, id).unwrap();
    let file = SnapshotFile { tags: label.to_tags(), original: Some(*id), ..file };
    let new = repository.save(&op(), Kind::Snapshot, &file).unwrap();
    repository.store().remove(&op(), Kind::Snapshot, id).unwrap();
    new
}

#[test]
fn a_copy_restores_to_the_same_bytes_and_is_made_once() {
    let (here, there) = (House::new(), House::new());
    let (from, to) = (here.open(), there.open());
    let ids = [here.back_up("a", 5, 300_000), here.back_up("b", 5, 300_000)];
    let first = copy(&from, &to, &op(), &ids[..1]).unwrap();
    assert_eq!((first.snapshots.len(), first.skipped.len()), (1, 0));
    let second = copy(&from, &to, &op(), &ids).unwrap();
    assert_eq!((second.snapshots.len(), second.skipped.as_slice()), (1, &ids[..1]));
    assert!(second.written.added < first.written.added + 10_000);
    there.succeed("check --read-data");
    // The content is where `restores` looks for it.
    let content = |house: &House| house.folder.path().join("content");
    fs::rename(content(&here), content(&there)).unwrap();
    there.restores(&first.snapshots[0].1, "a");
    there.restores(&second.snapshots[0].1, "b");
    let file: SnapshotFile = to.load(&op(), Kind::Snapshot, &first.snapshots[0].1).unwrap();
    assert_eq!(file.original, Some(ids[0]));
    // And back again: it is known by its origin.
    let back: Vec<_> = there.files(Kind::Snapshot);
    assert_eq!(copy(&to, &from, &op(), &back).unwrap().skipped.len(), 2);
    let error = copy(&from, &to, &op(), &[Id::of(b"none")]).expect_err("no such snapshot");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_damaged_is_not_copied() {
    let (here, there) = (House::new(), House::new());
    let id = here.back_up("a", 3, 300_000);
    for pack in here.files(Kind::Pack) {
        let path = here.path().join(Kind::Pack.path(&pack));
        let mut bytes = fs::read(&path).unwrap();
        // In the first blob: packs of trees are shorter than that.
        if let Some(byte) = bytes.get_mut(100_000) {
            *byte ^= 1;
        }
        fs::write(path, bytes).unwrap();
    }
    let error = copy(&here.open(), &there.open(), &op(), &[id]).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(there.files(Kind::Snapshot).is_empty());
    there.succeed("check --read-data");
}

#[test]
fn what_another_pack_has_whole_is_copied_from_there() {
    let (here, there) = (House::new(), House::new());
    let id = here.back_up("a", 3, 300_000);
    here.back_up_unaware("a");
    let from = here.open();
    let index = from.index(&op()).unwrap();
    let pack = index.place(BlobKind::Data, 0).1.pack;
    let path = here.path().join(Kind::Pack.path(&pack));
    fs::write(&path, vec![0; fs::read(&path).unwrap().len()]).unwrap();
    let copied = copy(&from, &there.open(), &op(), &[id]).expect("all of it is somewhere");
    there.succeed("check --read-data");
    let content = |house: &House| house.folder.path().join("content");
    fs::rename(content(&here), content(&there)).unwrap();
    there.restores(&copied.snapshots[0].1, "a");
}

#[test]
fn damaged_snapshots_hide_no_others_and_prefixes_name_one() {
    let house = House::new();
    let repository = house.open();
    let volume_id = VolumeId::random();
    let ids: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| label(&repository, &house.back_up(name, 1, 100), name, volume_id))
        .collect();
    let other = house.back_up("other", 1, 100);
    fs::write(house.path().join(Kind::Snapshot.path(&ids[1])), b"damaged").unwrap();
    let listing = backups(&repository, &op()).unwrap();
    let found: Vec<_> = listing.backups.iter().map(|backup| backup.id).collect();
    assert_eq!(found, [ids[0], ids[2]]);
    assert_eq!(listing.unreadable.len(), 1);
    assert_eq!(listing.unreadable[0].0, ids[1]);

    let kind = |prefix: &str| find(&repository, &op(), prefix).map_err(|error| error.kind());
    assert_eq!(kind(&ids[0].short()).unwrap().id, ids[0]);
    assert_eq!(kind(&ids[0].to_string()).unwrap().label.volume.as_str(), "a");
    assert_eq!(kind(&ids[1].short()).expect_err("damaged"), ErrorKind::Corrupt);
    assert_eq!(kind(&other.short()).expect_err("stock"), ErrorKind::Unsupported);
    for wrong in ["", "abc", "../..", "ABCD", "é123"] {
        assert_eq!(kind(wrong).expect_err(wrong), ErrorKind::Invalid, "{wrong}");
    }
    let twin = format!("{}{}", &ids[0].to_string()[..6], "0".repeat(58));
    fs::write(house.path().join("snapshots").join(twin), b"x").unwrap();
    assert_eq!(kind(&ids[0].to_string()[..6]).expect_err("two"), ErrorKind::Invalid);
    let absent = if ids.iter().any(|id| id.0[0] == 0xff) { "fffe1234" } else { "ffff1234" };
    assert_eq!(kind(absent).expect_err("none"), ErrorKind::NotFound);
}

#[test]
fn removing_the_last_of_vol1_leaves_vol10() {
    let house = House::new();
    let repository = house.open();
    let (one, ten) = (VolumeId::random(), VolumeId::random());
    let one = label(&repository, &house.back_up("vol1", 1, 100), "vol1", one);
    let ten = label(&repository, &house.back_up("vol10", 1, 100), "vol10", ten);
    forget(&repository, &op(), &[one]).unwrap();
    berth_vault::prune::prune(&repository, &op(), false).unwrap();
    assert_eq!(house.files(Kind::Snapshot), [ten]);
    house.restores(&ten, "vol10");
}

#[test]
fn keys_come_and_go_and_one_is_always_left() {
    let house = House::new();
    let repository = house.open();
    let second = Password::new(b"second");
    let open =
        |password: &Password| Repository::open(&op(), "house", house.store(), password, who());
    let first = repository.key_id();
    let error = remove_key(&repository, &op(), &first).expect_err("in use");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let added = add_key(&repository, &op(), &second).unwrap();
    let keys = list_keys(&repository, &op()).unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.current == (key.id == first)));
    let by_second = open(&second).unwrap();
    assert_eq!(by_second.key_id(), added);
    remove_key(&by_second, &op(), &first).unwrap();
    assert!(open(&password()).is_err());
    // The stale one does not know that its key is gone, and still removes not the last.
    let error = remove_key(&repository, &op(), &added).expect_err("the last");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let third = Password::new(b"third");
    let changed = change_password(&by_second, &op(), &third).unwrap();
    assert!(open(&second).is_err());
    assert_eq!(open(&third).unwrap().key_id(), changed);
    assert!(add_key(&repository, &op(), &Password::new(b"\n")).is_err());
    fs::write(house.folder.path().join("password"), "third").unwrap();
    house.back_up("a", 1, 100);
    house.judged();
}

#[test]
fn policies_keep_what_restic_keeps() {
    use berth_vault::{Backup, retention};
    let house = House::new();
    let repository = house.open();
    let volume_id = VolumeId::random();
    let id = house.back_up("a", 1, 100);
    let id = label(&repository, &id, "a", volume_id);
    let file: SnapshotFile = repository.load(&op(), Kind::Snapshot, &id).unwrap();
    forget(&repository, &op(), &[id]).unwrap();
    let begin: jiff::Timestamp = "2025-10-20T08:30:00Z".parse().unwrap();
    for number in 0..60_i64 {
        let time = begin + jiff::SignedDuration::from_mins(number * number * 47 % 150_000);
        let file = SnapshotFile { time, ..file.clone() };
        repository.save(&op(), Kind::Snapshot, &file).unwrap();
    }
    let all: Vec<Backup> = backups(&repository, &op()).unwrap().backups;
    assert_eq!(all.len(), 60);
    let keep = |last, hourly, daily, weekly, monthly, yearly| retention::Keep {
        last,
        hourly,
        daily,
        weekly,
        monthly,
        yearly,
    };
    let policies = [
        (keep(3, 0, 0, 0, 0, 0), "--keep-last 3"),
        (keep(0, 5, 0, 0, 0, 0), "--keep-hourly 5"),
        (keep(0, 0, 7, 4, 0, 0), "--keep-daily 7 --keep-weekly 4"),
        (
            keep(1, 2, 3, 4, 5, 6),
            "--keep-last 1 --keep-hourly 2 --keep-daily 3 --keep-weekly 4 \
          --keep-monthly 5 --keep-yearly 6",
        ),
    ];
    for (keep, options) in policies {
        let chosen = retention::choose(&all, &keep, &jiff::tz::TimeZone::UTC);
        let mut ours: Vec<_> =
            chosen.iter().filter(|kept| kept.keep).map(|kept| kept.id.to_string()).collect();
        let said =
            house.succeed(&format!("forget --dry-run --json --group-by host --no-cache {options}"));
        let line = said.lines().find(|line| line.starts_with('[')).expect("JSON");
        let groups: serde_json::Value = serde_json::from_str(line).unwrap();
        let kept = groups[0]["keep"].as_array().unwrap();
        let mut theirs: Vec<_> =
            kept.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        ours.sort();
        theirs.sort();
        // Newer ones keep the oldest while a rule has not kept enough, as we do.
        let oldest = all[0].id.to_string();
        let more: Vec<_> = ours.iter().filter(|id| !theirs.contains(*id)).collect();
        assert!(theirs.iter().all(|id| ours.contains(id)), "{options}");
        assert!(more.is_empty() || more == [&oldest], "{options}: {more:?}");
    }
}
