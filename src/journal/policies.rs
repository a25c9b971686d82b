//! What this host remembers of policies: for each volume, policy and kind of work what
//! was done, what failed, and what is still owed.
//!
//! A row is there from the moment that the policy was first seen on the volume, so that
//! nothing is made up for that was due before.

use berth_api::{PolicyName, Result, VolumeId, checksum::seal};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::database::{Transaction, from_sqlite};

/// What a policy has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Snapshots, in the pool.
    Snapshot,
    /// Backups, in a repository.
    Backup,
}

/// Whose work it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    /// The volume.
    pub volume: VolumeId,
    /// The policy.
    pub policy: PolicyName,
    /// What it has made of the volume.
    pub kind: Kind,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// The schedule as the file said it: by another one nothing was missed.
    pub schedule: String,
    /// Slots after this are due.
    pub since: Timestamp,
    /// The last slot that was done.
    #[serde(default)]
    pub done: Option<Timestamp>,
    /// When that was.
    #[serde(default)]
    pub finished: Option<Timestamp>,
    /// What came of it: `VOLUME@NAME`, or a backup's id.
    #[serde(default)]
    pub outcome: Option<String>,
    /// The slot that failed, while none was done since.
    #[serde(default)]
    pub failed: Option<Failed>,
    /// The slot after which what is not kept any more has yet to be removed.
    #[serde(default)]
    pub owes: Option<Timestamp>,
    /// Why that failed.
    #[serde(default)]
    pub unkept: Option<Failed>,
}

/// Something that failed and is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failed {
    /// For this slot.
    pub slot: Timestamp,
    /// Why, in one line.
    pub error: String,
    /// What helps.
    #[serde(default)]
    pub hint: Option<String>,
    /// Since when it fails.
    pub since: Timestamp,
    /// How often in a row, for this slot.
    pub times: u32,
    /// Not tried again before this.
    pub next: Timestamp,
}

impl Kind {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Backup => "backup",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Snapshot, Self::Backup].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl Standing {
    /// Of a task that is first seen at `since`.
    pub fn new(schedule: String, since: Timestamp) -> Self {
        Self {
            schedule,
            since,
            done: None,
            finished: None,
            outcome: None,
            failed: None,
            owes: None,
            unkept: None,
        }
    }
}

/// Reads all rows; damaged ones are passed over: their task is seen anew.
///
/// # Errors
/// As [`from_sqlite`].
pub fn load_policies(connection: &Connection) -> Result<Vec<(Task, Standing)>> {
    read(connection).map_err(|source| from_sqlite(source, "read the journal"))
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<(Task, Standing)>> {
    let mut found = Vec::new();
    let mut statement =
        connection.prepare("SELECT volume, policy, kind, body, seal FROM policies")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let texts: [String; 5] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        match parse(&texts) {
            Some(row) => found.push(row),
            None => {
                tracing::error!(volume = texts[0], policy = texts[1], "damaged row of a policy");
            }
        }
    }
    Ok(found)
}

fn parse([volume, policy, kind, body, sum]: &[String; 5]) -> Option<(Task, Standing)> {
    if seal_of(volume, policy, kind, body) != *sum {
        return None;
    }
    let task = Task {
        volume: volume.parse().ok()?,
        policy: policy.parse().ok()?,
        kind: Kind::parse(kind)?,
    };
    Some((task, serde_json::from_str(body).ok()?))
}

/// Writes what is known of a task.
pub fn put_policy(
    transaction: &Transaction<'_>,
    task: &Task,
    standing: &Standing,
) -> rusqlite::Result<()> {
    let (volume, policy) = (task.volume.to_string(), task.policy.to_string());
    let kind = task.kind.as_str();
    let body = serde_json::to_string(standing).expect("texts, times and numbers are plain JSON");
    let sum = seal_of(&volume, &policy, kind, &body);
    transaction
        .0
        .prepare_cached(
            "INSERT OR REPLACE INTO policies (volume, policy, kind, body, seal)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![volume, policy, kind, body, sum])
        .map(drop)
}

/// Forgets a task: the policy is not on the volume any more.
pub fn delete_policy(transaction: &Transaction<'_>, task: &Task) -> rusqlite::Result<()> {
    transaction
        .0
        .prepare_cached("DELETE FROM policies WHERE volume = ?1 AND policy = ?2 AND kind = ?3")?
        .execute(params![task.volume.to_string(), task.policy.to_string(), task.kind.as_str()])
        .map(drop)
}

/// Forgets all tasks of a volume that is gone.
pub fn delete_policies_of(transaction: &Transaction<'_>, volume: VolumeId) -> rusqlite::Result<()> {
    transaction
        .0
        .prepare_cached("DELETE FROM policies WHERE volume = ?1")?
        .execute([volume.to_string()])
        .map(drop)
}

fn seal_of(volume: &str, policy: &str, kind: &str, body: &str) -> String {
    let parts = ["policies", volume, policy, kind, body];
    seal(&parts.map(str::as_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(policy: &str, kind: Kind) -> Task {
        Task { volume: VolumeId::random(), policy: policy.parse().expect("a name"), kind }
    }

    #[test]
    fn rows_come_back_as_they_were_or_not_at_all() {
        let connection = Connection::open_in_memory().expect("a database");
        let table = "CREATE TABLE policies (volume TEXT, policy TEXT, kind TEXT, body TEXT,
                     seal TEXT, PRIMARY KEY (volume, policy, kind))";
        connection.execute_batch(table).expect("a table");
        let transaction = Transaction(&connection);
        let now = Timestamp::now();
        let mut standing = Standing::new("0 * * * *".to_owned(), now);
        standing.done = Some(now);
        standing.outcome = Some("db@a-1".to_owned());
        standing.failed = Some(Failed {
            slot: now,
            error: "no space".to_owned(),
            hint: None,
            since: now,
            times: 2,
            next: now,
        });
        // The name of one is the beginning of the other's.
        let (one, other) = (task("a", Kind::Snapshot), task("ab", Kind::Backup));
        put_policy(&transaction, &one, &Standing::new("@daily".to_owned(), now)).expect("written");
        put_policy(&transaction, &one, &standing).expect("written again");
        put_policy(&transaction, &other, &standing).expect("written");
        delete_policy(&transaction, &Task { kind: Kind::Snapshot, ..other.clone() })
            .expect("nothing to delete");
        let mut read = load_policies(&connection).expect("read");
        read.sort_by(|one, two| one.0.policy.cmp(&two.0.policy));
        assert_eq!(read, [(one.clone(), standing.clone()), (other.clone(), standing)]);
        delete_policy(&transaction, &one).expect("deleted");
        assert_eq!(load_policies(&connection).expect("read").len(), 1);
        connection.execute_batch("UPDATE policies SET policy = 'a'").expect("damaged");
        assert_eq!(load_policies(&connection).expect("read"), [], "another's word is not believed");
        delete_policies_of(&transaction, other.volume).expect("deleted");
        let left: i64 = connection
            .query_row("SELECT count(*) FROM policies", [], |row| row.get(0))
            .expect("a number");
        assert_eq!(left, 0);
    }
}
