//! `volume.json` in a backup: everything needed to make the volume again.

use std::collections::BTreeMap;

use berth_api::{Error, Result, VolumeId, VolumeName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The largest file that is read back, in bytes; more is damage.
pub const MAX: u64 = 1 << 20;

/// The description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// The version of this description: 1.
    pub version: u32,
    /// The volume's name.
    pub name: VolumeName,
    /// Its id.
    pub id: VolumeId,
    /// When it was made.
    pub created: Timestamp,
    /// The options it was created with, normalised.
    pub given: BTreeMap<String, String>,
    /// The options that were in force, as `KEY=VALUE` would give them.
    pub options: BTreeMap<String, String>,
    /// Its pool.
    pub pool: String,
    /// The technology of that pool.
    pub backend: String,
    /// The host's name.
    pub host: String,
    /// The host's id.
    pub host_id: String,
    /// What the content is.
    pub content: Content,
}

/// What the content of a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", tag = "kind")]
pub enum Content {
    /// A tree in `/data`.
    Tree,
    /// An image in `/volume.img`.
    Image {
        /// Its length, in bytes.
        size: u64,
        /// The length of its blocks, in bytes: all but the last of a file are as long.
        block_size: u32,
        /// The file system in it, if one is known.
        filesystem: Option<String>,
        /// The directory of that file system that containers see, if not its root.
        published: Option<String>,
    },
}

impl Description {
    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a description is plain JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the bytes back.
    ///
    /// # Errors
    /// `Corrupt` if they are no description; `Unsupported` for a newer one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let wrong = |source| {
            Error::corrupt("`volume.json` of the backup is not readable").with_source(source)
        };
        let read: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        if read.version != 1 {
            return Err(Error::unsupported(format!(
                "the backup's description has version {}, and this Berth reads version 1",
                read.version
            ))
            .with_hint("use the version of Berth that made it, or a newer one"));
        }
        Ok(read)
    }
}
