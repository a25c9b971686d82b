//! Jobs as rows, so that `job ls` tells of those before a restart too.

use berth_api::{Result, checksum::seal};
use rusqlite::Connection;

use crate::{
    database::{Transaction, from_sqlite},
    view::JobView,
};

/// Reads all jobs; damaged rows are passed over.
pub fn load_jobs(connection: &Connection) -> Result<Vec<JobView>> {
    read(connection).map_err(|source| from_sqlite(source, "read the journal"))
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<JobView>> {
    let mut found = Vec::new();
    let mut statement = connection.prepare("SELECT id, body, seal FROM jobs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, body, sum): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match serde_json::from_str(&body) {
            Ok(job) if seal(&[id.as_bytes(), body.as_bytes()]) == sum => found.push(job),
            _ => tracing::error!(job = id, "damaged job row in `berth.db`"),
        }
    }
    Ok(found)
}

/// Writes one job.
pub fn put_job(transaction: &Transaction<'_>, job: &JobView) -> rusqlite::Result<()> {
    let body = serde_json::to_string(job).expect("a job is plain JSON");
    let sum = seal(&[job.id.as_bytes(), body.as_bytes()]);
    transaction
        .0
        .prepare_cached("INSERT OR REPLACE INTO jobs (id, body, seal) VALUES (?1, ?2, ?3)")?
        .execute([&job.id, &body, &sum])
        .map(drop)
}

/// Deletes one job.
pub fn delete_job(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    transaction.0.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([id]).map(drop)
}
