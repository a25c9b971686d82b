//! Backups: what can be done with repositories and what is in them.
//!
//! The vault (`berth-vault`) knows repositories and is blocking; this module knows
//! volumes, records and jobs, and calls it on threads of the repository.
//!
//! | module | noun or verb |
//! |---|---|
//! | `repository` | one configured repository: threads, opening, what is remembered |
//! | `verbs` | the calls into the vault, each on one line |
//! | `init` `show` `keys` `maintain` | verbs on repositories |
//! | `create` `source` `temporary` | a backup of a volume, and what it is made from |
//! | `list` `remove` `verify` | verbs on backups |
//! | `last` | the last backup of each volume |
//! | `doctor` | what is wrong |
//!
//! Invariants:
//! - Nothing is opened at the start: a dead endpoint does not delay it.
//! - A temporary snapshot goes with its backup, whatever becomes of both.

mod create;
mod doctor;
mod init;
mod keys;
mod last;
mod list;
mod maintain;
mod remove;
mod repository;
mod show;
mod source;
mod temporary;
mod verbs;
mod verify;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth_api::{Error, Result, options::nearest};
use berth_vault::repository::Who;

pub(super) use create::Order as BackupOrder;
pub(super) use list::Listing;
pub(super) use repository::Repository;
pub(super) use verbs::{backups as backups_in, forget};

use crate::{config::RepositoryConfig, database::Writer, journal::Remembered};

/// The repository of backups that name none.
const DEFAULT: &str = "default";

/// What a listing may take that nobody waits for.
pub(super) const LISTING: Duration = Duration::from_secs(10 * 60);
/// What removing backups may take that nobody waits for.
pub(super) const FORGETTING: Duration = Duration::from_secs(10 * 60);

/// The kinds of jobs on repositories.
pub(super) const BACKUP: &str = "backup";
const VERIFY: &str = "verify";
const CHECK: &str = "check";
const PRUNE: &str = "prune";
const COPY: &str = "copy";

/// All configured repositories.
#[derive(Debug)]
pub(super) struct Repositories(BTreeMap<String, Arc<Repository>>);

impl Repositories {
    /// None of them is opened.
    pub(super) fn new(
        configured: &BTreeMap<String, RepositoryConfig>,
        host: &str,
        writer: &Writer,
        remembered: Vec<(String, Remembered)>,
    ) -> Self {
        let mut remembered: BTreeMap<_, _> = remembered.into_iter().collect();
        let who = Who::here(host);
        let all = configured.iter().map(|(name, config)| {
            let row = remembered.remove(name);
            let repository =
                Repository::new(name, config.clone(), who.clone(), writer.clone(), row);
            (name.clone(), Arc::new(repository))
        });
        Self(all.collect())
    }

    /// All of them, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Repository>> {
        self.0.values()
    }

    /// The one of that name.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn find(&self, name: &str) -> Result<&Arc<Repository>> {
        self.0.get(name).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let error = Error::not_found(format!("no such repository: `{}`", shown.escape_debug()));
            match nearest(name, self.0.keys().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean `{near}`?")),
                None => error.with_hint(format!("there are: {}", self.names())),
            }
        })
    }

    /// The one of that name; without one `default`, or the only one there is.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` if there are several and none is called `default`.
    pub(super) fn chosen(&self, name: Option<&str>) -> Result<&Arc<Repository>> {
        match name {
            Some(name) => self.find(name),
            None => self.usual().ok_or_else(|| {
                Error::invalid("which repository? none is called `default`")
                    .with_hint(format!("say --repository NAME; there are: {}", self.names()))
            }),
        }
    }

    /// The one of that name, or all.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn some(&self, name: Option<&str>) -> Result<Vec<Arc<Repository>>> {
        match name {
            Some(name) => Ok(vec![self.find(name)?.clone()]),
            None => Ok(self.all().cloned().collect()),
        }
    }

    fn usual(&self) -> Option<&Arc<Repository>> {
        let mut all = self.all();
        let only = all.next().filter(|_| all.next().is_none());
        self.0.get(DEFAULT).or(only)
    }

    fn names(&self) -> String {
        self.0.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}
