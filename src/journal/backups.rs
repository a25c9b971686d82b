//! What this host remembers of backups: the last of each volume, and what was done
//! to each repository.
//!
//! The repository itself is the truth; this is for showing without asking it.

use berth_api::{Result, VolumeId, checksum::seal};
use jiff::Timestamp;
use rusqlite::Connection;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::database::{Transaction, from_sqlite};

/// The last backup of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastBackup {
    /// When the content was as it is there.
    pub created: Timestamp,
    /// The backup's id.
    pub id: String,
    /// The repository it is in.
    pub repository: String,
}

/// What is remembered of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Remembered {
    /// The repository's own id: of another one nothing of this holds.
    pub id: String,
    /// When the operator said that a copy of the key is elsewhere.
    #[serde(default)]
    pub key_confirmed: Option<Timestamp>,
    /// When it was last checked.
    #[serde(default)]
    pub checked: Option<Timestamp>,
    /// What that check found wrong.
    #[serde(default)]
    pub problems: u64,
    /// When it was last pruned.
    #[serde(default)]
    pub pruned: Option<Timestamp>,
    /// A policy removed backups since: what they alone needed is still there.
    #[serde(default)]
    pub forgotten: bool,
}

impl Remembered {
    /// Nothing yet, of the repository with this id.
    pub fn new(id: String) -> Self {
        Self { id, key_confirmed: None, checked: None, problems: 0, pruned: None, forgotten: false }
    }
}

/// Reads the last backup of each volume; damaged rows are passed over.
pub fn load_last_backups(connection: &Connection) -> Result<Vec<(VolumeId, LastBackup)>> {
    let rows = load(connection, "SELECT volume, body, seal FROM last_backups")?;
    Ok(rows.into_iter().filter_map(|(id, row)| Some((id.parse().ok()?, row))).collect())
}

/// Reads what is remembered of repositories, by name; damaged rows are passed over.
pub fn load_repositories(connection: &Connection) -> Result<Vec<(String, Remembered)>> {
    load(connection, "SELECT name, body, seal FROM repositories")
}

/// Writes the last backup of a volume.
pub fn put_last_backup(
    transaction: &Transaction<'_>,
    volume: VolumeId,
    last: &LastBackup,
) -> rusqlite::Result<()> {
    let text = "INSERT OR REPLACE INTO last_backups (volume, body, seal) VALUES (?1, ?2, ?3)";
    put(transaction, text, &volume.to_string(), last)
}

/// Forgets the last backup of a volume.
pub fn delete_last_backup(transaction: &Transaction<'_>, volume: VolumeId) -> rusqlite::Result<()> {
    transaction
        .0
        .prepare_cached("DELETE FROM last_backups WHERE volume = ?1")?
        .execute([volume.to_string()])
        .map(drop)
}

/// Writes what is remembered of a repository.
pub fn put_repository(
    transaction: &Transaction<'_>,
    name: &str,
    row: &Remembered,
) -> rusqlite::Result<()> {
    let text = "INSERT OR REPLACE INTO repositories (name, body, seal) VALUES (?1, ?2, ?3)";
    put(transaction, text, name, row)
}

fn load<T: DeserializeOwned>(connection: &Connection, text: &str) -> Result<Vec<(String, T)>> {
    read(connection, text).map_err(|source| from_sqlite(source, "read the journal"))
}

fn read<T: DeserializeOwned>(
    connection: &Connection,
    text: &str,
) -> rusqlite::Result<Vec<(String, T)>> {
    let mut found = Vec::new();
    let mut statement = connection.prepare(text)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, body, sum): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        match serde_json::from_str(&body) {
            Ok(value) if seal_of(&key, &body) == sum => found.push((key, value)),
            _ => tracing::error!(key, "damaged row of backups in `berth.db`"),
        }
    }
    Ok(found)
}

fn put<T: Serialize>(
    transaction: &Transaction<'_>,
    text: &str,
    key: &str,
    value: &T,
) -> rusqlite::Result<()> {
    let body = serde_json::to_string(value).expect("texts, times and numbers are plain JSON");
    let sum = seal_of(key, &body);
    transaction.0.prepare_cached(text)?.execute([key, &body, &sum]).map(drop)
}

fn seal_of(key: &str, body: &str) -> String {
    seal(&[b"backups", key.as_bytes(), body.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_or_not_at_all() {
        let connection = Connection::open_in_memory().expect("a database");
        let tables = "CREATE TABLE last_backups (volume TEXT PRIMARY KEY, body TEXT, seal TEXT);
                      CREATE TABLE repositories (name TEXT PRIMARY KEY, body TEXT, seal TEXT)";
        connection.execute_batch(tables).expect("tables");
        let transaction = Transaction(&connection);
        let (volume, other) = (VolumeId::random(), VolumeId::random());
        let last = LastBackup {
            created: Timestamp::now(),
            id: "ab".repeat(32),
            repository: "default".to_owned(),
        };
        put_last_backup(&transaction, volume, &last).expect("written");
        put_last_backup(&transaction, other, &last).expect("written");
        delete_last_backup(&transaction, other).expect("deleted");
        assert_eq!(load_last_backups(&connection).expect("read"), [(volume, last)]);
        let mut row = Remembered::new("cd".repeat(32));
        row.key_confirmed = Some(Timestamp::now());
        put_repository(&transaction, "default", &row).expect("written");
        assert_eq!(load_repositories(&connection).expect("read"), [("default".to_owned(), row)]);
        let damage = "UPDATE last_backups SET body = replace(body, 'default', 'another');
                      UPDATE repositories SET name = 'another'";
        connection.execute_batch(damage).expect("damaged");
        assert_eq!(load_last_backups(&connection).expect("read"), []);
        assert_eq!(load_repositories(&connection).expect("read"), []);
    }
}
