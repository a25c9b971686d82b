//! `data/xx/ID`: many blobs in one file.
//!
//! ```text
//! sealed blob · sealed blob · … · sealed header · length of that (4, little endian)
//! header entry: type (1) · length (4) [· content's length (4) if compressed] · id (32)
//! ```

use berth_api::{Error, Result};

use super::{BlobKind, Id, IndexBlob, crypt::OVERHEAD};

/// The length field at the end, in bytes.
pub const LENGTH_FIELD: usize = 4;
/// The largest header that is read, in bytes; more is damage. restic's own limit.
pub const LARGEST_HEADER: usize = 16 << 20;

/// The header of a pack with these blobs, to be sealed.
pub fn header(blobs: &[IndexBlob]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(blobs.len() * 41);
    for blob in blobs {
        let kind = match blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => 1,
        };
        bytes.push(kind | if blob.uncompressed_length.is_some() { 2 } else { 0 });
        bytes.extend(blob.length.to_le_bytes());
        if let Some(length) = blob.uncompressed_length {
            bytes.extend(length.to_le_bytes());
        }
        bytes.extend(blob.id.0);
    }
    bytes
}

/// Reads an opened [`header`] back.
///
/// # Errors
/// `Corrupt` if it has a wrong form.
pub fn parse(mut header: &[u8]) -> Result<Vec<IndexBlob>> {
    let wrong = || Error::corrupt("the header of the pack has a wrong form");
    let mut blobs = Vec::new();
    let mut offset = 0_u32;
    while let Some((kind, rest)) = header.split_first() {
        let (length, rest) = number(rest).ok_or_else(wrong)?;
        let (uncompressed_length, rest) = match kind {
            0 | 1 => (None, rest),
            2 | 3 => number(rest).map(|(length, rest)| (Some(length), rest)).ok_or_else(wrong)?,
            _ => return Err(wrong()),
        };
        let (id, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let kind = if kind & 1 == 0 { BlobKind::Data } else { BlobKind::Tree };
        blobs.push(IndexBlob { id: Id(*id), kind, offset, length, uncompressed_length });
        offset = offset.checked_add(length).ok_or_else(wrong)?;
        header = rest;
    }
    Ok(blobs)
}

/// How long the pack with these blobs is, in bytes.
pub fn size(blobs: &[IndexBlob]) -> u64 {
    let header: usize =
        blobs.iter().map(|blob| if blob.uncompressed_length.is_some() { 41 } else { 37 }).sum();
    let body: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
    body + (header + OVERHEAD + LENGTH_FIELD) as u64
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_no_bytes_panic() {
        let blob = |kind, offset, length, uncompressed_length| IndexBlob {
            id: Id::of(&[7]),
            kind,
            offset,
            length,
            uncompressed_length,
        };
        let blobs = vec![
            blob(BlobKind::Data, 0, 100, None),
            blob(BlobKind::Tree, 100, 33, Some(900)),
            blob(BlobKind::Data, 133, 40, Some(8)),
        ];
        let bytes = header(&blobs);
        assert_eq!(parse(&bytes).expect("its own bytes"), blobs);
        assert_eq!(size(&blobs), (173 + bytes.len() + OVERHEAD + LENGTH_FIELD) as u64);
        for length in 1..bytes.len() {
            if let Ok(less) = parse(&bytes[..length]) {
                assert!(blobs.starts_with(&less));
            }
        }
        let mut far = header(&[blob(BlobKind::Data, 0, u32::MAX, None)]);
        far.extend(header(&[blob(BlobKind::Data, 0, 1, None)]));
        assert!(parse(&far).is_err(), "offsets past 4 GiB");
        assert!(parse(&[9; 50]).is_err());
    }
}
