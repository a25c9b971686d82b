//! One version as a file: one JSON text that names what it is of, and the seal
//! over that text.

use berth_api::{
    Error, Result, checksum,
    records::{Author, OperationId, Version},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The largest file that is read back, in bytes; more is damage.
pub(super) const LIMIT: u64 = 4 << 20;

/// What a series is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// A volume, by its id.
    Record,
    /// A name.
    Name,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Content {
    kind: Kind,
    of: String,
    version: u64,
    author: Author,
    operation: OperationId,
    before: Vec<OperationId>,
    body: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    content: Value,
    checksum: String,
}

/// The file of a version.
pub(super) fn version_to_bytes(kind: Kind, of: &str, version: Version) -> Vec<u8> {
    let Version { number, author, operation, before, body } = version;
    to_bytes(&Content { kind, of: of.to_owned(), version: number, author, operation, before, body })
}

/// Reads the version `number` of a series back.
///
/// # Errors
/// `Corrupt` if it is torn, altered, or of something else.
pub(super) fn version_from_bytes(
    bytes: &[u8],
    kind: Kind,
    of: &str,
    number: u64,
) -> Result<Version> {
    let content: Content = from_bytes(bytes)?;
    if content.kind != kind || content.of != of || content.version != number {
        return Err(Error::corrupt(format!(
            "it is version {} of `{}`",
            content.version,
            content.of.escape_debug()
        )));
    }
    if content.before.len() > Version::REMEMBERED {
        return Err(Error::corrupt("it remembers more than it may"));
    }
    let Content { author, operation, before, body, .. } = content;
    Ok(Version { number, author, operation, before, body })
}

/// The sealed file of anything.
pub(super) fn to_bytes(content: &impl Serialize) -> Vec<u8> {
    let content = serde_json::to_value(content).expect("plain JSON");
    let checksum = seal(&content);
    let mut bytes =
        serde_json::to_vec_pretty(&Sealed { content, checksum }).expect("a JSON value serialises");
    bytes.push(b'\n');
    bytes
}

/// Reads a sealed file back.
///
/// # Errors
/// `Corrupt` if it is torn, altered or of another form.
pub(super) fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let sealed: Sealed = serde_json::from_slice(bytes)
        .map_err(|source| Error::corrupt("it is not readable").with_source(source))?;
    if seal(&sealed.content) != sealed.checksum {
        return Err(Error::corrupt("it does not match its checksum"));
    }
    serde_json::from_value(sealed.content)
        .map_err(|source| Error::corrupt("it has a wrong field").with_source(source))
}

/// Keys of an object are sorted in [`Value`], so that the text is the same on
/// both sides.
fn seal(content: &Value) -> String {
    checksum::seal(&[content.to_string().as_bytes()])
}
