//! The files of a repository, as bytes and JSON. No I/O.
//!
//! | module | noun |
//! |---|---|
//! | [`id`] | the SHA-256 that names everything |
//! | [`crypt`] | the master key, sealing and opening |
//! | [`key`] | `keys/ID`: the master key, locked with a password |
//! | [`config`] | `config` |
//! | [`polynomial`] | what the content-defined chunker cuts by |
//! | [`snapshot`] | `snapshots/ID`: one backup |
//! | [`node`] | trees and what is in them |
//! | [`name`] | names that are not UTF-8 |
//! | [`index`] | `index/ID`: which blob is where |
//! | [`pack`] | `data/xx/ID`: many blobs in one file |

pub mod config;
pub mod crypt;
pub mod id;
pub mod index;
pub mod key;
pub mod name;
pub mod node;
pub mod pack;
pub mod polynomial;
pub mod snapshot;

pub use config::ConfigFile;
pub use crypt::MasterKey;
pub use id::Id;
pub use index::{IndexBlob, IndexFile, IndexPack};
pub use key::KeyFile;
pub use node::{Node, NodeKind, Tree};
pub use snapshot::{SnapshotFile, Summary};

use serde::{Deserialize, Serialize};

/// What a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// Content of files.
    Data,
    /// A directory, as JSON.
    Tree,
}

impl BlobKind {
    /// As messages say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Tree => "tree",
        }
    }
}
