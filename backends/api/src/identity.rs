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
    /// Who may use it.
    pub host: Owner,
}

/// Who may use a pool: `shared`, or the id of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// This host only.
    Host(HostId),
    /// Every host that is configured to.
    Shared,
}

/// How the identity file calls a pool that is not one host's.
const SHARED: &str = "shared";

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Shared => f.pad(SHARED),
        }
    }
}

impl FromStr for Owner {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == SHARED { Ok(Self::Shared) } else { text.parse().map(Self::Host) }
    }
}

impl TryFrom<String> for Owner {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_before_sharing_stay_valid() {
        let text = r#"{"pool":"00112233445566778899aabbccddeeff","host":"ffeeddccbbaa99887766554433221100","checksum":"SEAL"}"#;
        let seal = checksum::seal(&[
            b"00112233445566778899aabbccddeeff",
            b"ffeeddccbbaa99887766554433221100",
        ]);
        let identity = PoolIdentity::from_bytes(text.replace("SEAL", &seal).as_bytes());
        let host = "ffeeddccbbaa99887766554433221100".parse().expect("an id");
        assert_eq!(identity.expect("an old file").host, Owner::Host(host));
    }

    #[test]
    fn a_shared_pool_says_so() {
        let identity = PoolIdentity { pool: PoolId::random(), host: Owner::Shared };
        let bytes = identity.to_bytes();
        assert!(String::from_utf8_lossy(&bytes).contains(r#""host": "shared""#));
        assert_eq!(PoolIdentity::from_bytes(&bytes).expect("own bytes"), identity);
    }
}
