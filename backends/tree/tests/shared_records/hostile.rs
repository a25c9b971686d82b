//! What somebody planted in the place of a record concerns one volume, and
//! nothing outside is touched.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use berth_api::{ErrorKind, records::Basis};

use crate::pool::{Host, Pool, names, op};

/// Ways to fill a place.
type Plant = fn(&Path, &Pool, &Host);

const PLANTS: [(&str, Plant); 11] = [
    ("a link", |place, pool, _| symlink(outside(pool).join("file"), place).expect("planted")),
    ("a dangling link", |place, _, _| symlink("nowhere", place).expect("planted")),
    ("a FIFO", |place, _, _| {
        assert!(Command::new("mkfifo").arg(place).status().expect("coreutils").success());
    }),
    ("a device", |place, _, _| {
        let made = Command::new("mknod").arg(place).args(["c", "1", "5"]).status();
        assert!(made.expect("coreutils").success());
    }),
    ("a directory", |place, _, _| {
        fs::create_dir(place).expect("planted");
        fs::write(place.join("inner"), "x").expect("planted");
    }),
    ("a huge file", |place, _, _| {
        File::create(place).and_then(|file| file.set_len(1 << 40)).expect("planted");
    }),
    ("an empty file", |place, _, _| drop(File::create(place).expect("planted"))),
    ("no JSON", |place, _, _| fs::write(place, "\0\u{7f}{{{").expect("planted")),
    ("deep JSON", |place, _, _| fs::write(place, "[".repeat(1 << 20)).expect("planted")),
    ("another volume's record", |place, pool, host| {
        let (other, _) = host.volume("ready");
        host.write_on(other, "ready").expect("alone");
        fs::copy(pool.record(other).join("2"), place).expect("planted");
    }),
    ("another version", |place, _, _| {
        fs::copy(place.parent().expect("a folder").join("1"), place).expect("planted");
    }),
];

/// What is not the pool's.
fn outside(pool: &Pool) -> PathBuf {
    pool.path().with_file_name("outside")
}

fn stage() -> (Pool, Host) {
    let pool = Pool::new();
    fs::create_dir(outside(&pool)).expect("ours");
    fs::write(outside(&pool).join("file"), "precious").expect("ours");
    let host = pool.host("one");
    (pool, host)
}

fn assert_untouched(pool: &Pool) {
    assert_eq!(names(&outside(pool)), ["file"]);
    assert_eq!(fs::read(outside(pool).join("file")).expect("there"), b"precious");
}

#[test]
fn a_planted_version_makes_one_record_corrupt_and_can_be_cleared() {
    let (pool, host) = stage();
    let (sound, _) = host.volume("ready");
    for (what, plant) in PLANTS {
        let (id, _) = host.volume("ready");
        plant(&pool.record(id).join("2"), &pool, &host);
        let error = host.read(id).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
        let listed = host.records().list(&op()).expect("complete");
        assert!(listed.iter().any(|there| there.id == sound && there.highest.is_ok()), "{what}");
        assert!(host.read(sound).expect("readable").is_some());
        // It is known which version it stands for, so that one can go on above.
        let listed = listed.iter().find(|there| there.id == id).expect(what);
        let number = *listed.highest.as_ref().expect("a listing");
        assert_eq!(number, 2, "{what}");
        host.write(id, Some(&Basis::unread(number)), "cleared").expect(what);
        let there = host.read(id).expect("readable").expect("there");
        host.records().forget(&op(), &host.author, id, &there.basis()).expect(what);
        assert!(host.read(id).expect("readable").is_none(), "{what}");
        assert_untouched(&pool);
    }
}

#[test]
fn every_torn_version_is_noticed() {
    let (pool, host) = stage();
    let (id, _) = host.volume("ready");
    let whole = fs::read(pool.record(id).join("1")).expect("there");
    for length in 0..whole.len() - 2 {
        fs::write(pool.record(id).join("2"), &whole[..length]).expect("planted");
        assert_eq!(host.read(id).expect_err("torn").kind(), ErrorKind::Corrupt, "{length}");
    }
    let text = String::from_utf8(whole).expect("JSON is UTF-8");
    fs::write(pool.record(id).join("1"), text.replace("ready", "reedy")).expect("planted");
    fs::remove_file(pool.record(id).join("2")).expect("planted");
    assert_eq!(host.read(id).expect_err("altered").kind(), ErrorKind::Corrupt);
}

#[test]
fn what_stands_for_no_version_is_nobodys() {
    let (pool, host) = stage();
    let (id, _) = host.volume("ready");
    let strange =
        ["0", "02", "-1", "+3", "1.tmp", "18446744073709551615", "99999999999999999999999", "x y"];
    for name in strange {
        fs::write(pool.record(id).join(name), "{}").expect("planted");
    }
    for name in ["x", "..x", "ABC", "not-an-id"] {
        fs::create_dir(pool.path().join(".berth/records").join(name)).expect("planted");
    }
    assert_eq!(host.read(id).expect("readable").expect("there").number, 1);
    assert_eq!(host.write_on(id, "written").expect("alone").number, 2);
    assert_eq!(host.records().list(&op()).expect("complete").len(), 1);
}

#[test]
fn something_else_in_the_place_of_a_folder_concerns_one_volume() {
    let (pool, host) = stage();
    let (sound, _) = host.volume("ready");
    for (what, plant) in &PLANTS[..9] {
        let id = berth_api::VolumeId::random();
        if *what == "a directory" {
            // That would be an empty record.
            continue;
        }
        plant(&pool.record(id), &pool, &host);
        assert_eq!(host.read(id).expect_err(what).kind(), ErrorKind::Corrupt, "{what}");
        let listed = host.records().list(&op()).expect("complete");
        let there = listed.iter().find(|there| there.id == id).expect("listed");
        let error = there.highest.as_ref().expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}");
        host.write(id, None, "creating").expect_err(what);
        assert!(host.read(sound).expect("readable").is_some());

        plant(&pool.path().join(".berth/attachments").join(id.to_string()), &pool, &host);
        assert_eq!(
            host.records().attachments(&op(), id).expect_err(what).kind(),
            ErrorKind::Corrupt
        );
        host.attach(id).expect_err(what);
        assert!(host.records().attached_by(&op(), host.author.host).expect("readable").is_empty());

        let name = format!("n{id}");
        plant(&pool.path().join(".berth/names").join(&name), &pool, &host);
        assert_eq!(host.claim(&name, sound).expect_err(what).kind(), ErrorKind::Corrupt, "{what}");
        assert_eq!(host.resolve(&name).expect_err(what).kind(), ErrorKind::Corrupt, "{what}");
        assert_untouched(&pool);
    }
    host.reboot();
    assert_untouched(&pool);
}

#[test]
fn whatever_stands_for_a_host_counts_until_it_is_taken_away() {
    let (pool, host) = stage();
    for (what, plant) in &PLANTS[..9] {
        let (id, first) = host.volume("ready");
        let folder = pool.path().join(".berth/attachments").join(id.to_string());
        fs::create_dir(&folder).expect("planted");
        plant(&folder.join("stranger"), &pool, &host);
        let error = host.remove(id, &first.basis()).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Busy, "{what}: {error:?}");
        assert!(error.chain().contains("stranger"), "{what}: {error:?}");
        host.records().detach(&op(), id, "stranger").expect(what);
        let there = host.read(id).expect("readable").expect("there");
        host.remove(id, &there.basis()).expect(what);
        assert_untouched(&pool);
    }
    for entry in ["", ".", "..", "../../outside/file", "a/b"] {
        let (id, _) = host.volume("ready");
        host.records().detach(&op(), id, entry).expect_err("no name of an attachment");
    }
    assert_untouched(&pool);
}

#[test]
fn a_link_in_the_place_of_the_pools_own_folders_is_not_followed() {
    let (pool, host) = stage();
    let (id, first) = host.volume("ready");
    for folder in ["records", "names", "attachments", "scratch"] {
        let place = pool.path().join(".berth").join(folder);
        let aside = pool.path().join(".berth/aside");
        fs::rename(&place, &aside).expect("ours");
        symlink(outside(&pool), &place).expect("planted");
        let basis = host.read(id).ok().flatten().map_or(first.basis(), |there| there.basis());
        let refused = [
            host.records().list(&op()).map(drop),
            host.write(id, Some(&basis), "written").map(drop),
            host.claim("db", id),
            host.attach(id).map(drop),
            host.records().clean(&op(), host.author.host),
        ];
        assert!(refused.iter().any(Result::is_err), "{folder}");
        for error in refused.into_iter().filter_map(Result::err) {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{folder}: {error:?}");
        }
        assert_untouched(&pool);
        fs::remove_file(&place).expect("ours");
        fs::rename(&aside, &place).expect("ours");
        if folder != "records" {
            let there = host.read(id).expect("readable").expect("there");
            assert!(there.number >= first.number);
        }
    }
}
