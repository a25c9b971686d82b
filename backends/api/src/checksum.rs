//! How records and sidecars are sealed: SHA-256 in lower-case hex.
//!
//! The checksum finds damage, not tampering: whoever may write the record may
//! write the checksum.

use sha2::{Digest, Sha256};

/// The SHA-256 of `parts`, each preceded by its length so that no two lists of
/// parts share a digest by concatenation.
pub fn seal(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    hex(&digest.finalize())
}

/// Lower-case hex of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::seal;

    #[test]
    fn boundaries_count() {
        assert_ne!(seal(&[b"ab", b"c"]), seal(&[b"a", b"bc"]));
        assert_eq!(seal(&[b"ab", b"c"]), seal(&[b"ab", b"c"]));
    }
}
