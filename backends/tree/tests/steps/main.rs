//! The steps of each call: how many there are, and what one that fails leaves.
//!
//! Failpoints are told what to do by the environment of the process, so that each
//! test runs itself again with one.

mod budget;
mod clones;
mod failure;
mod fills;

use std::{collections::BTreeMap, env, ffi::OsStr, process::Command};

use berth_api::{Layout, Options, Sidecar, VolumeId, VolumeSpec};

/// Runs the test `name` again, with a variable in its environment.
fn again(name: &str, variable: &str, value: &OsStr) {
    let again = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(variable, value)
        .output()
        .expect("it runs again");
    let (out, err) =
        (String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&again.stderr));
    assert!(again.status.success() && out.contains("1 passed"), "{out}{err}");
}

fn sidecar(given: &[(&str, &str)]) -> Sidecar {
    let given: BTreeMap<_, _> =
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Sidecar {
        spec: VolumeSpec {
            id: VolumeId::random(),
            name: "db".parse().expect("a valid name"),
            created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
            options: Options::parse(&given).expect("valid options"),
            given,
        },
        layout: Layout::Subdirectory,
    }
}
