//! The keys of a repository.

use std::path::PathBuf;

use berth_api::{Error, Op, Result};
use berth_vault::Password;

use super::{repository::CALL, verbs};
use crate::{
    engine::Engine,
    view::{KeyView, RepositoryView},
};

impl Engine {
    /// The keys that open a repository.
    ///
    /// # Errors
    /// As [`Repository::call`](super::Repository::call).
    pub async fn keys(&self, name: Option<&str>) -> Result<Vec<KeyView>> {
        let repository = self.repositories.chosen(name)?;
        repository.call(Op::new(CALL), verbs::keys).await
    }

    /// Lets the first line of a file on this host open the repository, too.
    ///
    /// # Errors
    /// `Invalid` if others may read the file.
    pub async fn add_key(&self, name: Option<&str>, file: PathBuf) -> Result<Vec<KeyView>> {
        self.writable()?;
        if !file.is_absolute() {
            let text = format!("`{}` is not an absolute path", file.display());
            return Err(Error::invalid(text));
        }
        let repository = self.repositories.chosen(name)?;
        repository
            .call(Op::new(CALL), move |open, op| {
                let password = Password::from_file(&file)?;
                verbs::add_key(open, op, &password)?;
                verbs::keys(open, op)
            })
            .await
    }

    /// Takes a key away, by the first digits of its id.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` if several begin so; `Conflict` if it is the one that
    /// this host uses.
    pub async fn remove_key(&self, name: Option<&str>, id: String) -> Result<Vec<KeyView>> {
        self.writable()?;
        let repository = self.repositories.chosen(name)?;
        repository
            .call(Op::new(CALL), move |open, op| {
                let keys = verbs::keys(open, op)?;
                let mut found = keys.iter().filter(|key| key.id.starts_with(&id));
                let key = match (found.next(), found.next()) {
                    (Some(key), None) if !id.is_empty() => key,
                    (Some(_), _) => {
                        return Err(Error::invalid(format!("several keys begin with `{id}`"))
                            .with_hint("write more digits"));
                    }
                    (None, _) => {
                        let shown: String = id.chars().take(70).collect();
                        let text = format!("no such key: `{}`", shown.escape_debug());
                        return Err(
                            Error::not_found(text).with_hint("`berth repository key` lists them")
                        );
                    }
                };
                if key.current {
                    return Err(Error::conflict("this host opens the repository with that key")
                        .with_hint("add another, name its file in the configuration, restart"));
                }
                verbs::remove_key(open, op, &key.id)?;
                verbs::keys(open, op)
            })
            .await
    }

    /// Believes the operator that a copy of the key is elsewhere.
    ///
    /// # Errors
    /// As [`Repository::call`](super::Repository::call).
    pub async fn confirm_key(&self, name: Option<&str>) -> Result<RepositoryView> {
        self.writable()?;
        let repository = self.repositories.chosen(name)?;
        // Of which repository: that is known by opening it.
        repository.call(Op::new(CALL), |_, _| Ok(())).await?;
        repository.confirm_key().await?;
        tracing::info!(repository = repository.name, "a copy of the key is elsewhere");
        self.repository(Some(&repository.name)).await
    }
}
