//! Names of policies, and the option that has them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, volume::check_name};

/// The key a policy is found by: `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyName(String);

impl PolicyName {
    /// The longest name, in bytes: with a time behind it, it names a snapshot.
    pub const MAX: usize = 64;

    /// The name as text; safe as one path component, and without `+`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PolicyName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        check_name("policy", text, Self::MAX).map(|()| Self(text.to_owned()))
    }
}

impl TryFrom<String> for PolicyName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> Self {
        name.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Reads `a+b` as a set: sorted, each name once. Empty text is no policy.
///
/// # Errors
/// `Invalid` for what is no name.
pub fn parse_set(text: &str) -> Result<Vec<PolicyName>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = text.split('+').map(str::parse).collect::<Result<Vec<PolicyName>>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The text of a set: `a+b`.
pub fn join(names: &[PolicyName]) -> String {
    names.iter().map(PolicyName::as_str).collect::<Vec<_>>().join("+")
}

/// A set as its text, so that options in force read like options that are given.
pub(crate) mod set {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{PolicyName, join, parse_set};

    pub(crate) fn serialize<S: Serializer>(
        names: &[PolicyName],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&join(names))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<PolicyName>, D::Error> {
        parse_set(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_spelling() {
        for text in ["b+a", "a+b", "a+b+a"] {
            assert_eq!(join(&parse_set(text).expect(text)), "a+b", "{text}");
        }
        assert!(parse_set("").expect("none").is_empty());
        for text in ["+", "a+", "+a", "a b", "a,b", "-a", &"a".repeat(65)] {
            let error = parse_set(text).expect_err(text);
            assert!(error.to_string().starts_with("policy name "), "{error}");
        }
        assert!(parse_set(&"a".repeat(64)).is_ok());
    }
}
