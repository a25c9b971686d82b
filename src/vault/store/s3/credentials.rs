//! Who we are to S3.
//!
//! In this order: what the settings say; `AWS_ACCESS_KEY_ID` and
//! `AWS_SECRET_ACCESS_KEY`; the profile `AWS_PROFILE` or `default`; the web identity
//! of a pod; the role of a container's task; the role of the instance (IMDS).

use std::{
    env, fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use berth_api::{Error, Result};
use object_store::{
    ClientOptions, CredentialProvider, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider},
    client::StaticCredentialProvider,
};

use super::profile::SharedFiles;

/// The name under which errors of providers arrive.
pub(super) const PROVIDER: &str = "credentials";

/// A file with a key is looked at again after this time: others renew keys in it.
const FRESH: Duration = Duration::from_secs(30);

/// What a role is told by.
const ROLE_VARIABLES: [&str; 8] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_METADATA_ENDPOINT",
];

/// Where the key comes from.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// The environment, the user's files, the role of this machine.
    #[default]
    Usual,
    /// This section of these files, and nothing else.
    Profile {
        /// The section.
        name: String,
        /// The files.
        files: SharedFiles,
    },
    /// This key.
    Given {
        /// Its id.
        key_id: String,
        /// Never shown.
        secret: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => f.write_str("Usual"),
            Self::Profile { name, .. } => write!(f, "Profile({name})"),
            Self::Given { key_id, .. } => write!(f, "Given({key_id}, ***)"),
        }
    }
}

impl Credentials {
    /// The region that goes with the key, if somebody says one.
    pub(super) fn region(&self) -> Result<Option<String>> {
        let named = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| variable(name));
        let (name, files) = match self {
            Self::Profile { name, files } => (name.clone(), files.clone()),
            _ if named.is_some() => return Ok(named),
            Self::Usual => (usual_profile(), SharedFiles::usual()),
            Self::Given { .. } => return Ok(None),
        };
        let of_profile = files.profile(&name)?.and_then(|it| it.region().map(ToOwned::to_owned));
        Ok(of_profile.or(named))
    }

    pub(super) fn provider(&self, options: &ClientOptions) -> Result<AwsCredentialProvider> {
        let fixed = |key_id: &str, secret: &str, token| {
            let (key_id, secret_key) = (key_id.to_owned(), secret.to_owned());
            Arc::new(StaticCredentialProvider::new(AwsCredential { key_id, secret_key, token }))
        };
        match self {
            Self::Given { key_id, secret } => return Ok(fixed(key_id, secret, None)),
            Self::Profile { name, files } => return from_files(name, files),
            Self::Usual => {}
        }
        let key = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY"));
        if let (Some(key_id), Some(secret)) = &key {
            return Ok(fixed(key_id, secret, variable("AWS_SESSION_TOKEN")));
        }
        let (name, files) = (usual_profile(), SharedFiles::usual());
        if variable("AWS_PROFILE").is_some()
            || files.profile(&name)?.is_some_and(|profile| profile.credential().is_some())
        {
            return from_files(&name, &files);
        }
        of_the_machine(options)
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn usual_profile() -> String {
    variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned())
}

fn from_files(name: &str, files: &SharedFiles) -> Result<AwsCredentialProvider> {
    let provider =
        FromFiles { name: name.to_owned(), files: files.clone(), read: Mutex::default() };
    // Said now, while somebody looks.
    provider.credential()?;
    Ok(Arc::new(provider))
}

/// The chain of roles that the client itself knows.
fn of_the_machine(options: &ClientOptions) -> Result<AwsCredentialProvider> {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name("none")
        .with_client_options(options.clone())
        .with_retry(RetryConfig { max_retries: 1, ..RetryConfig::default() });
    if let Some(region) = variable("AWS_REGION") {
        builder = builder.with_region(region);
    }
    for name in ROLE_VARIABLES {
        if let (Some(value), Ok(key)) =
            (variable(name), name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>())
        {
            builder = builder.with_config(key, value);
        }
    }
    let client = builder.build().map_err(|error| {
        Error::unavailable("no credentials for S3 can be asked for").with_source(error)
    })?;
    Ok(Arc::new(OfTheMachine { inner: client.credentials().clone() }))
}

struct FromFiles {
    name: String,
    files: SharedFiles,
    read: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl FromFiles {
    fn credential(&self) -> Result<Arc<AwsCredential>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, credential)) = &*read
            && at.elapsed() < FRESH
        {
            return Ok(credential.clone());
        }
        let name = &self.name;
        let Some(profile) = self.files.profile(name)? else {
            let files = &self.files;
            return Err(Error::invalid(format!(
                "credentials profile `{name}` is neither in `{}` nor in `{}`",
                files.credentials.display(),
                files.config.display()
            ))
            .with_hint(format!(
                "add [{name}] with `aws_access_key_id` and `aws_secret_access_key`"
            )));
        };
        let credential = Arc::new(profile.credential().ok_or_else(|| profile.lacks(name))?);
        *read = Some((Instant::now(), credential.clone()));
        Ok(credential)
    }
}

impl fmt::Debug for FromFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromFiles({})", self.name)
    }
}

#[async_trait]
impl CredentialProvider for FromFiles {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.credential().map_err(|error| object_store::Error::Generic {
            store: PROVIDER,
            source: Box::new(error),
        })
    }
}

#[derive(Debug)]
struct OfTheMachine {
    inner: AwsCredentialProvider,
}

#[async_trait]
impl CredentialProvider for OfTheMachine {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.inner.get_credential().await.map_err(|error| {
            // What went wrong there names a link-local address, and helps few.
            tracing::debug!(%error, "no role of this machine");
            let error = Error::unavailable("no credentials for S3 were found").with_hint(
                "name a profile of `~/.aws/credentials` in `credentials-profile`, or set \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            );
            object_store::Error::Generic { store: PROVIDER, source: Box::new(error) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let given = Credentials::Given { key_id: "AKIA".into(), secret: "hunter2".into() };
        assert_eq!(format!("{given:?}"), "Given(AKIA, ***)");
    }

    #[test]
    fn a_named_profile_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name| folder.path().join(name);
        let files = SharedFiles { credentials: path("credentials"), config: path("config") };
        let named = Credentials::Profile { name: "backup".into(), files: files.clone() };
        let error = named.provider(&ClientOptions::new()).expect_err("no file");
        assert!(error.to_string().contains("`backup` is neither in"), "{error}");
        let text = "[backup]\naws_access_key_id = A\naws_secret_access_key = hunter2\n\
                    region = eu-north-1\n";
        std::fs::write(&files.credentials, text).expect("written");
        let provider = named.provider(&ClientOptions::new()).expect("there");
        assert!(!format!("{provider:?}").contains("hunter2"));
        assert_eq!(named.region().expect("read").as_deref(), Some("eu-north-1"));
    }
}
