//! Tables and migrations.
//!
//! `user_version` counts migrations. A newer one is refused; before an older one
//! is migrated, the database is copied beside itself.

use std::path::Path;

use berth_api::Result;
use rusqlite::Connection;

use super::{from_sqlite, trust::untrusted, with_suffix};

/// What brings version N to N+1. Never edited once released, only appended to.
const MIGRATIONS: [&str; 4] = [
    "
    CREATE TABLE meta (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, seal TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE pools (
        name TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE volumes (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, live INTEGER NOT NULL,
        body TEXT NOT NULL, seal TEXT NOT NULL
    );
    CREATE UNIQUE INDEX live_names ON volumes (name) WHERE live;
    CREATE TABLE refs (
        volume TEXT NOT NULL, client TEXT NOT NULL, id TEXT NOT NULL,
        count INTEGER NOT NULL, epoch INTEGER NOT NULL, boot TEXT NOT NULL, seal TEXT NOT NULL,
        PRIMARY KEY (volume, client, id)
    ) WITHOUT ROWID;
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL
    ) WITHOUT ROWID;
",
    // What is at rest for a snapshot, and how it goes on.
    "
    CREATE TABLE quiesced (
        snapshot TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL
    ) WITHOUT ROWID;
",
    // What is remembered of backups and repositories.
    "
    CREATE TABLE last_backups (
        volume TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE repositories (
        name TEXT PRIMARY KEY, body TEXT NOT NULL, seal TEXT NOT NULL
    ) WITHOUT ROWID;
",
    // What was done for each policy of each volume, and what is owed.
    "
    CREATE TABLE policies (
        volume TEXT NOT NULL, policy TEXT NOT NULL, kind TEXT NOT NULL,
        body TEXT NOT NULL, seal TEXT NOT NULL,
        PRIMARY KEY (volume, policy, kind)
    ) WITHOUT ROWID;
",
];

/// The version this build writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Brings the database to [`VERSION`].
pub(super) fn prepare(connection: &Connection, path: &Path) -> Result<()> {
    let failed = |source| from_sqlite(source, "read the version of `berth.db`");
    let version: usize = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .map_err(failed)? as usize;
    if version > VERSION {
        return Err(untrusted(&format!(
            "`berth.db` was written by a newer Berth (schema {version}, this one knows {VERSION})"
        ))
        .with_hint("install the newer version again"));
    }
    if version > 0 && version < VERSION {
        let copy = with_suffix(path, &format!(".schema-{version}"));
        let mut target = Connection::open(&copy)
            .map_err(|source| from_sqlite(source, "copy `berth.db` before a migration"))?;
        rusqlite::backup::Backup::new(connection, &mut target)
            .and_then(|backup| backup.run_to_completion(1024, std::time::Duration::ZERO, None))
            .map_err(|source| from_sqlite(source, "copy `berth.db` before a migration"))?;
    }
    for (step, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let batch =
            format!("BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {}; COMMIT;", step + 1);
        berth_host::failpoint::hit("database.migrate")
            .map_err(|source| berth_api::Error::internal("migrate").with_source(source))?;
        connection
            .execute_batch(&batch)
            .map_err(|source| from_sqlite(source, "prepare the tables of `berth.db`"))?;
    }
    Ok(())
}
