//! Whether the catalog can be trusted as a whole.
//!
//! An answer from a wrong or damaged catalog would make Docker drop the labels
//! and options of volumes that exist. Then no answer is better.

use std::fs;

use berth_api::{Error, HostId, Result, checksum::seal};
use berth_host::durable;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::{Files, from_sqlite};

/// `host.json`
#[derive(Serialize, Deserialize)]
struct HostFile {
    id: HostId,
    checksum: String,
}

/// The error that keeps the plugin socket from being served.
pub(crate) fn untrusted(why: &str) -> Error {
    Error::corrupt(format!("the catalog cannot be trusted: {why}")).with_hint(
        "bring the file back, or run `berth pool rebuild` to make the records anew from the volumes",
    )
}

/// The host id of `host.json`, `None` if there is no such file.
pub(super) fn host_of(files: &Files) -> Result<Option<HostId>> {
    let bytes = match fs::read(&files.host) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Error::unavailable("read `host.json`").with_source(error));
        }
    };
    let file: HostFile = serde_json::from_slice(&bytes)
        .map_err(|source| untrusted("`host.json` is damaged").with_source(source))?;
    if file.checksum == seal(&[file.id.to_string().as_bytes()]) {
        Ok(Some(file.id))
    } else {
        Err(untrusted("`host.json` does not match its checksum"))
    }
}

/// Compares the host of the database with the host of the root, and writes
/// down whichever is missing. The database comes first: a crash between the two
/// leaves a database without `host.json`, which is made good here.
pub(super) fn settle_host(
    connection: &Connection,
    files: &Files,
    of_root: Option<HostId>,
    frozen: bool,
) -> Result<HostId> {
    let row: Option<(String, String)> = connection
        .query_row("SELECT value, seal FROM meta WHERE key = 'host'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .map_err(|source| from_sqlite(source, "read the host of `berth.db`"))?;
    let of_database = match row {
        Some((value, sum)) if seal(&[b"host", value.as_bytes()]) == sum => Some(
            value.parse::<HostId>().map_err(|_| untrusted("the host in `berth.db` is damaged"))?,
        ),
        Some(_) => return Err(untrusted("the host in `berth.db` does not match its checksum")),
        None => None,
    };
    let host = match (of_database, of_root) {
        (Some(database), Some(root)) if database != root => {
            return Err(untrusted("`berth.db` belongs to another root (its host id differs)"));
        }
        (Some(host), _) => host,
        // The database is written first: it was emptied since.
        (None, Some(_)) => {
            return Err(untrusted("`berth.db` is empty though this root was in use"));
        }
        (None, None) => {
            let host = HostId::random();
            write_host(connection, host)?;
            host
        }
    };
    if of_root.is_none() && !frozen {
        let file = HostFile { id: host, checksum: seal(&[host.to_string().as_bytes()]) };
        let bytes = serde_json::to_vec_pretty(&file).expect("an id is plain JSON");
        durable::replace_path(&files.host, &bytes)
            .map_err(|source| Error::unavailable("write `host.json`").with_source(source))?;
    }
    Ok(host)
}

/// Writes into a new database which host it belongs to.
pub(super) fn write_host(connection: &Connection, host: HostId) -> Result<()> {
    let value = host.to_string();
    berth_host::failpoint::hit("database.host")
        .map_err(|source| Error::internal("write the host").with_source(source))?;
    connection
        .execute(
            "INSERT INTO meta (key, value, seal) VALUES ('host', ?1, ?2)",
            params![value, seal(&[b"host", value.as_bytes()])],
        )
        .map_err(|source| from_sqlite(source, "write the host into `berth.db`"))?;
    Ok(())
}

/// SQLite's own check of pages and indexes.
pub(super) fn check_integrity(connection: &Connection) -> Result<()> {
    let verdict: Result<String, _> =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => Err(untrusted(&format!("`berth.db` is damaged ({verdict})"))),
        Err(source) => Err(untrusted("`berth.db` is damaged").with_source(source)),
    }
}
