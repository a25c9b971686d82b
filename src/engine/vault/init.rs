//! Making repositories.

use std::sync::Arc;

use berth_api::{Op, Result};

use super::{Repository, repository::CALL};
use crate::{engine::Engine, view::RepositoryView};

impl Engine {
    /// Makes an empty repository; its key file too, if there is none.
    ///
    /// # Errors
    /// `NotFound` if it is not configured; `Conflict` if there is one already;
    /// `Invalid` if others may read the key file; `Unavailable`.
    pub async fn init_repository(&self, name: Option<&str>) -> Result<RepositoryView> {
        self.writable()?;
        let repository = self.repositories.chosen(name)?;
        let own = repository.clone();
        repository.in_time(Op::new(CALL), move |op| own.make(op)).await?;
        self.repository(Some(&repository.name)).await
    }

    /// Makes sure that the repository is there and can be opened. The built-in one is
    /// made by that; what to know of it is the answer then.
    ///
    /// # Errors
    /// As [`Repository::call`].
    pub(super) async fn at_hand(&self, repository: &Arc<Repository>) -> Result<Option<String>> {
        let mut note = None;
        if repository.config.builtin && !repository.exists().await? {
            let own = repository.clone();
            let made = repository.in_time(Op::new(CALL), move |op| own.make(op)).await;
            match made {
                Ok(()) => note = Some(advice(repository)),
                // Somebody else was faster.
                Err(error) if error.kind() == berth_api::ErrorKind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        repository.call(Op::new(CALL), |_, _| Ok(())).await?;
        Ok(note)
    }
}

/// What whoever makes a repository has to know.
fn advice(repository: &Repository) -> String {
    format!(
        "repository `{name}` was made; its key is in `{key}`: copy that file to another place, \
         without it the backups are worthless, then say `berth repository key {name} --confirm`",
        name = repository.name,
        key = repository.config.password_file.display(),
    )
}
