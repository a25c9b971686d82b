//! What a copy of content would take, said before it begins.

use serde::{Deserialize, Serialize};

use crate::Bytes;

/// How content gets from one place of the pool to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The storage does it at once, whatever the size.
    Instant,
    /// File by file, sharing the data: no space, but time for each file.
    Reflink,
    /// Everything is written again.
    Copy,
}

/// Who carries what is copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// This host, on its own disks.
    #[default]
    Host,
    /// The server that has the pool: nothing passes the network.
    Server,
    /// This host, from the server and back to it.
    Network,
}

/// What a snapshot, clone or rollback would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// How it would be done.
    pub method: Method,
    /// Space it would take; nothing for methods that share.
    pub bytes: Bytes,
    /// Who does the work of a [`Method::Copy`].
    pub carrier: Carrier,
}

impl Estimate {
    /// What whoever waits for a [`Method::Copy`] is told beforehand.
    pub fn announcement(&self) -> String {
        let bytes = self.bytes;
        match self.carrier {
            Carrier::Host => format!("{bytes} are copied: this file system cannot share data"),
            Carrier::Server => {
                format!("{bytes} are copied by the server: its file system cannot share data")
            }
            Carrier::Network => format!(
                "{bytes} are copied through this host: this version of NFS has neither clones nor \
                 copies on the server"
            ),
        }
    }
}
