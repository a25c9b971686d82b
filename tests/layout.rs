//! The house as a newcomer finds it: which crate may use which, and how long a
//! file may be.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;

/// From upper to lower: a crate may use those below it, never those above.
const ORDER: [&str; 8] = [
    "berth",
    "berth-vault",
    "berth-fake",
    "berth-nfs",
    "berth-vfs",
    "berth-tree",
    "berth-host",
    "berth-api",
];

/// Backends never see each other; the fake wraps one on purpose.
const STRANGERS: [(&str, &str); 7] = [
    ("berth-vfs", "berth-fake"),
    ("berth-nfs", "berth-fake"),
    ("berth-nfs", "berth-vfs"),
    ("berth-vault", "berth-nfs"),
    // Repositories know no backends: they are given content, and where to put it.
    ("berth-vault", "berth-fake"),
    ("berth-vault", "berth-vfs"),
    ("berth-vault", "berth-tree"),
];

/// A file past this is missing a noun.
const LONGEST: usize = 400;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 5] = ["util", "common", "helpers", "types", "misc"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn arrows_between_crates_point_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let above = place(name).unwrap_or_else(|| panic!("`{name}` has no place in the order"));
        seen.insert(name.to_owned());
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            if let Some(below) = place(used) {
                // A crate may use itself in its tests, with a feature.
                assert!(above <= below, "`{name}` uses `{used}`, which stands above it");
                assert!(!STRANGERS.contains(&(name, used)), "`{name}` uses `{used}`");
            }
        }
    }
    assert_eq!(seen.len(), ORDER.len(), "crates of the order that are not there");
}

#[test]
fn the_engine_knows_no_http_and_backends_no_engine() {
    let forbidden = [
        ("src/engine", ["crate::http", "crate::cli", "hyper::", "clap::"].as_slice()),
        ("src/catalog", &["crate::engine", "crate::http", "crate::cli"]),
        ("src/journal", &["crate::engine", "crate::http", "crate::cli"]),
        ("src/database", &["crate::engine", "crate::catalog", "crate::journal"]),
        ("src/cli", &["crate::http", "crate::catalog", "crate::journal", "crate::database"]),
        (
            "src/http",
            &["crate::catalog", "crate::journal", "crate::database", "berth_vfs", "berth_nfs"],
        ),
    ];
    for (folder, words) in forbidden {
        for (path, text) in sources(&root().join(folder)) {
            let code: Vec<_> =
                text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
            for word in words {
                let found = code.iter().any(|line| line.contains(word));
                assert!(!found, "{path} uses {word}");
            }
        }
    }
}

#[test]
fn files_are_short_and_named_after_what_they_own() {
    for folder in ["src", "backends", "tests"] {
        for (path, text) in sources(&root().join(folder)) {
            let lines = text.lines().count();
            assert!(lines <= LONGEST, "{path} has {lines} lines");
            let stem = Path::new(&path).file_stem().and_then(|stem| stem.to_str());
            assert!(!EMPTY_NAMES.contains(&stem.unwrap_or_default()), "{path} says nothing");
        }
    }
}

/// All Rust files below `folder`, with their content.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("UTF-8");
            found.push((path.display().to_string(), text));
        }
    }
    found
}
