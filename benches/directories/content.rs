//! What is put into volumes: many files, one large one, one with holes.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
};

use nix::fcntl::{FallocateFlags, fallocate};

/// Files in a directory.
const TOGETHER: u64 = 1000;

/// What all sizes are divided by, for a quick look.
pub(crate) fn part() -> u64 {
    env::var("BERTH_BENCH_PART").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

/// `count` files of `size` bytes, in directories of 1000.
pub(crate) fn many(top: &Path, count: u64, size: usize) {
    let mut bytes = vec![0; size];
    for n in 0..count / part() {
        let directory = top.join(format!("d{}", n / TOGETHER));
        if n % TOGETHER == 0 {
            fs::create_dir(&directory).expect("a fresh directory");
        }
        // No two alike, and no zeroes that could be taken for holes.
        bytes.fill(u8::try_from(n % 255).expect("small") + 1);
        let mut file = File::create(directory.join(format!("f{n}"))).expect("a fresh file");
        file.write_all(&bytes).expect("there is space");
    }
}

/// One file of so many bytes whose blocks are there but were never written, which
/// is the same to who shares them and costs the host no space.
pub(crate) fn large(top: &Path, bytes: u64) {
    let file = File::create(top.join("large")).expect("a fresh file");
    let length = i64::try_from(bytes / part()).expect("it fits on a disk");
    fallocate(&file, FallocateFlags::empty(), 0, length).expect("there is space");
}

/// An image of so many bytes, an eighth of them written: 1 MiB of every 8.
pub(crate) fn sparse(top: &Path, bytes: u64) {
    const PIECE: u64 = 1 << 20;
    let file = File::create(top.join("image")).expect("a fresh file");
    let bytes = bytes / part();
    file.set_len(bytes).expect("holes fit");
    let piece = vec![0xa5; usize::try_from(PIECE).expect("it fits in memory")];
    for at in (0..bytes).step_by(usize::try_from(8 * PIECE).expect("it fits in memory")) {
        file.write_all_at(&piece, at).expect("there is space");
    }
}
