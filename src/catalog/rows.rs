//! Records as rows.

use std::collections::BTreeMap;

use berth_api::{PoolId, Result, checksum::seal};
use rusqlite::{Connection, params};

use super::Record;
use crate::database::{Transaction, from_sqlite};

/// Everything the catalog holds, as read once at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// All sound records.
    pub records: Vec<Record>,
    /// The ids of damaged rows: the key of the row, which may itself be damaged.
    pub damaged: Vec<String>,
    /// The identities of pools seen so far, by name.
    pub pools: BTreeMap<String, PoolId>,
}

/// Reads all rows.
pub fn load(connection: &Connection) -> Result<Loaded> {
    read(connection).map_err(|source| from_sqlite(source, "read the catalog"))
}

fn read(connection: &Connection) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut volumes = connection.prepare("SELECT id, name, live, body, seal FROM volumes")?;
    let mut rows = volumes.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0).unwrap_or_default();
        match record(row) {
            Some(record) => loaded.records.push(record),
            None => loaded.damaged.push(id),
        }
    }
    let mut pools = connection.prepare("SELECT name, body, seal FROM pools")?;
    let mut rows = pools.query([])?;
    while let Some(row) = rows.next()? {
        let (name, body, sum): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        // A damaged identity is learnt again from the pool itself, which must
        // then be this host's.
        match body.parse() {
            Ok(id) if seal(&[name.as_bytes(), body.as_bytes()]) == sum => {
                loaded.pools.insert(name, id);
            }
            _ => tracing::error!(pool = name, "damaged pool row in `berth.db`"),
        }
    }
    Ok(loaded)
}

fn record(row: &rusqlite::Row<'_>) -> Option<Record> {
    let id: String = row.get(0).ok()?;
    let name: String = row.get(1).ok()?;
    let live: bool = row.get(2).ok()?;
    let body: String = row.get(3).ok()?;
    let sum: String = row.get(4).ok()?;
    if seal_of(&id, &name, live, &body) != sum {
        return None;
    }
    let record: Record = serde_json::from_str(&body).ok()?;
    (record.id.to_string() == id).then_some(record)
}

fn seal_of(id: &str, name: &str, live: bool, body: &str) -> String {
    seal(&[id.as_bytes(), name.as_bytes(), &[u8::from(live)], body.as_bytes()])
}

/// Writes a record, whether it is new or not.
pub fn put_volume(transaction: &Transaction<'_>, record: &Record) -> rusqlite::Result<()> {
    let body = serde_json::to_string(record).expect("a record is plain JSON");
    let (id, name, live) = (record.id.to_string(), record.name.as_str(), record.state.is_live());
    let sum = seal_of(&id, name, live, &body);
    transaction
        .0
        .prepare_cached(
            "INSERT INTO volumes (id, name, live, body, seal) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, live = excluded.live, body = excluded.body, seal = excluded.seal",
        )?
        .execute(params![id, name, live, body, sum])
        .map(drop)
}

/// Deletes a record: the volume is gone. `id` is text, since that of a damaged
/// row may be no id.
pub fn delete_volume(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    transaction.0.prepare_cached("DELETE FROM volumes WHERE id = ?1")?.execute([id]).map(drop)
}

/// Remembers which pool a name stands for.
pub fn put_pool(transaction: &Transaction<'_>, name: &str, pool: PoolId) -> rusqlite::Result<()> {
    let body = pool.to_string();
    let sum = seal(&[name.as_bytes(), body.as_bytes()]);
    transaction
        .0
        .prepare_cached("INSERT OR REPLACE INTO pools (name, body, seal) VALUES (?1, ?2, ?3)")?
        .execute([name, &body, &sum])
        .map(drop)
}
