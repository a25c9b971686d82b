//! Who a pool belongs to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, checksum, volume::random_id};

random_id! {
    /// A pool's id: made with its identity file, never reused.
    PoolId, "pool"
}

random_id! {
    /// This host, as `host.json` has it; the host name is for display only.
    HostId, "host"
}

/// `POOL/.berth/pool.json`: what keeps Berth from taking an empty mount point
/// for an empty pool, and one host's pool for another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolIdentity {
    /// The pool's id.
    pub pool: PoolId,
    /// The only host that may use it.
    pub host: HostId,
}

/// The file's content: the identity and its seal.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(flatten)]
    identity: PoolIdentity,
    checksum: String,
}

impl PoolIdentity {
    /// The bytes of the identity file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let sealed = Sealed { checksum: self.seal(), identity: self.clone() };
        let mut bytes = serde_json::to_vec_pretty(&sealed).expect("ids are plain JSON strings");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the identity file's bytes; [`Corrupt`](crate::ErrorKind::Corrupt)
    /// if they are not what [`to_bytes`](Self::to_bytes) makes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let sealed: Sealed = serde_json::from_slice(bytes).map_err(|source| {
            Error::corrupt("pool identity is not readable").with_source(source)
        })?;
        if sealed.identity.seal() == sealed.checksum {
            Ok(sealed.identity)
        } else {
            Err(Error::corrupt("pool identity does not match its checksum"))
        }
    }

    fn seal(&self) -> String {
        checksum::seal(&[self.pool.to_string().as_bytes(), self.host.to_string().as_bytes()])
    }
}
