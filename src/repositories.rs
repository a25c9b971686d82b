//! Repositories by their configuration: the only file that knows what stores there are.

use std::sync::Arc;

use berth_api::{Error, Result};
use berth_vault::{Store, store::directory::Directory};

use crate::config::{Place, RepositoryConfig};

/// The place where a configured repository lies. No I/O.
///
/// # Errors
/// `Unsupported` for a place that this build cannot reach.
#[expect(dead_code, reason = "no verb opens a repository yet")]
pub(crate) fn store(config: &RepositoryConfig) -> Result<Arc<dyn Store>> {
    match &config.place {
        Place::Directory(path) => Ok(Arc::new(Directory::new(path))),
        Place::S3(_) => {
            Err(Error::unsupported(format!("repositories on S3 are not built: `{}`", config.url())))
        }
    }
}
