//! `s3s-fs`: checks signatures, and keeps objects in a directory.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use berth_vault::store::s3::{Credentials, S3, S3Settings};

use super::process::{Process, program};

/// The bucket that is there.
pub(crate) const BUCKET: &str = "bucket";
const KEY: &str = "AKIABERTH";
const SECRET: &str = "not-so-secret";

/// A server with one bucket.
#[derive(Debug)]
pub(crate) struct S3Server {
    process: Process,
    folder: tempfile::TempDir,
}

impl S3Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let process = Process::start(command(folder.path().to_owned()));
        Self { process, folder }
    }

    /// What the bucket's objects are files of.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.folder.path().join(BUCKET)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Id and secret of its key, as restic wants them in the environment.
    pub(crate) fn key() -> [(&'static str, &'static str); 2] {
        [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET)]
    }

    /// A repository below `prefix`.
    pub(crate) fn settings(&self, prefix: &str) -> S3Settings {
        S3Settings {
            bucket: BUCKET.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: Some(self.endpoint()),
            credentials: Credentials::Given { key_id: KEY.to_owned(), secret: SECRET.to_owned() },
            ..S3Settings::default()
        }
    }

    pub(crate) fn store(&self, prefix: &str) -> S3 {
        S3::open(self.settings(prefix)).unwrap()
    }

    /// How long it computed so far.
    pub(crate) fn computed(&self) -> Duration {
        self.process.computed()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, at the same address and with what it had.
    pub(crate) fn restart(&mut self) {
        let command = command(self.folder.path().to_owned());
        self.process = Process::start_at(self.address(), command).expect("it starts again");
    }
}

fn command(folder: PathBuf) -> impl Fn(SocketAddr) -> Command {
    move |address| {
        let mut command = Command::new(program("BERTH_S3S"));
        command.args(["--access-key", KEY, "--secret-key", SECRET]);
        command.args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.arg(&folder);
        command
    }
}
