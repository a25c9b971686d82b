//! One `[repositories.NAME]` of the file: where backups go.
//!
//! Secrets are in files and in the environment, never here: a url that has one
//! is refused without being shown.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use berth_api::{Bytes, Error, ErrorKind, Result, VolumeName};

use super::section::{Key, Section};

/// Below this a limit would stop backups rather than slow them down.
const SLOWEST: Bytes = Bytes(16 << 10);

const KEYS: [(&str, Key); 8] = [
    ("url", Key::Known),
    ("endpoint", Key::Known),
    ("region", Key::Known),
    ("credentials-profile", Key::Known),
    ("path-style", Key::Known),
    ("password-file", Key::Known),
    ("limit-upload", Key::Known),
    ("limit-download", Key::Known),
];

/// What only a repository on S3 has.
const OF_S3: [&str; 4] = ["endpoint", "region", "credentials-profile", "path-style"];

/// One `[repositories.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// Where it lies.
    pub place: Place,
    /// The file with its key; `<root>/repositories/NAME.key` unless told otherwise.
    pub password_file: PathBuf,
    /// Bytes a second that are sent to it.
    pub limit_upload: Option<Bytes>,
    /// Bytes a second that are fetched from it.
    pub limit_download: Option<Bytes>,
    /// It is the one that there is without a file.
    pub builtin: bool,
}

/// Where a repository lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this directory; absolute.
    Directory(PathBuf),
    /// In a bucket.
    S3(S3Config),
}

/// A place on S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Config {
    /// The bucket.
    pub bucket: String,
    /// What its keys begin with: without slashes at the ends; may be empty.
    pub prefix: String,
    /// Who serves it, if not Amazon: `https://host:port` or `http://…`.
    pub endpoint: Option<String>,
    /// Where the bucket is, if the environment does not say it.
    pub region: Option<String>,
    /// The section of `~/.aws/credentials` and `~/.aws/config`.
    pub profile: Option<String>,
    /// `endpoint/bucket/key` instead of `bucket.endpoint/key`, if somebody said so.
    pub path_style: Option<bool>,
}

impl RepositoryConfig {
    /// Where it lies, as the file says it: `/srv/backups`, `s3://bucket/path`.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Directory(path) => path.display().to_string(),
            Place::S3(S3Config { bucket, prefix, .. }) if prefix.is_empty() => {
                format!("s3://{bucket}")
            }
            Place::S3(S3Config { bucket, prefix, .. }) => format!("s3://{bucket}/{prefix}"),
        }
    }
}

/// The one that there is without a file.
pub(super) fn builtin(name: &str, root: &Path) -> RepositoryConfig {
    RepositoryConfig {
        place: Place::Directory(root.join("repositories").join(name)),
        password_file: key_file(name, root),
        limit_upload: None,
        limit_download: None,
        builtin: true,
    }
}

fn key_file(name: &str, root: &Path) -> PathBuf {
    root.join("repositories").join(format!("{name}.key"))
}

/// Reads all repositories.
pub(super) fn read(top: &Section<'_>, root: &Path) -> Result<BTreeMap<String, RepositoryConfig>> {
    let mut repositories = BTreeMap::new();
    for (name, section) in top.children("repositories")? {
        repositories.insert(name.to_owned(), read_one(name, &section, root)?);
    }
    Ok(repositories)
}

fn read_one(name: &str, section: &Section<'_>, root: &Path) -> Result<RepositoryConfig> {
    if name.parse::<VolumeName>().is_err() {
        let shown: String = name.chars().take(40).collect();
        let text = format!("repository name `{}` is not allowed", shown.escape_debug());
        return Err(section.error(ErrorKind::Invalid, &text).with_hint(
            "use letters, digits, `_`, `.` and `-`, beginning with a letter or a digit",
        ));
    }
    section.check(&KEYS)?;
    let Some(url) = section.string("url")? else {
        let text = format!("`{}` is missing", section.full("url"));
        return Err(section
            .error(ErrorKind::Invalid, &text)
            .with_hint("url = \"s3://bucket/path\""));
    };
    let place = place(url).map_err(|error| section.explain("url", &error))?;
    let place = match place {
        Place::S3(place) => Place::S3(s3(section, place)?),
        directory @ Place::Directory(_) => {
            for key in OF_S3 {
                if section.has(key) {
                    let text = format!("`{}` is for urls `s3://…` only", section.full(key));
                    return Err(section.error_at(key, ErrorKind::Invalid, &text));
                }
            }
            directory
        }
    };
    Ok(RepositoryConfig {
        place,
        password_file: section.path("password-file")?.unwrap_or_else(|| key_file(name, root)),
        limit_upload: limit(section, "limit-upload")?,
        limit_download: limit(section, "limit-download")?,
        builtin: false,
    })
}

fn place(url: &str) -> Result<Place> {
    // First of all: what is refused after this is shown.
    refuse_secrets(url)?;
    let shown = url.escape_debug();
    if let Some(rest) = url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let letters = |letter: u8| letter.is_ascii_alphanumeric() || b".-_".contains(&letter);
        let bounded = |letter: Option<char>| letter.is_some_and(|one| one.is_ascii_alphanumeric());
        if !(3..=63).contains(&bucket.len())
            || !bucket.bytes().all(letters)
            || !bounded(bucket.chars().next())
        {
            return Err(Error::invalid(format!("`{shown}` has no name of a bucket"))
                .with_hint("url = \"s3://bucket/path\"; a host goes into `endpoint`"));
        }
        let prefix = prefix.trim_matches('/');
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if prefix.chars().any(|letter| letter.is_control() || "?#%\\".contains(letter))
            || (!prefix.is_empty() && !prefix.split('/').all(plain))
        {
            return Err(Error::invalid(format!("`{shown}` has no plain path")));
        }
        return Ok(Place::S3(S3Config {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
            profile: None,
            path_style: None,
        }));
    }
    let path = Path::new(url.strip_prefix("file://").unwrap_or(url));
    let plain = !path.components().any(|part| part == Component::ParentDir);
    if !path.is_absolute() || !plain || url.contains('\0') || path.parent().is_none() {
        return Err(Error::invalid(format!("`{shown}` is no place for a repository"))
            .with_hint("write `s3://bucket/path`, or an absolute path without `..`"));
    }
    // Collected from its components: `/a//b/` and `/a/b` are one place.
    Ok(Place::Directory(path.components().collect()))
}

fn s3(section: &Section<'_>, place: S3Config) -> Result<S3Config> {
    let endpoint = section.string("endpoint")?;
    if let Some(endpoint) = endpoint {
        check_endpoint(endpoint).map_err(|error| section.explain("endpoint", &error))?;
    }
    let word = |key: &str| -> Result<Option<String>> {
        let Some(text) = section.string(key)? else { return Ok(None) };
        if text.is_empty() || text.chars().any(|letter| letter.is_control() || letter == ']') {
            let text =
                format!("`{}` is `{}`, which is no name", section.full(key), text.escape_debug());
            return Err(section.error_at(key, ErrorKind::Invalid, &text));
        }
        Ok(Some(text.to_owned()))
    };
    Ok(S3Config {
        endpoint: endpoint.map(|text| text.trim_end_matches('/').to_owned()),
        region: word("region")?,
        profile: word("credentials-profile")?,
        path_style: section.boolean("path-style")?,
        ..place
    })
}

fn check_endpoint(endpoint: &str) -> Result<()> {
    refuse_secrets(endpoint)?;
    let host = ["https://", "http://"].iter().find_map(|scheme| endpoint.strip_prefix(scheme));
    let host = host.map(|host| host.trim_end_matches('/'));
    let plain = |host: &str| {
        let letters = |letter: u8| letter.is_ascii_alphanumeric() || b".-_:[]".contains(&letter);
        !host.is_empty() && host.bytes().all(letters)
    };
    if host.is_some_and(plain) {
        return Ok(());
    }
    Err(Error::invalid(format!("`{}` is no endpoint", endpoint.escape_debug()))
        .with_hint("write `https://host` or `https://host:port`; `http://…` is not encrypted"))
}

/// A name and a password before the host, as other tools allow it.
fn refuse_secrets(url: &str) -> Result<()> {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    // A password may have slashes in it; no bucket, path or endpoint has both signs.
    let anywhere = url.contains("://") && url.contains('@') && url.matches(':').count() > 1;
    if host.contains('@') || anywhere {
        return Err(Error::invalid("it has a user or a password in it").with_hint(
            "secrets belong into `~/.aws/credentials` (see `credentials-profile`) or the environment",
        ));
    }
    Ok(())
}

fn limit(section: &Section<'_>, key: &str) -> Result<Option<Bytes>> {
    let what = "a size in quotes, such as \"10MiB\" (a second)";
    let Some(text) = section.text(key, what)? else { return Ok(None) };
    let limit: Bytes = text.parse().map_err(|error| section.explain(key, &error))?;
    if limit < SLOWEST {
        let text = format!("`{}` is less than {SLOWEST} a second", section.full(key));
        return Err(section.error_at(key, ErrorKind::Invalid, &text));
    }
    Ok(Some(limit))
}

#[cfg(test)]
mod tests;
