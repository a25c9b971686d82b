//! Where a repository lies on S3, and the client that goes there.

use std::time::Duration;

use berth_api::{Error, Result};
use object_store::{
    ClientConfigKey, ClientOptions, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
};

use super::{Credentials, patience};

/// The region that servers of others are content with.
const REGION: &str = "us-east-1";
/// Connections that are kept for the next request.
const KEPT: usize = 64;
/// How long they are kept: less than servers do.
const KEPT_FOR: Duration = Duration::from_secs(20);

/// Where a repository lies on S3. Its [`Debug`] shows no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// The bucket; it must be there.
    pub bucket: String,
    /// What keys begin with, without slashes at the ends; may be empty.
    pub prefix: String,
    /// `https://host:port` of a server that is not Amazon's. `http://` is not
    /// encrypted, which the repository itself is.
    pub endpoint: Option<String>,
    /// The bucket's region; else the environment's or the profile's, else `us-east-1`.
    pub region: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`. Default: if there is
    /// an endpoint, or the bucket has a dot in it, which certificates do not cover.
    pub path_style: Option<bool>,
    /// Where the key comes from.
    pub credentials: Credentials,
}

impl S3Settings {
    /// What users call the place.
    pub(super) fn location(&self) -> String {
        let Self { bucket, prefix, .. } = self;
        if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") }
    }

    pub(super) fn region(&self) -> Result<String> {
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        Ok(self.credentials.region()?.unwrap_or_else(|| REGION.to_owned()))
    }

    /// The server, as requests name it.
    pub(super) fn server(&self, region: &str) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"))
    }

    /// The client. No request is sent.
    pub(super) fn client(&self, region: &str) -> Result<AmazonS3> {
        // The first one wins, and both are the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = ClientOptions::new()
            .with_config(ClientConfigKey::UserAgent, concat!("berth/", env!("CARGO_PKG_VERSION")))
            // Each part of a request has a limit of its own.
            .with_timeout_disabled()
            .with_connect_timeout(patience::CONNECT)
            // Many connections: with HTTP/2 all share one window, which cost another
            // tool a factor of nine on a long line.
            .with_http1_only()
            .with_pool_max_idle_per_host(KEPT)
            .with_pool_idle_timeout(KEPT_FOR)
            .with_allow_http(plain)
            // Nobody shows any; and a system may have none to compare them with.
            .with_no_system_certificates(plain);
        let provider = self.credentials.provider(&options)?;
        let path_style =
            self.path_style.unwrap_or_else(|| self.endpoint.is_some() || self.bucket.contains('.'));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_virtual_hosted_style_request(!path_style)
            .with_credentials(provider)
            .with_client_options(options)
            .with_disable_bulk_delete(true)
            // Asked again by us, who know whether it is worth while.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
        if let Some(endpoint) = &self.endpoint {
            let endpoint = match endpoint.split_once("://") {
                Some((scheme, host)) if !path_style => format!("{scheme}://{}.{host}", self.bucket),
                _ => endpoint.clone(),
            };
            builder = builder.with_endpoint(endpoint);
        }
        builder.build().map_err(|error| {
            Error::invalid(format!("repository `{}` cannot be asked for", self.location()))
                .with_source(error)
                .with_hint("install `ca-certificates`, and check `endpoint` of the repository")
        })
    }
}
