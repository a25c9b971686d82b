//! What was brought to rest for a snapshot, and how it goes on.
//!
//! A row is written before the application is touched and deleted after it goes
//! on again. Whatever becomes of the daemon in between, the next one finds the
//! row and knows what to do without the configuration, which may have changed.

use std::{collections::BTreeSet, time::Duration};

use berth_api::{Result, SnapshotId, VolumeId, checksum::seal};
use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::database::{Transaction, from_sqlite};

/// One application at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quiesced {
    /// The snapshot it rests for.
    pub snapshot: SnapshotId,
    /// That snapshot's volume.
    pub volume: VolumeId,
    /// `VOLUME@NAME` of that snapshot, for people.
    pub name: String,
    /// The hook by whose name it was asked for.
    pub hook: String,
    /// Since when.
    pub since: Timestamp,
    /// How it goes on.
    pub wake: Wake,
    /// What commands are told, by name of the variable.
    pub environment: Vec<(String, String)>,
}

/// How an application goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wake {
    /// By itself: the hook has no after part.
    ByItself,
    /// A program with its arguments, as the hook had it.
    Command {
        /// Both.
        argv: Vec<String>,
        /// What it may take.
        timeout: Duration,
    },
    /// These containers are unpaused.
    Unpause {
        /// Their ids, as Docker gave them.
        containers: BTreeSet<String>,
    },
}

/// Reads all rows; damaged ones are passed over, loudly: what rests there has to
/// be woken by hand.
pub fn load_quiesced(connection: &Connection) -> Result<Vec<Quiesced>> {
    read(connection).map_err(|source| from_sqlite(source, "read the journal"))
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<Quiesced>> {
    let mut found = Vec::new();
    let mut statement = connection.prepare("SELECT snapshot, body, seal FROM quiesced")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, body, sum): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match serde_json::from_str::<Quiesced>(&body) {
            Ok(row) if seal_of(&id, &body) == sum && row.snapshot.to_string() == id => {
                found.push(row);
            }
            _ => tracing::error!(
                snapshot = id,
                "damaged row in `berth.db`: an application may still be at rest for it"
            ),
        }
    }
    Ok(found)
}

fn seal_of(id: &str, body: &str) -> String {
    seal(&[b"quiesced", id.as_bytes(), body.as_bytes()])
}

/// Writes one row.
pub fn put_quiesced(transaction: &Transaction<'_>, row: &Quiesced) -> rusqlite::Result<()> {
    let (id, body) = (
        row.snapshot.to_string(),
        serde_json::to_string(row).expect("texts, times and ids are plain JSON"),
    );
    let sum = seal_of(&id, &body);
    transaction
        .0
        .prepare_cached(
            "INSERT OR REPLACE INTO quiesced (snapshot, body, seal) VALUES (?1, ?2, ?3)",
        )?
        .execute([&id, &body, &sum])
        .map(drop)
}

/// Deletes one row.
pub fn delete_quiesced(
    transaction: &Transaction<'_>,
    snapshot: SnapshotId,
) -> rusqlite::Result<()> {
    transaction
        .0
        .prepare_cached("DELETE FROM quiesced WHERE snapshot = ?1")?
        .execute([snapshot.to_string()])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_or_not_at_all() {
        let connection = Connection::open_in_memory().expect("a database");
        let table = "CREATE TABLE quiesced (snapshot TEXT PRIMARY KEY, body TEXT, seal TEXT)";
        connection.execute_batch(table).expect("a table");
        let transaction = Transaction(&connection);
        let row = |wake: Wake| Quiesced {
            snapshot: SnapshotId::random(),
            volume: VolumeId::random(),
            name: "db@one".to_owned(),
            hook: "app".to_owned(),
            since: Timestamp::now(),
            wake,
            environment: vec![("BERTH_VOLUME".to_owned(), "db".to_owned())],
        };
        let argv = ["/bin/sh", "-c", "x 'y'\n"].map(ToOwned::to_owned).to_vec();
        let mut rows = vec![
            row(Wake::ByItself),
            row(Wake::Command { argv, timeout: Duration::from_secs(30) }),
            row(Wake::Unpause { containers: BTreeSet::from(["ab".repeat(32)]) }),
        ];
        for row in &rows {
            put_quiesced(&transaction, row).expect("written");
        }
        rows.sort_by_key(|row| row.snapshot.to_string());
        let mut read = load_quiesced(&connection).expect("read");
        read.sort_by_key(|row| row.snapshot.to_string());
        assert_eq!(read, rows);
        delete_quiesced(&transaction, rows[0].snapshot).expect("deleted");
        // Another's command under this seal is not run.
        let changed = "UPDATE quiesced SET body = replace(body, 'app', 'all')";
        connection.execute_batch(changed).expect("damaged");
        assert_eq!(load_quiesced(&connection).expect("read"), []);
    }
}
