//! `subdir=PATH`: a directory that is there already, as a volume.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The longest path, in bytes: what the kernel takes at once.
const LONGEST: usize = 4095;

/// What a pool keeps at its root for itself.
const OWN: [&str; 2] = [".berth", "volumes"];

/// A path below the root of a pool, in the one spelling that it has: `a/b`. Never one
/// of the pool's own, and never one that leads out of it by its words; links are for
/// whoever opens it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subdir(String);

impl Subdir {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subdir {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let shown: String = text.chars().take(80).collect();
        let refused = |why: &str| {
            Error::invalid(format!("subdir `{}` {why}", shown.escape_debug()))
                .with_hint("a path below the export's root, as `projects/web`")
        };
        if text.is_empty() {
            return Err(refused("is empty"));
        }
        if text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(refused("is no path"));
        }
        if text.starts_with('/') {
            return Err(refused("is absolute"));
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(refused("has a part that is empty, `.` or `..`"));
        }
        let first = text.split('/').next().unwrap_or_default();
        if OWN.contains(&first) {
            return Err(refused("is in what the pool keeps for itself"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Subdir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Subdir {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Subdir> for String {
    fn from(subdir: Subdir) -> Self {
        subdir.0
    }
}

/// Refuses what was given beside `subdir` and does not go with it.
pub(super) fn check(given: &BTreeMap<String, String>) -> Result<()> {
    let all = ["from", "size", "uid", "gid", "mode", "mount-options"];
    all.into_iter().filter(|key| given.contains_key(*key)).try_for_each(refuse)
}

/// Says why `key` does not go with `subdir`.
pub(super) fn refuse(key: &str) -> Result<()> {
    let why = match key {
        "from" => "the directory has its content",
        "size" => "nothing limits a directory of others",
        // Two mounts on one host do not tell each other what was written.
        "mount-options" => "other volumes may show the same directory, and all need one mount",
        _ => "whose the directory is, is for those who have made it",
    };
    Err(Error::unsupported(format!("option `{key}` does not go with `subdir`: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Options};

    #[test]
    fn what_is_no_path_of_others_below_the_root_is_refused() {
        let long = "a".repeat(4096);
        for text in [
            "",
            "/",
            "/projects",
            ".",
            "..",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            ".berth",
            ".berth/trash",
            "volumes",
            "volumes/0123/data",
            "a\nb",
            "a\0b",
            long.as_str(),
        ] {
            let error = text.parse::<Subdir>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
        }
        for text in ["a", "projects/web", "a b,c=d", "-o", "..a", "berth", "a/volumes", "ä/€"] {
            assert_eq!(text.parse::<Subdir>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn what_would_change_a_directory_of_others_does_not_go_with_it() {
        let map = |key: &str, value: &str| {
            BTreeMap::from([
                ("subdir".to_owned(), "projects".to_owned()),
                (key.to_owned(), value.to_owned()),
            ])
        };
        for (key, value) in [
            ("from", "db"),
            ("size", "1G"),
            ("uid", "7"),
            ("gid", "7"),
            ("mode", "0700"),
            ("mount-options", "noatime"),
        ] {
            let error = Options::parse(&map(key, value)).expect_err(key);
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{key}");
        }
        let options = Options::parse(&map("on-remove", "retain")).expect("it does");
        options.clone().resized("1G").expect_err("no limit");
        let one = BTreeMap::from([("uid".to_owned(), "7".to_owned())]);
        options.clone().set(&one).expect_err("not its owner");
        let one = BTreeMap::from([("subdir".to_owned(), "other".to_owned())]);
        options.set(&one).expect_err("not another");
        // What the pool gives to all is not for those.
        let defaults = BTreeMap::from([("uid".to_owned(), "7".to_owned())]);
        let defaults = Options::parse(&defaults).expect("valid");
        let over = defaults.over(&map("access", "single")).expect("valid");
        assert_eq!((over.uid, over.subdir.expect("given").as_str()), (None, "projects"));
    }

    #[test]
    fn a_damaged_record_leads_nowhere_else() {
        for text in [r#""..""#, r#"".berth/records""#, "7", r#""""#] {
            serde_json::from_str::<Subdir>(text).expect_err(text);
        }
    }
}
