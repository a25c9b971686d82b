//! Repositories by their configuration: the only file that knows what stores there are.

use std::sync::Arc;

use berth_api::Result;
use berth_vault::{
    Store,
    store::{
        directory::Directory,
        limit::Limited,
        s3::{Credentials, S3, S3Settings, SharedFiles},
    },
};

use crate::config::{Place, RepositoryConfig, S3Config};

/// The place where a configured repository lies, with its limits. Asks nobody; reads
/// the files that say which key goes to S3.
///
/// # Errors
/// `Invalid` if there is no such key.
pub(crate) fn store(config: &RepositoryConfig) -> Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = match &config.place {
        Place::Directory(path) => Arc::new(Directory::new(path)),
        Place::S3(place) => Arc::new(S3::open(settings(place))?),
    };
    let (upload, download) = (config.limit_upload, config.limit_download);
    if upload.is_none() && download.is_none() {
        return Ok(store);
    }
    Ok(Arc::new(Limited::new(store, upload.map(|limit| limit.0), download.map(|limit| limit.0))))
}

fn settings(place: &S3Config) -> S3Settings {
    let S3Config { bucket, prefix, endpoint, region, profile, path_style } = place.clone();
    let credentials = profile.map_or(Credentials::Usual, |name| Credentials::Profile {
        name,
        files: SharedFiles::usual(),
    });
    S3Settings { bucket, prefix, endpoint, region, path_style, credentials }
}
