//! `index/ID`: which blob is where. A repository has many; together they are the
//! index, and a blob may be in several.

use serde::{Deserialize, Serialize};

use super::{BlobKind, Id};

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IndexFile {
    /// Index files that this one replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<Id>,
    /// What is in which pack.
    pub packs: Vec<IndexPack>,
}

/// One pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexPack {
    /// Its id.
    pub id: Id,
    /// What is in it.
    pub blobs: Vec<IndexBlob>,
}

/// One blob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexBlob {
    /// Its id.
    pub id: Id,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: BlobKind,
    /// Where it begins in the pack, in bytes.
    pub offset: u32,
    /// How long it is there, sealed, in bytes.
    pub length: u32,
    /// How long its content is; absent where that is not compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncompressed_length: Option<u32>,
}
