//! What is backed up: an image, and a tree of small files.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
};

pub(crate) const MIB: u64 = 1 << 20;
/// The image's length, in bytes.
pub(crate) const IMAGE: u64 = 2048 * MIB;
/// Files of the tree.
pub(crate) const FILES: u64 = 50_000;
/// The block of a changed-block backup, in bytes.
pub(crate) const BLOCK: u64 = 256 << 10;

/// Numbers that look random and are the same in each run.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.roll() >> 11) % bound
    }

    /// Bytes that do not compress.
    pub(crate) fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend(self.roll().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Lines of a log, which compress to a third or so.
    pub(crate) fn text(&mut self, length: usize) -> Vec<u8> {
        const WORDS: [&str; 12] = [
            "connection",
            "accepted",
            "from",
            "request",
            "served",
            "in",
            "milliseconds",
            "user",
            "volume",
            "mounted",
            "error",
            "retry",
        ];
        let mut bytes = Vec::with_capacity(length + 64);
        while bytes.len() < length {
            let _ = write!(bytes, "{:012x}", self.roll() >> 16);
            for _ in 0..6 {
                bytes.push(b' ');
                let word = usize::try_from(self.below(12)).expect("below 12");
                bytes.extend(WORDS[word].as_bytes());
            }
            bytes.push(b'\n');
        }
        bytes.truncate(length);
        bytes
    }
}

/// A third noise, a third text, the rest holes, in turns of 4 MiB.
pub(crate) fn image(path: &Path) {
    let file = File::create(path).expect("a fresh file");
    file.set_len(IMAGE).expect("holes fit");
    let mut dice = Dice::new(1);
    let piece = 4 * MIB;
    for turn in 0..IMAGE / piece {
        let length = usize::try_from(piece).expect("it fits in memory");
        let bytes = match turn % 3 {
            0 => dice.noise(length),
            1 => dice.text(length),
            _ => continue,
        };
        file.write_all_at(&bytes, turn * piece).expect("there is space");
    }
    file.sync_all().expect("synced");
}

/// Writes 1 % of the image anew, in pieces of `size` bytes at places of their own, half
/// noise and half text; says which.
pub(crate) fn change(path: &Path, size: u64, seed: u64) -> Vec<(u64, u64)> {
    let file = File::options().write(true).open(path).expect("the image");
    let mut dice = Dice::new(seed);
    let length = usize::try_from(size).expect("it fits in memory");
    let mut changed = std::collections::BTreeSet::new();
    while (changed.len() as u64) < IMAGE / 100 / size {
        let at = dice.below(IMAGE / size) * size;
        if !changed.insert(at) {
            continue;
        }
        let bytes =
            if changed.len().is_multiple_of(2) { dice.noise(length) } else { dice.text(length) };
        file.write_all_at(&bytes, at).expect("there is space");
    }
    file.sync_all().expect("synced");
    changed.into_iter().map(|at| (at, size)).collect()
}

/// Files of 1 KiB to `largest` bytes, 500 in a directory, half of them text.
pub(crate) fn tree(top: &Path, files: u64, largest: u64) {
    let mut dice = Dice::new(2);
    for number in 0..files {
        let directory = top.join(format!("d{:04}", number / 500));
        if number % 500 == 0 {
            fs::create_dir_all(&directory).expect("a fresh directory");
        }
        let length = usize::try_from(1024 + dice.below(largest - 1023)).expect("small");
        let bytes = if number % 2 == 0 { dice.text(length) } else { dice.noise(length) };
        fs::write(directory.join(format!("f{number:07}")), bytes).expect("there is space");
    }
}
