//! What opens a repository: key files, each with the one master key under a password.
//!
//! A key is removed only after another one was seen to open the repository.

use berth_api::{Context as _, Error, Op, Result};
use berth_host::failpoint;
use jiff::Timestamp;

use crate::{
    format::{Id, KeyFile},
    lock::Lock,
    repository::{Password, Repository},
    store::Kind,
};

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: Id,
    /// When it was made.
    pub created: Timestamp,
    /// By whom.
    pub username: String,
    /// On which host.
    pub hostname: String,
    /// The repository was opened with it.
    pub current: bool,
}

/// All keys that can be read, oldest first.
///
/// # Errors
/// The store's.
pub fn list_keys(repository: &Repository, op: &Op) -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for found in repository.store().list(op, Kind::Key)? {
        let bytes = repository.store().read(op, Kind::Key, &found.id)?;
        let Ok(file) = serde_json::from_slice::<KeyFile>(&bytes) else {
            let (name, key) = (repository.name(), found.id.short());
            tracing::warn!(repository = name, key, "key file is damaged");
            continue;
        };
        keys.push(Key {
            id: found.id,
            created: file.created,
            username: file.username,
            hostname: file.hostname,
            current: found.id == repository.key_id(),
        });
    }
    keys.sort_by_key(|key| (key.created, key.id));
    Ok(keys)
}

/// Adds a key with that password, and says its id. Takes a second and 128 MiB.
///
/// # Errors
/// `Busy` while somebody removes something; `Corrupt` if what was written does not
/// open the repository.
pub fn add_key(repository: &Repository, op: &Op, password: &Password) -> Result<Id> {
    let lock = Lock::shared(op, repository)?;
    let id = add(repository, op, password)?;
    lock.release()?;
    Ok(id)
}

/// Removes a key. One that is not there is success.
///
/// # Errors
/// `Conflict` for the key in use and for the last one; `Busy` while anybody uses the
/// repository.
pub fn remove_key(repository: &Repository, op: &Op, id: &Id) -> Result<()> {
    let lock = Lock::exclusive(op, repository)?;
    let name = repository.name();
    if *id == repository.key_id() {
        return Err(Error::conflict(format!(
            "repository `{name}`: key {} is the one in use",
            id.short()
        ))
        .with_hint("add another, use it, and remove this one then"));
    }
    if !list_keys(repository, op)?.iter().any(|key| key.id != *id) {
        return Err(Error::conflict(format!(
            "repository `{name}`: key {} is the last one, and nothing would open it any more",
            id.short()
        )));
    }
    remove(repository, op, id)?;
    lock.release()
}

/// Puts a key with that password in the place of the one in use, and says its id. The
/// repository is to be opened anew with it.
///
/// # Errors
/// As [`add_key`]; then the old one is left.
pub fn change_password(repository: &Repository, op: &Op, password: &Password) -> Result<Id> {
    let lock = Lock::exclusive(op, repository)?;
    let id = add(repository, op, password)?;
    lock.check()?;
    remove(repository, op, &repository.key_id())?;
    lock.release()?;
    Ok(id)
}

fn add(repository: &Repository, op: &Op, password: &Password) -> Result<Id> {
    let what = || format!("add a key to repository `{}`", repository.name());
    if password.bytes().is_empty() {
        return Err(Error::invalid("a password is empty").context(what()));
    }
    let who = repository.who();
    let file = KeyFile::lock(repository.key(), password.bytes(), &who.username, &who.hostname)?;
    let text = serde_json::to_vec(&file).expect("a key file is plain JSON");
    let id = Id::of(&text);
    failpoint::hit("keys.key.write").context(what)?;
    repository.store().write(op, Kind::Key, &id, text.into()).context(what)?;
    // As it is there now, and not as it was meant.
    let bytes = repository.store().read(op, Kind::Key, &id).context(what)?;
    let read: KeyFile = serde_json::from_slice(&bytes)
        .map_err(|source| Error::corrupt(what()).with_source(source))?;
    let opened = read.unlock(password.bytes()).context(what)?;
    let same = opened.open(&repository.key().seal(b"key")?).is_ok_and(|text| text == b"key");
    if Id::of(&bytes) != id || !same {
        return Err(Error::corrupt(what()).with_source("it does not open the repository"));
    }
    Ok(id)
}

fn remove(repository: &Repository, op: &Op, id: &Id) -> Result<()> {
    let what = || format!("remove key {} of repository `{}`", id.short(), repository.name());
    failpoint::hit("keys.key.remove").context(what)?;
    repository.store().remove(op, Kind::Key, id).context(what)
}
