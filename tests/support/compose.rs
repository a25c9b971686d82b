//! Compose, in whichever of its two forms the machine has.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use super::docker::Engine;

/// `docker-compose --file FILE ARGUMENTS…` against `engine`.
pub fn run(engine: &Engine, file: &Path, arguments: &[&str]) -> Output {
    let mut command = if Path::new("/usr/bin/docker-compose").exists() {
        Command::new("/usr/bin/docker-compose")
    } else {
        engine.command(&["compose"])
    };
    command
        .arg("--file")
        .arg(file)
        .args(arguments)
        .env("DOCKER_HOST", engine.address())
        .stdin(Stdio::null())
        .output()
        .expect("docker-compose: apt-get install docker-compose")
}

/// As [`run`], which must succeed; its output.
#[track_caller]
pub fn ok(engine: &Engine, file: &Path, arguments: &[&str]) -> String {
    let output = run(engine, file, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "compose {arguments:?}: {} {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
