//! What tells later whether the source of a copied file has changed since.
//!
//! A clone has an inode and a time of change of its own, so the source's are
//! written down beside it. The file:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `BERTHORG` |
//! | 4 | version, 1 |
//! | 8 | number of records |
//! | 28 each | inode of the copy, inode of the origin, seconds (signed), nanoseconds; bit 31 of the last is `racy` |
//! | 32 | SHA-256 of all before |
//!
//! Numbers are little-endian; records ascend by the copy's inode.

use berth_api::{Error, Result};
use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"BERTHORG";
const VERSION: u32 = 1;
const HEADER: usize = 20;
const RECORD: usize = 28;
const SEAL: usize = 32;
const RACY: u32 = 1 << 31;
const SECOND: u32 = 1_000_000_000;

/// Where one copied file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The copy's inode.
    pub inode: u64,
    /// The source's inode.
    pub origin: u64,
    /// The source's time of change: seconds, nanoseconds.
    pub changed: (i64, u32),
    /// It changed so shortly before (or while) it was copied that a change right
    /// after might not show in its time of change: equality proves nothing.
    pub racy: bool,
}

/// The origins of a copy, one for each regular file (not for each of its names).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Ascending by the copy's inode.
    records: Vec<Origin>,
}

impl Origins {
    /// The records in any order.
    pub fn new(mut records: Vec<Origin>) -> Self {
        records.sort_unstable_by_key(|record| record.inode);
        records.dedup_by_key(|record| record.inode);
        Self { records }
    }

    /// The origin of the copy with this inode.
    pub fn find(&self, inode: u64) -> Option<&Origin> {
        let index = self.records.binary_search_by_key(&inode, |record| record.inode).ok()?;
        self.records.get(index)
    }

    /// All, ascending by the copy's inode.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Origin> {
        self.records.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + RECORD * self.records.len() + SEAL);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.records.len() as u64).to_le_bytes());
        for record in &self.records {
            bytes.extend_from_slice(&record.inode.to_le_bytes());
            bytes.extend_from_slice(&record.origin.to_le_bytes());
            bytes.extend_from_slice(&record.changed.0.to_le_bytes());
            let racy = if record.racy { RACY } else { 0 };
            bytes.extend_from_slice(&(record.changed.1 | racy).to_le_bytes());
        }
        let seal = Sha256::digest(&bytes);
        bytes.extend_from_slice(&seal);
        bytes
    }

    /// Reads the file's content.
    ///
    /// # Errors
    /// `Unsupported` for a newer version, `Corrupt` for everything that
    /// [`to_bytes`](Self::to_bytes) would not have written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let content = bytes.len().checked_sub(SEAL).ok_or_else(damaged)?;
        let (content, seal) = bytes.split_at(content);
        if !content.starts_with(MAGIC) || Sha256::digest(content).as_slice() != seal {
            return Err(damaged());
        }
        let mut rest = &content[MAGIC.len()..];
        let version = u32::from_le_bytes(take(&mut rest)?);
        if version != VERSION {
            let text = format!("the list of origins has version {version}, not {VERSION}");
            return Err(Error::unsupported(text));
        }
        let count = u64::from_le_bytes(take(&mut rest)?);
        if count.checked_mul(RECORD as u64) != Some(rest.len() as u64) {
            return Err(damaged());
        }
        let mut records = Vec::with_capacity(rest.len() / RECORD);
        while !rest.is_empty() {
            records.push(record(&mut rest)?);
        }
        if !records.is_sorted_by(|a, b| a.inode < b.inode) {
            return Err(damaged());
        }
        Ok(Self { records })
    }
}

fn record(rest: &mut &[u8]) -> Result<Origin> {
    let inode = u64::from_le_bytes(take(rest)?);
    let origin = u64::from_le_bytes(take(rest)?);
    let seconds = i64::from_le_bytes(take(rest)?);
    let last = u32::from_le_bytes(take(rest)?);
    let (nanoseconds, racy) = (last & !RACY, last & RACY != 0);
    if nanoseconds >= SECOND {
        return Err(damaged());
    }
    Ok(Origin { inode, origin, changed: (seconds, nanoseconds), racy })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, left) = rest.split_first_chunk().ok_or_else(damaged)?;
    *rest = left;
    Ok(*taken)
}

fn damaged() -> Error {
    Error::corrupt("the list of origins is damaged")
}

#[cfg(test)]
mod tests {
    use berth_api::ErrorKind;

    use super::*;

    fn origin(inode: u64) -> Origin {
        let nanoseconds = u32::try_from(inode % 1000).expect("small");
        let changed = (-5 + i64::try_from(inode).expect("small"), SECOND - 1 - nanoseconds);
        Origin { inode, origin: u64::MAX - inode, changed, racy: inode.is_multiple_of(3) }
    }

    /// `bytes` with a seal that fits.
    fn sealed(bytes: &[u8]) -> Vec<u8> {
        [bytes, &Sha256::digest(bytes)].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 2, 1000] {
            let origins = Origins::new((0..count).rev().map(origin).collect());
            let read = Origins::from_bytes(&origins.to_bytes()).expect("whole");
            assert_eq!(read, origins);
            assert_eq!(read.len() as u64, count);
            assert_eq!(read.is_empty(), count == 0);
            for inode in 0..count {
                assert_eq!(read.find(inode), Some(&origin(inode)));
            }
            assert_eq!(read.find(count), None);
        }
    }

    #[test]
    fn the_format_is_what_is_documented() {
        let origin = Origin { inode: 1, origin: 2, changed: (-1, 3), racy: true };
        let bytes = Origins::new(vec![origin]).to_bytes();
        let expected = [
            b"BERTHORG".as_slice(),
            &[1, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[0xff; 8],
            &[3, 0, 0, 0x80],
        ]
        .concat();
        assert_eq!(bytes, sealed(&expected));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = Origins::new((0..3).map(origin).collect()).to_bytes();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = Origins::from_bytes(&bytes).expect_err("damaged");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for length in 0..whole.len() {
            Origins::from_bytes(&whole[..length]).expect_err("cut short");
        }
        Origins::from_bytes(&[whole.as_slice(), &[0]].concat()).expect_err("too long");
    }

    #[test]
    fn a_seal_alone_makes_nothing_true() {
        let whole = Origins::new((0..3).map(origin).collect()).to_bytes();
        let content = &whole[..whole.len() - SEAL];
        Origins::from_bytes(&sealed(content)).expect("unchanged");
        let changed = |at: usize, to: &[u8]| {
            let mut bytes = content.to_vec();
            bytes[at..at + to.len()].copy_from_slice(to);
            Origins::from_bytes(&sealed(&bytes)).map_err(|error| error.kind())
        };
        assert_eq!(changed(8, &[2]), Err(ErrorKind::Unsupported));
        assert_eq!(changed(0, b"X"), Err(ErrorKind::Corrupt));
        assert_eq!(changed(12, &[4]), Err(ErrorKind::Corrupt), "count");
        assert_eq!(changed(12, &[0xff; 8]), Err(ErrorKind::Corrupt), "count");
        assert_eq!(changed(HEADER, &[9]), Err(ErrorKind::Corrupt), "order");
        assert_eq!(changed(HEADER, &[1]), Err(ErrorKind::Corrupt), "one inode twice");
        let too_many = SECOND.to_le_bytes();
        assert_eq!(changed(HEADER + 24, &too_many), Err(ErrorKind::Corrupt), "nanoseconds");
        Origins::from_bytes(&sealed(&content[..content.len() - 1])).expect_err("cut short");
    }
}
