//! The first sector of XFS: what is fixed when it is made.
//!
//! Offsets as in `fs/xfs/libxfs/xfs_format.h`, `struct xfs_dsb`, big endian.

/// What an image of ours is called; up to twelve bytes.
pub(super) const LABEL: &str = "berth";
/// How much of the file is read.
pub(super) const LENGTH: usize = 512;

/// What is needed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Bytes in a block.
    pub(super) block_size: u32,
    /// Bytes in a sector: the device may not have larger ones.
    pub(super) sector_size: u32,
    /// Blocks of the log, which `statvfs` does not count.
    pub(super) log_blocks: u32,
}

impl Superblock {
    /// Reads the head of a file; a refusal says what it is not.
    pub(super) fn parse(head: &[u8; LENGTH]) -> Result<Self, &'static str> {
        if &head[..4] != b"XFSB" {
            return Err("it holds no XFS");
        }
        let label = &head[108..120];
        if label.split(|byte| *byte == 0).next() != Some(LABEL.as_bytes()) {
            return Err("its XFS has not the label `berth`");
        }
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let superblock = Self {
            block_size: word(4),
            sector_size: u32::from(u16::from_be_bytes([head[102], head[103]])),
            log_blocks: word(96),
        };
        let sound = superblock.block_size.is_power_of_two()
            && superblock.sector_size.is_power_of_two()
            && (512..=65536).contains(&superblock.block_size)
            && (512..=superblock.block_size).contains(&superblock.sector_size);
        if sound { Ok(superblock) } else { Err("its XFS is damaged") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> [u8; LENGTH] {
        let mut head = [0; LENGTH];
        head[..4].copy_from_slice(b"XFSB");
        head[4..8].copy_from_slice(&4096_u32.to_be_bytes());
        head[96..100].copy_from_slice(&16384_u32.to_be_bytes());
        head[102..104].copy_from_slice(&4096_u16.to_be_bytes());
        head[108..113].copy_from_slice(b"berth");
        head
    }

    #[test]
    fn what_mkfs_writes_is_understood() {
        let expected = Superblock { block_size: 4096, sector_size: 4096, log_blocks: 16384 };
        assert_eq!(Superblock::parse(&head()), Ok(expected));
    }

    #[test]
    fn anything_else_is_told_what_it_is_not() {
        let changed = |at: usize, byte: u8| {
            let mut head = head();
            head[at] = byte;
            Superblock::parse(&head).expect_err("changed")
        };
        assert_eq!(Superblock::parse(&[0; LENGTH]), Err("it holds no XFS"));
        assert_eq!(changed(3, b'b'), "it holds no XFS");
        assert_eq!(changed(113, b's'), "its XFS has not the label `berth`");
        assert_eq!(changed(108, 0), "its XFS has not the label `berth`");
        assert_eq!(changed(7, 1), "its XFS is damaged");
        assert_eq!(changed(102, 0xff), "its XFS is damaged");
    }
}
