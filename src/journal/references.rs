//! One row per (volume, client, mount ID): how often it is mounted.

use berth_api::{Result, VolumeId, checksum::seal};
use rusqlite::{Connection, params};

use crate::database::{Transaction, from_sqlite};

/// Who asks. References are counted per client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Client {
    /// The Engine, through the plugin socket.
    Docker,
    /// The command line, through the control socket.
    Command,
}

/// Whose reference it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Who mounted.
    pub client: Client,
    /// Under which ID.
    pub id: String,
}

/// A counted reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// How many mounts have not been taken back; at least 1.
    pub count: u64,
    /// In which epoch it was last mounted.
    pub epoch: u64,
}

impl Client {
    fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Command => "command",
        }
    }
}

/// Reads the references of this boot; those of other boots are void. Damaged
/// rows are passed over: the kernel's evidence still protects what is in use.
pub fn load_references(
    connection: &Connection,
    boot: &str,
) -> Result<Vec<(VolumeId, Key, Reference)>> {
    read(connection, boot).map_err(|source| from_sqlite(source, "read the journal"))
}

fn read(connection: &Connection, boot: &str) -> rusqlite::Result<Vec<(VolumeId, Key, Reference)>> {
    let mut found = Vec::new();
    let mut statement =
        connection.prepare("SELECT volume, client, id, count, epoch, boot, seal FROM refs")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let sound = || {
            let (volume, client): (String, String) = (row.get(0).ok()?, row.get(1).ok()?);
            let id: String = row.get(2).ok()?;
            let (count, epoch): (u64, u64) = (row.get(3).ok()?, row.get(4).ok()?);
            let (of_boot, sum): (String, String) = (row.get(5).ok()?, row.get(6).ok()?);
            if seal_of(&volume, &client, &id, count, epoch, &of_boot) != sum {
                return None;
            }
            let client = [Client::Docker, Client::Command]
                .into_iter()
                .find(|known| known.as_str() == client)?;
            let reference = (volume.parse().ok()?, Key { client, id }, Reference { count, epoch });
            Some((of_boot == boot).then_some(reference))
        };
        if let Some(reference) = sound() {
            found.extend(reference);
        } else {
            tracing::error!("damaged reference row in `berth.db`");
        }
    }
    Ok(found)
}

fn seal_of(volume: &str, client: &str, id: &str, count: u64, epoch: u64, boot: &str) -> String {
    seal(&[
        volume.as_bytes(),
        client.as_bytes(),
        id.as_bytes(),
        &count.to_le_bytes(),
        &epoch.to_le_bytes(),
        boot.as_bytes(),
    ])
}

/// Writes one reference.
pub fn put_reference(
    transaction: &Transaction<'_>,
    volume: VolumeId,
    key: &Key,
    reference: Reference,
    boot: &str,
) -> rusqlite::Result<()> {
    let (volume, client) = (volume.to_string(), key.client.as_str());
    let Reference { count, epoch } = reference;
    let sum = seal_of(&volume, client, &key.id, count, epoch, boot);
    transaction
        .0
        .prepare_cached(
            "INSERT OR REPLACE INTO refs (volume, client, id, count, epoch, boot, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![volume, client, key.id, count, epoch, boot, sum])
        .map(drop)
}

/// Deletes one reference.
pub fn delete_reference(
    transaction: &Transaction<'_>,
    volume: VolumeId,
    key: &Key,
) -> rusqlite::Result<()> {
    transaction
        .0
        .prepare_cached("DELETE FROM refs WHERE volume = ?1 AND client = ?2 AND id = ?3")?
        .execute(params![volume.to_string(), key.client.as_str(), key.id])
        .map(drop)
}

/// Deletes all references of a volume.
pub fn delete_references_of(
    transaction: &Transaction<'_>,
    volume: VolumeId,
) -> rusqlite::Result<()> {
    transaction
        .0
        .prepare_cached("DELETE FROM refs WHERE volume = ?1")?
        .execute([volume.to_string()])
        .map(drop)
}

/// Deletes every reference of another boot than `boot`.
pub fn void_references(transaction: &Transaction<'_>, boot: &str) -> rusqlite::Result<()> {
    transaction.0.prepare_cached("DELETE FROM refs WHERE boot <> ?1")?.execute([boot]).map(drop)
}
