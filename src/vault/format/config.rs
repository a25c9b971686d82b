//! `config`: what is the same for the whole repository.

use berth_api::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Id, polynomial};

/// The file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigFile {
    /// The version of the format: 2 has compression.
    pub version: u32,
    /// What the repository is, for good.
    pub id: Id,
    /// What the content-defined chunker cuts by.
    #[serde(with = "hexadecimal")]
    pub chunker_polynomial: u64,
}

impl ConfigFile {
    /// That of a new repository.
    ///
    /// # Errors
    /// `Internal` if the kernel has no random numbers.
    pub fn new() -> Result<Self> {
        Ok(Self { version: 2, id: Id::random()?, chunker_polynomial: polynomial::choose()? })
    }

    /// Refuses what this version cannot read or write.
    ///
    /// # Errors
    /// `Unsupported` for another version; `Corrupt`.
    pub fn check(&self) -> Result<()> {
        if self.version != 2 {
            return Err(Error::unsupported(format!(
                "the repository has version {} of restic's format, and Berth reads and writes version 2",
                self.version
            ))
            .with_hint("`restic migrate upgrade_repo_v2` upgrades one of version 1"));
        }
        if !polynomial::is_irreducible(self.chunker_polynomial) {
            return Err(Error::corrupt("the repository's `config` has a wrong polynomial"));
        }
        Ok(())
    }
}

mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{value:x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}
