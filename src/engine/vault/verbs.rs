//! The calls into the vault and for content: the only place that names them, and
//! that says in words what they found.

use std::{fs::File, io::Read as _, os::fd::OwnedFd};

use berth_api::{Backend, Bytes, Content, Context as _, Error, Handle, Op, Result, VolumeId};
use berth_host::beneath::{Dir, copy::Origins};
use berth_vault::{
    Backup, Id, Password, Reading, Repository,
    backup::{Request, tree},
    check, copy, forget, keys, listing, prune, verify,
};

use crate::view::KeyView;

/// What is said of a repository that took no lock.
const UNLOCKED: &str = "; it takes no lock, and was read without";
/// How many things that are wrong one message names.
const NAMED: usize = 10;

/// Where the content of a volume or snapshot can be read.
pub(super) fn content(
    backend: &dyn Backend,
    op: &Op,
    volume: &Handle,
    snapshot: Option<&Handle>,
) -> Result<Content> {
    backend.content(op, volume, snapshot)
}

/// Writes a backup of `content`, which others may write to if it is `live`.
pub(super) fn back_up(
    repository: &Repository,
    op: &Op,
    request: &Request,
    content: Content,
    live: bool,
    volume: VolumeId,
) -> Result<Backup> {
    let Content::Directory { data, origins } = content else {
        return Err(Error::unsupported("backups of volumes on block devices are not built"));
    };
    let data = Dir::from_fd(data).context(|| "open the content")?;
    let origins = origins.map(read_origins);
    tree::back_up(repository, op, request, &tree::TreeSource { data: &data, origins, live, volume })
}

/// What tells unchanged files. Where that is damaged all of them are read.
fn read_origins(file: OwnedFd) -> Origins {
    let mut bytes = Vec::new();
    let read = File::from(file).read_to_end(&mut bytes).context(|| "read `origins`");
    read.and_then(|_| Origins::from_bytes(&bytes)).unwrap_or_else(|error| {
        tracing::warn!(error = %error.chain(), "every file is read");
        Origins::default()
    })
}

/// All backups, and an error for each snapshot that cannot be read.
pub(in crate::engine) fn backups(
    repository: &Repository,
    op: &Op,
) -> Result<(Vec<Backup>, Vec<Error>)> {
    let found = listing::backups(repository, op)?;
    let name = repository.name();
    let unreadable = found.unreadable.into_iter().map(|(id, error)| {
        error
            .context(format!("repository `{name}`: snapshot {}", id.short()))
            .with_hint(format!("`berth repository check {name}` looks at the whole of it"))
    });
    Ok((found.backups, unreadable.collect()))
}

/// Removes backups; what they alone needed stays until a prune.
pub(in crate::engine) fn forget(repository: &Repository, op: &Op, ids: &[Id]) -> Result<()> {
    forget::forget(repository, op, ids)
}

/// Reads and checks all data of backups.
///
/// # Errors
/// `Corrupt` names those that are hurt.
pub(super) fn verify(repository: &Repository, op: &Op, ids: &[Id]) -> Result<()> {
    let reading = Reading::begin(op, repository)?;
    let verdict = reading.end(verify::verify(repository, op, ids))?;
    let hurt = verdict.backups.iter().filter(|backup| !backup.damaged.is_empty());
    let hurt: Vec<_> = hurt
        .map(|backup| {
            let damage = backup.damaged.iter().map(|one| format!("{}: {}", one.what, one.why));
            format!("backup {}: {}", backup.id.short(), some(damage.collect(), backup.more))
        })
        .collect();
    if hurt.is_empty() {
        return Ok(());
    }
    Err(Error::corrupt(format!("repository `{}`: {}", repository.name(), some(hurt, 0)))
        .with_hint("back the volumes up again: what is missing is stored anew"))
}

/// What a check found.
#[derive(Debug)]
pub(super) struct Checked {
    /// In words.
    pub(super) text: String,
    /// How much is wrong.
    pub(super) problems: u64,
    /// What helps then.
    pub(super) hint: Option<String>,
}

/// Checks the whole repository.
pub(super) fn check(repository: &Repository, op: &Op, read_data: bool) -> Result<Checked> {
    let reading = Reading::begin(op, repository)?;
    let unlocked = if reading.is_locked() { "" } else { UNLOCKED };
    let found = reading.end(check::check(repository, op, read_data))?;
    let (packs, snapshots) = (found.packs, found.snapshots);
    if found.is_whole() {
        let read = if read_data { ", all of it read" } else { "" };
        let size = Bytes(found.bytes);
        let text = format!("{snapshots} snapshots, {packs} packs, {size}{read}{unlocked}");
        return Ok(Checked { text, problems: 0, hint: None });
    }
    let hurt: Vec<_> = found
        .hurt
        .iter()
        .map(|hurt| match &hurt.volume {
            Some(volume) => format!("{} of `{volume}`", hurt.id.short()),
            None => hurt.id.short(),
        })
        .collect();
    let problems = (found.errors.len() as u64 + found.more).max(1);
    let hint = found.errors.first().map(|error| error.hint.clone());
    let wrong = found.errors.into_iter().map(|error| error.what).collect();
    let mut text = format!("repository `{}`: {}", repository.name(), some(wrong, found.more));
    if !hurt.is_empty() {
        text = format!("{text}; backups that are hurt: {}", some(hurt, 0));
    }
    Ok(Checked { text, problems, hint })
}

/// Frees what no backup needs, and says how much.
pub(super) fn prune(repository: &Repository, op: &Op, dry_run: bool) -> Result<String> {
    let pruned = prune::prune(repository, op, dry_run)?;
    let words = if dry_run { "would be freed" } else { "freed" };
    Ok(format!(
        "{} {words}: {} packs, {} of them written anew",
        Bytes(pruned.bytes_freed),
        pruned.packs_removed,
        pruned.packs_rewritten
    ))
}

/// Copies backups, and says how many.
pub(super) fn copy(
    repository: &Repository,
    to: &Repository,
    op: &Op,
    ids: &[Id],
) -> Result<String> {
    let copied = copy::copy(repository, to, op, ids)?;
    Ok(format!(
        "{} copied to `{}`, {} were there already",
        copied.snapshots.len(),
        to.name(),
        copied.skipped.len()
    ))
}

/// The keys.
pub(super) fn keys(repository: &Repository, op: &Op) -> Result<Vec<KeyView>> {
    let keys = keys::list_keys(repository, op)?.into_iter().map(|key| KeyView {
        id: key.id.to_string(),
        current: key.current,
        username: key.username,
        hostname: key.hostname,
        created: key.created,
    });
    Ok(keys.collect())
}

/// Adds a key.
pub(super) fn add_key(repository: &Repository, op: &Op, password: &Password) -> Result<()> {
    keys::add_key(repository, op, password).map(drop)
}

/// Takes a key away.
pub(super) fn remove_key(repository: &Repository, op: &Op, id: &str) -> Result<()> {
    keys::remove_key(repository, op, &id.parse()?)
}

/// The first of them, and how many there are besides.
fn some(mut texts: Vec<String>, more: u64) -> String {
    let more = more + texts.len().saturating_sub(NAMED) as u64;
    texts.truncate(NAMED);
    let text = texts.join("; ");
    if more == 0 { text } else { format!("{text}; and {more} more") }
}
