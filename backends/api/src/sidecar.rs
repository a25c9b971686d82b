//! `volume.json`: what a volume says of itself, beside its data.
//!
//! The catalog wins over it; `berth pool rebuild` makes lost records from it.

use serde::{Deserialize, Serialize};

use crate::{Error, VolumeSpec, checksum};

/// Where the volume's content lies in what the backend made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// In the sub-directory `data`: what Berth made.
    Subdirectory,
    /// At the root: what was adopted.
    Root,
}

/// The self-description of a volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sidecar {
    /// The specification, with the options at creation and the current ones.
    #[serde(flatten)]
    pub spec: VolumeSpec,
    /// Where the content lies.
    pub layout: Layout,
}

/// The file: the description as one JSON text, and the seal over that text.
#[derive(Serialize, Deserialize)]
struct Sealed {
    volume: serde_json::Value,
    checksum: String,
}

impl Sidecar {
    /// The largest file that is read back, in bytes; more is damage.
    pub const MAX: u64 = 256 << 10;

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let volume = serde_json::to_value(self).expect("a specification is plain JSON");
        let checksum = seal(&volume);
        let mut bytes = serde_json::to_vec_pretty(&Sealed { volume, checksum })
            .expect("a JSON value serialises");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file's bytes back; [`Corrupt`](crate::ErrorKind::Corrupt) if
    /// they are torn, altered or not valid. Names and ids are validated again.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |why: &str| Error::corrupt(format!("`volume.json` {why}"));
        let sealed: Sealed = serde_json::from_slice(bytes)
            .map_err(|source| damaged("is not readable").with_source(source))?;
        if seal(&sealed.volume) != sealed.checksum {
            return Err(damaged("does not match its checksum"));
        }
        serde_json::from_value(sealed.volume)
            .map_err(|source| damaged("has a wrong field").with_source(source))
    }
}

/// Keys of a JSON object are sorted in [`serde_json::Value`], so that the text
/// is the same on both sides.
fn seal(volume: &serde_json::Value) -> String {
    checksum::seal(&[volume.to_string().as_bytes()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{ErrorKind, Options, VolumeId};

    fn sidecar() -> Sidecar {
        let given = BTreeMap::from([("uid".to_owned(), "7".to_owned())]);
        Sidecar {
            spec: VolumeSpec {
                id: VolumeId::random(),
                name: "db".parse().expect("a valid name"),
                created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
                options: Options::parse(&given).expect("valid options"),
                given,
            },
            layout: Layout::Subdirectory,
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let sidecar = sidecar();
        assert_eq!(Sidecar::from_bytes(&sidecar.to_bytes()).expect("own bytes"), sidecar);
    }

    #[test]
    fn every_torn_or_altered_file_is_noticed() {
        let bytes = sidecar().to_bytes();
        for length in 0..bytes.len() - 2 {
            assert!(Sidecar::from_bytes(&bytes[..length]).is_err(), "torn at {length}");
        }
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        let error = Sidecar::from_bytes(text.replace("\"db\"", "\"dc\"").as_bytes());
        assert_eq!(error.expect_err("altered").kind(), ErrorKind::Corrupt);
    }
}
