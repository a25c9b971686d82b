//! A repository on S3 that Berth makes and stock restic uses.
//!
//! `s3s-fs` takes the empty `delimiter=` of restic's listings for a delimiter, and
//! shows it no packs: there restic looks at the files that the server keeps.
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod support;

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use berth_api::Op;
use berth_vault::{
    Kind, Password, Repository,
    repository::Who,
    store::s3::{S3, S3Settings},
};
use support::{BUCKET, Moto, S3Server, restics};

const PASSWORD: &str = "house";

fn op() -> Op {
    Op::new(Duration::from_secs(120))
}

fn who() -> Who {
    Who { hostname: "here".to_owned(), username: "root".to_owned() }
}

/// This restic in `folder`, which is all it knows of this machine.
fn by(restic: &Path, folder: &Path, repository: &str, args: &[&str]) -> String {
    let output = Command::new(restic)
        .args(args)
        .env("RESTIC_REPOSITORY", repository)
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("RESTIC_CACHE_DIR", folder.join("cache"))
        .envs(S3Server::key())
        .current_dir(folder)
        .output()
        .expect("restic is installed");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "restic {args:?}: {text}");
    text
}

/// `judged` is where restic finds the same repository whole.
fn use_together(settings: &S3Settings, judged: Option<&Path>) {
    let far = format!("s3:{}/{BUCKET}/a/b", settings.endpoint.as_ref().unwrap());
    let judged = judged.map_or(far.clone(), |path| path.display().to_string());
    let folder = tempfile::tempdir().unwrap();
    let password = Password::new(PASSWORD.as_bytes());
    let store = || Arc::new(S3::open(settings.clone()).unwrap());
    Repository::init(&op(), "far", store(), &password, who()).unwrap();
    fs::create_dir(folder.path().join("content")).unwrap();
    for (restic, made) in restics::all().iter().zip(1_u8..) {
        let restic = |place: &str, args: &[&str]| by(restic, folder.path(), place, args);
        fs::write(folder.path().join("content/file"), vec![made; 3 << 20]).unwrap();
        restic(&far, &["backup", "content"]);
        let said = restic(&judged, &["check", "--read-data"]);
        assert!(said.contains("no errors were found"), "{said}");

        let repository = Repository::open(&op(), "far", store(), &password, who()).unwrap();
        let snapshots = repository.store().list(&op(), Kind::Snapshot).unwrap();
        assert_eq!(snapshots.len(), usize::from(made));
        assert!(!repository.store().list(&op(), Kind::Pack).unwrap().is_empty());
        let said = restic(&far, &["snapshots", "--compact"]);
        for snapshot in snapshots {
            assert!(said.contains(&snapshot.id.to_string()[..8]), "{said}");
        }
    }
}

#[test]
fn stock_restic_uses_it_on_s3s() {
    let server = S3Server::start();
    use_together(&server.settings("a/b"), Some(&server.bucket().join("a/b")));
}

#[test]
fn stock_restic_uses_it_on_moto() {
    let moto = Moto::start();
    use_together(&moto.settings("a/b"), None);
}
