//! Ids, names, and what a volume was asked to be.

use std::{collections::BTreeMap, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Error, Options, checksum};

/// Defines a random 128-bit id that prints as 32 lower-case hex digits.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// A fresh id from the kernel's random numbers.
            ///
            /// # Panics
            /// If the kernel gives none, which since Linux 5.6 it always does.
            pub fn random() -> Self {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes).expect("getrandom(2) does not fail once booted");
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&checksum::hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                $crate::volume::parse_hex(text).map(Self).ok_or_else(|| {
                    Error::invalid(format!("`{}` is not a {} id", text.escape_debug(), $what))
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}
pub(crate) use random_id;

/// Exactly 32 lower-case hex digits; anything else is `None`.
pub(crate) fn parse_hex(text: &str) -> Option<[u8; 16]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 16];
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

random_id! {
    /// What a volume is, for good. Names come and go; ids become paths.
    VolumeId, "volume"
}

/// The key a volume is found by: `[A-Za-z0-9][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeName(String);

impl VolumeName {
    /// The longest name, in bytes.
    pub const MAX: usize = 128;

    /// The name as text. Safe as one path component: it has no slash, is not
    /// empty and does not begin with a dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Docker made this name up for a volume nobody named: 64 lower-case
    /// hex digits.
    pub fn is_anonymous(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl FromStr for VolumeName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        check_name("volume", text, Self::MAX).map(|()| Self(text.to_owned()))
    }
}

/// Whether `text` may name a `what` (volume, snapshot, policy) in `most` bytes.
///
/// # Errors
/// `Invalid`, saying why not.
pub(crate) fn check_name(what: &str, text: &str, most: usize) -> Result<(), Error> {
    let wrong = |why: &str| {
        let shown: String = text.chars().take(40).collect();
        Error::invalid(format!("{what} name `{}` {why}", shown.escape_debug()))
            .with_hint("use letters, digits, `_`, `.` and `-`, beginning with a letter or a digit")
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    match text.as_bytes() {
        [] => Err(wrong("is empty")),
        bytes if bytes.len() > most => Err(wrong(&format!("is longer than {most} characters"))),
        [first, ..] if !first.is_ascii_alphanumeric() => {
            Err(wrong("does not begin with a letter or a digit"))
        }
        bytes if !bytes.iter().copied().all(allowed) => {
            Err(wrong("has a character that is not allowed"))
        }
        _ => Ok(()),
    }
}

impl TryFrom<String> for VolumeName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<VolumeName> for String {
    fn from(name: VolumeName) -> Self {
        name.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a volume was asked to be: everything a backend may need to make it, and
/// everything its sidecar says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VolumeSpec {
    /// The id, chosen before any effect.
    pub id: VolumeId,
    /// The name at creation.
    pub name: VolumeName,
    /// When the volume was accepted.
    pub created: Timestamp,
    /// The options as the user gave them, normalised; what a repeated Create is
    /// compared with.
    pub given: BTreeMap<String, String>,
    /// The options in force: given, over the pool's defaults, over later `set`s.
    pub options: Options,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(129);
        let hostile = [
            "",
            ".",
            "..",
            "../../evil",
            "a/b",
            "sp ace",
            "a\nb",
            "-rf",
            "_a",
            ".hidden",
            "é",
            "a\0b",
            long.as_str(),
        ];
        for name in hostile {
            assert!(name.parse::<VolumeName>().is_err(), "{name:?}");
        }
        for name in ["a", "config", "vol1.tmp", "A-b_c.9", &"a".repeat(128)] {
            assert!(name.parse::<VolumeName>().is_ok(), "{name:?}");
        }
    }

    #[test]
    fn ids_print_and_parse_as_32_hex_digits() {
        let id = VolumeId::random();
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse::<VolumeId>().expect("own text"), id);
        for text in [
            "",
            "xyz",
            &"A".repeat(32),
            &"0".repeat(31),
            &"0".repeat(33),
            "../../../../../../../../../etc/pas",
        ] {
            assert!(text.parse::<VolumeId>().is_err(), "{text}");
        }
    }

    #[test]
    fn docker_names_anonymous_volumes_by_64_hex_digits() {
        let name = |text: &str| text.parse::<VolumeName>().expect(text);
        assert!(name(&"0af".repeat(22)[..64]).is_anonymous());
        assert!(!name(&"0AF".repeat(22)[..64]).is_anonymous());
        assert!(!name("abc").is_anonymous());
    }
}
