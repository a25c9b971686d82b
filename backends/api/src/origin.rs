//! `from=TEXT`: what a new volume's content is made from, as users write it.

use std::{fmt, str::FromStr};

use crate::{Error, Result, SnapshotName, VolumeName};

/// What stands before a backup.
const BACKUP: &str = "backup:";
/// What stands before a volume whose newest backup is meant.
const LATEST: &str = "latest:";
/// How many digits name a backup at least, and at most.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=64;
/// The longest name of a repository.
const REPOSITORY_MAX: usize = 64;

/// What `from` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// `VOLUME` or `VOLUME@SNAPSHOT`
    Volume {
        /// The volume.
        volume: VolumeName,
        /// Its snapshot; its content as it is without.
        snapshot: Option<SnapshotName>,
    },
    /// `backup:[REPOSITORY/]ID` or `backup:[REPOSITORY/]latest:VOLUME`
    Backup {
        /// The repository it is in; any without.
        repository: Option<String>,
        /// Which of its backups.
        which: Which,
    },
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By the first digits of its id: 4 to 64 of them, lower case.
    Id(String),
    /// The newest one of a volume, by the name it had.
    Latest(VolumeName),
}

impl From {
    /// Reads what the user wrote; [`Display`](fmt::Display) is its one spelling.
    ///
    /// # Errors
    /// `Invalid` with the right form.
    pub fn parse(text: &str) -> Result<Self> {
        match text.strip_prefix(BACKUP) {
            Some(backup) => parse_backup(backup).map_err(|error| {
                error
                    .context("option `from`")
                    .with_hint("write `backup:[REPOSITORY/]ID` with at least 4 digits of the id, or `backup:[REPOSITORY/]latest:VOLUME`")
            }),
            None => parse_volume(text).map_err(|error| {
                error
                    .context("option `from`")
                    .with_hint("write `VOLUME`, `VOLUME@SNAPSHOT` or `backup:ID`")
            }),
        }
    }
}

fn parse_volume(text: &str) -> Result<From> {
    let (volume, snapshot) = match text.split_once('@') {
        Some((volume, snapshot)) => (volume, Some(snapshot)),
        None => (text, None),
    };
    let volume = volume.parse()?;
    Ok(From::Volume { volume, snapshot: snapshot.map(SnapshotName::from_str).transpose()? })
}

fn parse_backup(text: &str) -> Result<From> {
    let (repository, which) = match text.split_once('/') {
        Some((repository, which)) => (Some(repository), which),
        None => (None, text),
    };
    let repository = repository.map(repository_name).transpose()?;
    let which = match which.strip_prefix(LATEST) {
        Some(volume) => Which::Latest(volume.parse()?),
        None => Which::Id(digits(which)?),
    };
    Ok(From::Backup { repository, which })
}

/// Whether there is such a repository the configuration knows; here it is only made
/// sure that the text has one meaning.
fn repository_name(text: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !text.is_empty() && text.len() <= REPOSITORY_MAX && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Error::invalid(format!("`{}` is no repository's name", shown(text))))
}

fn digits(text: &str) -> Result<String> {
    if DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Error::invalid(format!("`{}` is no backup's id", shown(text))))
}

fn shown(text: &str) -> String {
    text.chars().take(70).flat_map(char::escape_debug).collect()
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume { volume, snapshot: None } => write!(f, "{volume}"),
            Self::Volume { volume, snapshot: Some(snapshot) } => write!(f, "{volume}@{snapshot}"),
            Self::Backup { repository, which } => {
                f.write_str(BACKUP)?;
                if let Some(repository) = repository {
                    write!(f, "{repository}/")?;
                }
                match which {
                    Which::Id(id) => f.write_str(id),
                    Which::Latest(volume) => write!(f, "{LATEST}{volume}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn one_meaning_has_one_spelling() {
        for (text, spelling) in [
            ("db", "db"),
            ("db@monday", "db@monday"),
            ("backup:4F0a", "backup:4f0a"),
            ("backup:offsite/4f0a", "backup:offsite/4f0a"),
            ("backup:latest:db", "backup:latest:db"),
            ("backup:offsite/latest:db", "backup:offsite/latest:db"),
        ] {
            let parsed = From::parse(text).expect(text);
            assert_eq!(parsed.to_string(), spelling);
            assert_eq!(From::parse(spelling).expect(spelling), parsed);
        }
        let full = "a".repeat(64);
        assert!(From::parse(&format!("backup:{full}")).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_the_right_form() {
        let long = format!("backup:{}", "a".repeat(65));
        for text in [
            "backup:",
            "backup:4f0",
            "backup:xyz1",
            "backup:/4f0a",
            "backup:a b/4f0a",
            "backup:a/b/4f0a",
            "backup:latest:",
            "backup:latest:../x",
            "backup:latest:db@monday",
            &long,
        ] {
            let error = From::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert!(error.chain().contains("option `from`"), "{}", error.chain());
            assert!(error.hint().is_some_and(|hint| hint.contains("latest:VOLUME")), "{text}");
        }
        let error = From::parse("../x").expect_err("no name");
        assert!(error.hint().is_some_and(|hint| hint.contains("VOLUME@SNAPSHOT")));
    }
}
