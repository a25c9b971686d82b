//! Content-defined cuts, where restic makes them: the same content in the same
//! repository becomes the same blobs, whoever wrote it.
//!
//! A cut is where the Rabin fingerprint of the 64 bytes before ends in 20 zero bits,
//! once in a MiB on average, and not before [`MIN`] nor after [`MAX`] bytes.

use std::fmt;

use rustic_cdc::{Polynom as _, Rabin64};

/// The smallest chunk, in bytes; but for the last one of a file.
pub(super) const MIN: usize = 512 << 10;
/// The largest chunk, in bytes.
pub(super) const MAX: usize = 8 << 20;
/// What is zero at a cut.
const MASK: u64 = (1 << 20) - 1;
/// Bytes that a fingerprint is of.
const WINDOW: usize = 64;

/// Knows where to cut. Its tables take longer to make than a small file to read, so
/// there is one for a whole backup.
pub(super) struct Chunker {
    /// What a byte adds to the fingerprint as it leaves the window.
    out: [u64; 256],
    /// What makes a fingerprint small again, by its highest byte.
    reduced: [u64; 256],
    shift: u32,
}

/// How far a chunk was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    at: usize,
    fingerprint: u64,
}

impl Chunker {
    /// For this polynomial, which is irreducible and of degree 53.
    pub(super) fn new(polynomial: u64) -> Self {
        Self {
            out: Rabin64::calculate_out_table(WINDOW, &polynomial),
            reduced: Rabin64::calculate_mod_table(&polynomial),
            shift: polynomial.degree().unsigned_abs() - 8,
        }
    }

    /// Where the chunk that begins with `bytes` ends; `None` if that cannot be told
    /// yet. `scan` is new for each chunk, and `bytes` only grow until it ends.
    pub(super) fn cut(&self, scan: &mut Scan, bytes: &[u8]) -> Option<usize> {
        let Scan { mut at, mut fingerprint } = *scan;
        if at == 0 {
            if bytes.len() < MIN {
                return None;
            }
            // The window begins full of zeros, which add nothing as they leave.
            for byte in &bytes[MIN - WINDOW..MIN] {
                fingerprint = self.slide(fingerprint, *byte);
            }
            at = MIN;
        }
        let end = bytes.len().min(MAX);
        let (leaving, entering) = (&bytes[at - WINDOW..end - WINDOW], &bytes[at..end]);
        for (old, new) in leaving.iter().zip(entering) {
            if fingerprint & MASK == 0 {
                return Some(at);
            }
            fingerprint = self.slide(fingerprint ^ self.out[usize::from(*old)], *new);
            at += 1;
        }
        *scan = Scan { at, fingerprint };
        (fingerprint & MASK == 0 || at == MAX).then_some(at)
    }

    fn slide(&self, fingerprint: u64, byte: u8) -> u64 {
        let [highest, ..] = (fingerprint >> self.shift).to_le_bytes();
        (fingerprint << 8 | u64::from(byte)) ^ self.reduced[usize::from(highest)]
    }
}

impl fmt::Debug for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends of the chunks of `content`, looked at `step` more bytes at a time.
    fn ends(content: &[u8], step: usize) -> Vec<usize> {
        let chunker = Chunker::new(0x003D_A335_8B4D_C173);
        let (mut ends, mut start) = (Vec::new(), 0);
        while start < content.len() {
            let (mut scan, mut seen) = (Scan::default(), start);
            let end = loop {
                seen = (seen + step).min(content.len());
                match chunker.cut(&mut scan, &content[start..seen]) {
                    Some(length) => break start + length,
                    None if seen == content.len() => break seen,
                    None => {}
                }
            };
            ends.push(end);
            start = end;
        }
        ends
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn cuts_do_not_depend_on_how_content_comes() {
        let content = noise(24 << 20);
        let whole = ends(&content, content.len());
        assert!(whole.len() > 8, "{whole:?}");
        assert_eq!(ends(&content, 300_000), whole);
        assert_eq!(ends(&content, MIN), whole);
        let sizes = whole.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(sizes.clone().all(|size| size <= MAX), "{whole:?}");
        let inner = sizes.len() - 1;
        assert!(sizes.take(inner).all(|size| size >= MIN), "{whole:?}");
    }

    #[test]
    fn cuts_come_back_after_a_change() {
        let mut content = noise(16 << 20);
        let before = ends(&content, MIN);
        content.splice(1000..1000, *b"put in");
        let after = ends(&content, MIN);
        let moved: Vec<_> = before.iter().skip(2).map(|end| end + 6).collect();
        assert!(after.ends_with(&moved), "{before:?} {after:?}");
    }

    #[test]
    fn zeros_are_cut_as_early_as_may_be() {
        assert_eq!(ends(&vec![0; MIN * 3 + 1], MIN), [MIN, 2 * MIN, 3 * MIN, 3 * MIN + 1]);
    }
}
