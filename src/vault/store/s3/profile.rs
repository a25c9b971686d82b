//! `~/.aws/credentials` and `~/.aws/config`, as far as they say who somebody is.
//!
//! What a profile has instead of a key (a role to assume, a login, a program) is
//! not followed, and said so.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use berth_api::{Context as _, Error, Result};
use nix::unistd::{User, geteuid};
use object_store::aws::AwsCredential;

/// Where the two files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFiles {
    /// Keys: sections `[NAME]`.
    pub credentials: PathBuf,
    /// Regions, and keys too: sections `[profile NAME]`.
    pub config: PathBuf,
}

/// What both files say of one profile; its secrets are in it.
pub(super) struct Profile(BTreeMap<String, String>);

impl SharedFiles {
    /// Those of the user who runs this, or those that the environment names.
    pub fn usual() -> Self {
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        // A service may have no `HOME`.
        let home = home.or_else(|| User::from_uid(geteuid()).ok().flatten().map(|user| user.dir));
        let folder = home.unwrap_or_else(|| "/root".into()).join(".aws");
        let named = |variable: &str, name: &str| {
            env::var_os(variable).map_or_else(|| folder.join(name), PathBuf::from)
        };
        Self {
            credentials: named("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config: named("AWS_CONFIG_FILE", "config"),
        }
    }

    /// The profile `name`, if one of the files has it.
    pub(super) fn profile(&self, name: &str) -> Result<Option<Profile>> {
        let in_config = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        let config = section(&text(&self.config)?, &in_config);
        let credentials = section(&text(&self.credentials)?, name);
        if config.is_none() && credentials.is_none() {
            return Ok(None);
        }
        let mut values = config.unwrap_or_default();
        values.extend(credentials.unwrap_or_default());
        Ok(Some(Profile(values)))
    }
}

impl Profile {
    pub(super) fn region(&self) -> Option<&str> {
        self.get("region")
    }

    /// The key, if the profile has one.
    pub(super) fn credential(&self) -> Option<AwsCredential> {
        Some(AwsCredential {
            key_id: self.get("aws_access_key_id")?.to_owned(),
            secret_key: self.get("aws_secret_access_key")?.to_owned(),
            token: self.get("aws_session_token").map(ToOwned::to_owned),
        })
    }

    /// Why there is no key.
    pub(super) fn lacks(&self, name: &str) -> Error {
        let other = ["role_arn", "sso_session", "sso_start_url", "credential_process"]
            .into_iter()
            .find(|key| self.get(key).is_some());
        match other {
            Some(other) => Error::unsupported(format!(
                "credentials profile `{name}` has `{other}`, which is not followed"
            )),
            None => Error::invalid(format!("credentials profile `{name}` has no key")),
        }
        .with_hint(format!(
            "give profile `{name}` an `aws_access_key_id` and an `aws_secret_access_key`"
        ))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn text(file: &Path) -> Result<String> {
    match fs::read(file) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).context(|| format!("read `{}`", file.display())),
    }
}

/// The values of one section; the last word on a key counts. Indented lines belong
/// to the value above them and are none of ours.
fn section(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut found = None;
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with(['#', ';', ' ', '\t']) || line.trim().is_empty() {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let head = head.split(']').next().unwrap_or_default();
            inside = head.split_whitespace().eq(name.split_whitespace());
            if inside {
                found.get_or_insert_with(BTreeMap::new);
            }
        } else if inside
            && let (Some(values), Some((key, value))) = (&mut found, line.split_once('='))
        {
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# ours\n[default]\naws_access_key_id = A\n\
        aws_secret_access_key=B=C\n\n[ backup ]\r\nAWS_ACCESS_KEY_ID = D\r\n\
        aws_secret_access_key = E\r\naws_session_token = F\r\n s3 =\n  region = no\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile backup]\nregion = eu-north-1\n\
        [profile role]\nrole_arn = arn:x\n[profile empty]\n[other]\nregion = nowhere\n";

    fn files() -> (tempfile::TempDir, SharedFiles) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = SharedFiles {
            credentials: folder.path().join("credentials"),
            config: folder.path().join("config"),
        };
        fs::write(&files.credentials, CREDENTIALS).expect("written");
        fs::write(&files.config, CONFIG).expect("written");
        (folder, files)
    }

    #[test]
    fn a_profile_is_what_both_files_say() {
        let (_folder, files) = files();
        for (name, region, key, secret, token) in [
            ("default", "eu-west-1", "A", "B=C", None),
            ("backup", "eu-north-1", "D", "E", Some("F")),
        ] {
            let profile = files.profile(name).expect("read").expect("there");
            let credential = profile.credential().expect("a key");
            assert_eq!(profile.region(), Some(region));
            assert_eq!((credential.key_id.as_str(), credential.secret_key.as_str()), (key, secret));
            assert_eq!(credential.token.as_deref(), token);
        }
        for name in ["none", "other", "profile backup"] {
            assert!(files.profile(name).expect("read").is_none(), "{name}");
        }
    }

    #[test]
    fn a_profile_without_a_key_says_what_it_has() {
        let (folder, files) = files();
        let profile = files.profile("role").expect("read").expect("there");
        assert!(profile.credential().is_none());
        assert!(
            profile.lacks("role").to_string().contains("has `role_arn`, which is not followed")
        );
        let profile = files.profile("empty").expect("read").expect("there");
        assert!(profile.lacks("empty").to_string().contains("`empty` has no key"));
        fs::remove_file(&files.config).expect("removed");
        assert!(files.profile("role").expect("no file is none").is_none());
        let folder = SharedFiles { config: folder.path().to_owned(), ..files };
        assert!(folder.profile("role").is_err());
    }
}
