//! Repositories and backups by the built binary, beside stock `restic`.

mod backups;
mod convoy;
mod interrupted;
mod repositories;
mod s3;
mod s3_trouble;
#[path = "../../src/vault/tests/support/mod.rs"]
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod trouble;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use support::{daemon::Setup, house::House, stage::Stage};

impl House {
    /// Without a configuration file.
    fn new() -> Self {
        Self::with(|setup, _| setup)
    }

    /// With these repositories, each in a folder of its name.
    fn named(names: &[&str]) -> Self {
        Self::with(|setup, stage| {
            let section = |name: &&str| {
                let url = stage.join(name).display().to_string();
                format!("[repositories.{name}]\nurl = \"{url}\"\n")
            };
            let text: String = names.iter().map(section).collect();
            setup.config(stage, &text)
        })
    }

    fn with(change: impl FnOnce(Setup, &Stage) -> Setup) -> Self {
        Self::on_stage("vault", change)
    }

    /// A volume with a file of its name in it.
    #[track_caller]
    fn volume(&self, name: &str) {
        self.ok(&["volume", "create", name]);
        self.write(name, "file", name.as_bytes());
    }

    /// Writes a file into the volume.
    fn write(&self, name: &str, file: &str, bytes: &[u8]) {
        fs::write(self.daemon.data(name).join(file), bytes).expect("a file in the volume");
    }

    /// What doctor says of a repository: severity and message, a pair each.
    #[track_caller]
    fn doctor(&self, name: &str) -> Vec<(String, String)> {
        let output = self.daemon.berth(&["doctor", "--json"]);
        let all: Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
        let subject = format!("repository `{name}`");
        let findings = all["findings"].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        findings
            .filter(|finding| finding["subject"] == subject.as_str())
            .map(|finding| (text(&finding["severity"]), text(&finding["message"])))
            .collect()
    }
}

/// The judges: Debian's restic, and the newest, that `scripts/test vault` downloads.
fn all_restics() -> [PathBuf; 2] {
    let current = env::var_os("BERTH_RESTIC_CURRENT")
        .expect("BERTH_RESTIC_CURRENT names no restic: run scripts/test vault");
    [PathBuf::from("restic"), PathBuf::from(current)]
}

/// Every restic accepts all that is in the repository.
#[track_caller]
fn judged(repository: &Path, key: &Path) {
    for restic in all_restics() {
        let output = restic_by(&restic, repository, key, &["check", "--read-data"]);
        assert!(output.status.success(), "{}: {output:?}", restic.display());
    }
}

/// Debian's restic on a repository.
fn restic(repository: &Path, key: &Path, words: &[&str]) -> Output {
    restic_by(Path::new("restic"), repository, key, words)
}

fn restic_by(restic: &Path, repository: &Path, key: &Path, words: &[&str]) -> Output {
    Command::new(restic)
        .args(["--no-cache", "--repo"])
        .arg(repository)
        .arg("--password-file")
        .arg(key)
        .args(words)
        .output()
        .expect("restic is installed")
}

/// What restic, which must succeed, prints.
#[track_caller]
fn restic_ok(repository: &Path, key: &Path, words: &[&str]) -> String {
    let output = restic(repository, key, words);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {words:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
