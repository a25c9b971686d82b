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
