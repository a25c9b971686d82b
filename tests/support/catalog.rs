//! The catalog's file, looked at and damaged from outside.
//!
//! The one support module that knows how Berth stores its records.

use std::{fs, path::Path};

use rusqlite::{Connection, OptionalExtension as _};
use tempfile::TempDir;

/// The state that is stored for the latest volume called `name`; `None` if it
/// has no row. The daemon may be running: it locks the file, so a copy is read.
pub fn state(database: &Path, name: &str) -> Option<String> {
    let folder = TempDir::new().expect("a temporary folder");
    let copy = folder.path().join("berth.db");
    // The log first: a checkpoint in between moves pages from it to the file.
    for suffix in ["-wal", ""] {
        let mut from = database.as_os_str().to_owned();
        from.push(suffix);
        let mut to = copy.as_os_str().to_owned();
        to.push(suffix);
        let _ = fs::copy(&from, &to);
    }
    let connection = Connection::open(&copy).expect("a copy of the database");
    connection
        .query_row(
            "SELECT body ->> '$.state.is' FROM volumes WHERE name = ?1 ORDER BY rowid DESC",
            [name],
            |row| row.get(0),
        )
        .optional()
        // Between the two copies anything may have happened: look again.
        .unwrap_or_else(|error| Some(error.to_string()))
}

/// Runs statements on the database of a daemon that does not run.
#[track_caller]
pub fn execute(database: &Path, statements: &str) {
    let connection = Connection::open(database).expect("the database of a stopped daemon");
    connection.execute_batch(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
}
