//! Backups over all repositories: listing them, and finding one by its first digits.

use std::sync::Arc;

use berth_api::{Bytes, Error, ErrorKind, Op, Result};
use berth_vault::Backup;

use super::{Repository, repository::LOOK, verbs};
use crate::{
    engine::Engine,
    view::{BackupView, Backups, ErrorBody},
};

/// How many digits name a backup at least.
const SHORTEST: usize = 4;

/// What was found in the repositories that answered, and what the others said.
#[derive(Debug, Default)]
pub(in crate::engine) struct Listing {
    /// Oldest first.
    pub(in crate::engine) backups: Vec<(Arc<Repository>, Backup)>,
    /// By repositories that could not be listed.
    pub(in crate::engine) errors: Vec<Error>,
}

impl Engine {
    /// The backups of a volume, by its name then, or of all; in one repository or in
    /// all. What goes wrong with one repository is part of the answer.
    ///
    /// # Errors
    /// `NotFound` if there is no such repository.
    pub async fn backups(&self, volume: Option<&str>, repository: Option<&str>) -> Result<Backups> {
        let listing = self.listing_of_backups(repository).await?;
        let wanted =
            |backup: &Backup| volume.is_none_or(|volume| backup.label.volume.as_str() == volume);
        Ok(Backups {
            backups: listing
                .backups
                .iter()
                .filter(|(_, backup)| wanted(backup))
                .map(|(repository, backup)| view(repository, backup))
                .collect(),
            errors: listing.errors.iter().map(|error| ErrorBody::from(error).error).collect(),
        })
    }

    /// One backup, by the first digits of its id.
    ///
    /// # Errors
    /// As [`find_backup`](Self::find_backup).
    pub async fn backup(&self, id: &str, repository: Option<&str>) -> Result<BackupView> {
        let (repository, backup) = self.find_backup(id, repository).await?;
        Ok(view(&repository, &backup))
    }

    /// The one backup whose id begins so.
    ///
    /// # Errors
    /// `Invalid` if several do, or it is no beginning of an id; `NotFound`;
    /// `Unavailable` if it may be in a repository that does not answer.
    pub(in crate::engine) async fn find_backup(
        &self,
        id: &str,
        repository: Option<&str>,
    ) -> Result<(Arc<Repository>, Backup)> {
        check(id)?;
        self.listing_of_backups(repository).await?.find(id)
    }

    /// Asks the repositories, side by side.
    ///
    /// # Errors
    /// `NotFound` if there is no such repository.
    pub(in crate::engine) async fn listing_of_backups(
        &self,
        repository: Option<&str>,
    ) -> Result<Listing> {
        let named = repository.is_some();
        let asked: Vec<_> = self
            .repositories
            .some(repository)?
            .into_iter()
            .map(|repository| {
                let own = repository.clone();
                (repository, tokio::spawn(async move { all_in(&own).await }))
            })
            .collect();
        let mut listing = Listing::default();
        for (repository, answer) in asked {
            let answer = answer.await.unwrap_or_else(|error| {
                Err(Error::internal("list a repository").with_source(error))
            });
            match answer {
                Ok((backups, unreadable)) => {
                    listing.errors.extend(unreadable);
                    let backups = backups.into_iter().map(|backup| (repository.clone(), backup));
                    listing.backups.extend(backups);
                }
                // Nobody made it, and nobody asked for it.
                Err(error) if error.kind() == ErrorKind::NotFound && !named => {
                    tracing::debug!(repository = repository.name, "there is none");
                }
                Err(error) => {
                    tracing::info!(
                        repository = repository.name,
                        error = error.chain(),
                        "list its backups"
                    );
                    listing.errors.push(error);
                }
            }
        }
        listing.backups.sort_by_key(|(_, backup)| (backup.created, backup.id));
        Ok(listing)
    }
}

impl Listing {
    /// The one backup whose id begins so.
    ///
    /// # Errors
    /// As [`Engine::find_backup`].
    pub(in crate::engine) fn find(&self, id: &str) -> Result<(Arc<Repository>, Backup)> {
        check(id)?;
        let begins = |backup: &Backup| backup.id.to_string().starts_with(id);
        let mut found = self.backups.iter().filter(|(_, backup)| begins(backup));
        match (found.next(), found.next(), self.errors.first()) {
            (Some(found), None, _) => Ok(found.clone()),
            (Some(_), Some(_), _) => {
                Err(Error::invalid(format!("several backups begin with `{id}`"))
                    .with_hint("write more digits; `berth backup ls --json` shows all"))
            }
            (None, _, Some(error)) => Err(Error::unavailable(format!(
                "no backup `{id}` in the repositories that answer: {}",
                error.chain()
            ))
            .with_hint("`berth doctor` looks at the repositories")),
            (None, _, None) => Err(Error::not_found(format!("no such backup: `{id}`"))
                .with_hint("`berth backup ls` lists them")),
        }
    }
}

async fn all_in(repository: &Arc<Repository>) -> Result<(Vec<Backup>, Vec<Error>)> {
    repository.call(Op::new(LOOK), verbs::backups).await
}

/// Refuses what is no beginning of an id.
fn check(id: &str) -> Result<()> {
    let digits = id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if digits && (SHORTEST..=64).contains(&id.len()) {
        return Ok(());
    }
    let shown: String = id.chars().take(70).collect();
    Err(Error::invalid(format!("`{}` is no backup's id", shown.escape_debug()))
        .with_hint("write at least 4 of its digits; `berth backup ls` shows them"))
}

fn view(repository: &Repository, backup: &Backup) -> BackupView {
    let label = &backup.label;
    BackupView {
        id: backup.id.to_string(),
        volume: label.volume.to_string(),
        volume_id: label.volume_id,
        snapshot: label.snapshot.as_ref().map(ToString::to_string),
        repository: repository.name.clone(),
        created: backup.created,
        consistency: label.consistency,
        mode: label.mode.as_str().to_owned(),
        bytes_read: Bytes(label.bytes_read),
        bytes_added: Bytes(backup.bytes_added),
        size: Bytes(backup.size),
        files: backup.files,
        host: label.host.clone(),
        host_id: label.host_id.clone(),
        pool: label.pool.clone(),
    }
}
