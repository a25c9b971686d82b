//! Who else holds a lock, and what is left of the dead.

use berth_api::{Error, ErrorKind, Op, Result};
use nix::{errno::Errno, sys::signal, unistd::Pid};

use super::{LockFile, own};
use crate::{format::Id, repository::Repository, store::Kind};

/// A lock that was not refreshed for so long is a dead one's, in seconds; restic's
/// number.
pub const STALE: i64 = 30 * 60;
/// A clock that is further ahead than this is worth a word, in seconds.
const SKEW: i64 = 60 * 60;
/// How often a lock is read that cannot be made out: it may be half written on stores
/// that show such files.
const TRIES: u32 = 4;

/// A lock of somebody.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its id.
    pub id: Id,
    /// What it says.
    pub file: LockFile,
    /// Whether its holder is provably gone.
    pub dead: bool,
}

/// All locks.
///
/// # Errors
/// `Busy` if one cannot be read: who holds it is not known then.
pub fn locks(op: &Op, repository: &Repository) -> Result<Vec<Held>> {
    let mut held = Vec::new();
    for found in repository.store().list(op, Kind::Lock)? {
        let Some(file) = read(op, repository, &found.id)? else { continue };
        let dead = is_dead(&found.id, &file, &repository.who().hostname);
        if file.age() < -SKEW {
            tracing::warn!(
                repository = repository.name(), host = %file.hostname, ahead_s = -file.age(),
                "the clock of a lock's holder is ahead of ours"
            );
        }
        held.push(Held { id: found.id, file, dead });
    }
    Ok(held)
}

/// Removes the locks of the dead, and refuses if one of somebody alive does not go
/// with ours.
pub(super) fn refuse(
    op: &Op,
    repository: &Repository,
    exclusive: bool,
    mine: Option<&Id>,
) -> Result<()> {
    for held in locks(op, repository)? {
        if mine == Some(&held.id) {
            continue;
        }
        if held.dead {
            tracing::info!(
                repository = repository.name(), lock = %held.id.short(), host = %held.file.hostname,
                pid = held.file.pid, age_s = held.file.age(), "remove the lock of a dead process"
            );
            repository.store().remove(op, Kind::Lock, &held.id)?;
        } else if exclusive || held.file.exclusive {
            return Err(in_the_way(&held));
        }
    }
    Ok(())
}

/// Refuses if somebody alive holds an exclusive lock; removes nothing.
pub(super) fn refuse_exclusive(op: &Op, repository: &Repository) -> Result<()> {
    let held = locks(op, repository)?;
    match held.into_iter().find(|held| held.file.exclusive && !held.dead) {
        Some(held) => Err(in_the_way(&held)),
        None => Ok(()),
    }
}

fn in_the_way(held: &Held) -> Error {
    Error::busy(held.file.holder()).with_hint(
        "wait until it has ended; a lock whose process is gone ends by itself: at once on the same \
         host, after 30 minutes on another",
    )
}

fn read(op: &Op, repository: &Repository, id: &Id) -> Result<Option<LockFile>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match repository.load::<LockFile>(op, Kind::Lock, id) {
            Ok(file) => return Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt && tries < TRIES => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let location = repository.store().location();
                return Err(Error::busy(format!("lock {} cannot be read", id.short()))
                    .with_source(error)
                    .with_hint(format!(
                        "if nobody uses the repository, remove `{location}/{}`",
                        Kind::Lock.path(id)
                    )));
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_dead(id: &Id, file: &LockFile, hostname: &str) -> bool {
    // A time in the future says nothing: such a lock is taken for fresh.
    if file.age() > STALE {
        return !own().contains(id);
    }
    if file.hostname != hostname {
        return false;
    }
    if file.pid == i64::from(std::process::id()) {
        return !own().contains(id);
    }
    let Ok(pid) = i32::try_from(file.pid) else { return false };
    // 0 and less are groups of processes.
    pid > 0 && signal::kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}
