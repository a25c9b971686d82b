//! An odd tree backed up to S3: every stock restic, and we, get it back from there in
//! every byte and attribute.

mod stock;
mod support;
mod volume;

use std::{fs, path::Path, process::Command, sync::Arc};

use berth_host::beneath::Dir;
use berth_vault::{Backup, Password, Repository, repository::Who, restore, store::s3::S3};
use stock::{
    odd::{self, facts, without_linked_links},
    op, run,
};
use support::{BUCKET, Moto, S3Server};
use volume::{back_up_with, later, occupied};

const PASSWORD: &str = "for tests only";

/// What each restic, asked at `place`, restores is what was backed up to `store`.
fn comes_back(store: S3, place: &str) {
    let stage = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a stage");
    let data = stage.path().join("data");
    odd::make(&data);
    let before = facts(&data);
    let who = Who { hostname: "alpha".to_owned(), username: "root".to_owned() };
    let password = Password::new(PASSWORD.as_bytes());
    let repository =
        Repository::init(&op(), "off", Arc::new(store), &password, who).expect("a repository");
    let backup = back_up_with(&repository, &data, None, false, later()).expect("backed up");
    assert_eq!(facts(&data), before, "reading leaves no trace");

    for restic in stock::all() {
        let name = restic.display().to_string();
        by(&restic, place, &["check", "--read-data"]);
        let to = stage.path().join(format!("by{}", name.replace('/', "-")));
        let (id, target) = (backup.id.to_string(), to.display().to_string());
        by(&restic, place, &["restore", &id, "--target", &target]);
        let restored = to.join("data");
        odd::settle(&restored);
        assert_eq!(
            without_linked_links(&facts(&restored)),
            without_linked_links(&before),
            "{name}"
        );
    }

    let to = stage.path().join("by-us");
    ours(&repository, &backup, &to);
    assert_eq!(facts(&to), before);
    let size = |name: &str| occupied(&to.join(name));
    assert!(size("holes") <= 400_000, "holes: {}", size("holes"));
    assert_eq!(size("one hole"), 0);
}

fn ours(repository: &Repository, backup: &Backup, to: &Path) {
    fs::create_dir(to).expect("made");
    let target = Dir::open(to).expect("a directory");
    restore::tree(repository, &op(), backup, &target).expect("restored");
}

fn by(restic: &Path, place: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(restic);
    command.args(["--no-cache", "--repo", place]).args(arguments);
    command.env("RESTIC_PASSWORD", PASSWORD).envs(S3Server::key());
    run(&mut command)
}

#[test]
fn every_restic_restores_it_from_moto() {
    let moto = Moto::start();
    let place = format!("s3:{}/{BUCKET}/a/b", moto.endpoint());
    comes_back(moto.store("a/b"), &place);
}

#[test]
fn every_restic_restores_it_from_what_s3s_keeps() {
    let server = S3Server::start();
    let place = server.bucket().join("a/b").display().to_string();
    comes_back(server.store("a/b"), &place);
}
