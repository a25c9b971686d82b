//! What users see of repositories.

use std::sync::Arc;

use berth_api::{Bytes, ErrorKind, Op, Result};
use berth_vault::store::Kind;

use super::{
    Repository,
    repository::{CALL, LOOK},
    verbs,
};
use crate::{engine::Engine, view::RepositoryView};

/// What one look at an open repository tells.
struct Seen {
    id: String,
    keys: u64,
    backups: u64,
    size: Option<Bytes>,
}

impl Engine {
    /// All repositories, by name. One that does not answer says so, and holds up
    /// nobody else's answer for long.
    pub async fn repositories(&self) -> Vec<RepositoryView> {
        let looks: Vec<_> = self
            .repositories
            .all()
            .cloned()
            .map(|repository| {
                (repository.clone(), tokio::spawn(async move { look(&repository, false).await }))
            })
            .collect();
        let mut views = Vec::new();
        for (repository, look) in looks {
            let seen = look.await.unwrap_or_else(|error| {
                Err(berth_api::Error::internal("look at a repository").with_source(error))
            });
            views.push(self.repository_view(&repository, seen));
        }
        views
    }

    /// One repository, with what its packs take.
    ///
    /// # Errors
    /// `NotFound` if it is not configured.
    pub async fn repository(&self, name: Option<&str>) -> Result<RepositoryView> {
        let repository = self.repositories.chosen(name)?;
        let seen = look(repository, true).await;
        Ok(self.repository_view(repository, seen))
    }

    fn repository_view(&self, repository: &Repository, seen: Result<Seen>) -> RepositoryView {
        let remembered = repository.remembered();
        let (state, reason, seen) = match seen {
            Ok(seen) => ("ready", None, Some(seen)),
            Err(error) if error.kind() == ErrorKind::NotFound => ("uninitialised", None, None),
            Err(error) => ("unavailable", Some(error.chain()), None),
        };
        let known = || remembered.as_ref().map(|row| row.id.clone());
        RepositoryView {
            name: repository.name.clone(),
            default: self
                .repositories
                .chosen(None)
                .is_ok_and(|usual| usual.name == repository.name),
            location: repository.location(),
            state: state.to_owned(),
            reason,
            id: seen.as_ref().map(|seen| seen.id.clone()).or_else(known),
            key_file: repository.config.password_file.display().to_string(),
            key_confirmed: remembered.as_ref().and_then(|row| row.key_confirmed),
            keys: seen.as_ref().map(|seen| seen.keys),
            backups: seen.as_ref().map(|seen| seen.backups),
            size: seen.and_then(|seen| seen.size),
            checked: remembered.as_ref().and_then(|row| row.checked),
            problems: remembered.as_ref().and_then(|row| row.checked.map(|_| row.problems)),
            pruned: remembered.and_then(|row| row.pruned),
        }
    }
}

async fn look(repository: &Arc<Repository>, closely: bool) -> Result<Seen> {
    repository
        .call(Op::new(if closely { CALL } else { LOOK }), move |open, op| {
            let packs = || open.store().list(op, Kind::Pack);
            let total = |packs: Vec<berth_vault::store::FileInfo>| {
                Bytes(packs.iter().map(|pack| pack.size).sum())
            };
            Ok(Seen {
                id: open.config().id.to_string(),
                keys: open.store().list(op, Kind::Key)?.len() as u64,
                backups: verbs::backups(open, op)?.0.len() as u64,
                size: if closely { Some(total(packs()?)) } else { None },
            })
        })
        .await
}
