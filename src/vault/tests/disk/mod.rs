//! Disks: sparse files whose reads are counted, loop devices, volumes that are on them.

#![allow(unreachable_pub, reason = "as in `stock`")]

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use berth_api::{BlockReader, Consistency, Extent, Result, SnapshotId, VolumeId};
use berth_host::blocks::Blocks;
use berth_vault::{
    Backup, Repository,
    backup::{
        Description, Label, Mode, Request,
        description::Content,
        image::{ImageSource, Segments, back_up_in},
    },
    restore,
};
use jiff::Timestamp;

use crate::stock::{op, run};

/// The length of blocks.
pub const BLOCK: u32 = 256 << 10;

/// Bytes of which one half compresses.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
        bytes.extend([9; 8]);
    }
    bytes.truncate(length);
    bytes
}

/// A sparse file that counts what is read of it as blocks.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    file: File,
    read: AtomicU64,
    /// A byte that cannot be read.
    pub bad: Option<u64>,
}

impl Disk {
    pub fn new(path: PathBuf, size: u64) -> Self {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.expect("a new file");
        file.set_len(size).expect("a length");
        Self { path, file, read: AtomicU64::new(0), bad: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, offset).expect("written");
    }

    pub fn resize(&self, size: u64) {
        self.file.set_len(size).expect("a length");
    }

    /// Bytes that were read since the last call.
    pub fn bytes_read(&self) -> u64 {
        self.read.swap(0, Relaxed)
    }

    pub fn extents(&self) -> Vec<Extent> {
        Blocks::open(&self.path).and_then(|blocks| blocks.allocated()).expect("extents")
    }

    pub fn allocated(&self) -> u64 {
        self.extents().iter().map(|extent| extent.length).sum()
    }

    /// Restores a backup to a new file, which must be this disk.
    pub fn restored_is_the_same(&self, repository: &Repository, backup: &Backup, path: &Path) {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = file.expect("a new file");
        // What was there is not what it should be, and more of it.
        file.write_all_at(&content(77, 50 << 20), 0).expect("written");
        restore::image(repository, &op(), backup, &file, false).expect("restored");
        assert!(fs::read(path).expect("an image") == fs::read(&self.path).expect("the disk"));
        fs::remove_file(path).expect("removed");
        let blank = File::create_new(path).expect("a new file");
        restore::image(repository, &op(), backup, &blank, true).expect("restored");
        assert!(fs::read(path).expect("an image") == fs::read(&self.path).expect("the disk"));
        let blocks = Blocks::open(path).and_then(|blocks| blocks.allocated()).expect("extents");
        let allocated: u64 = blocks.iter().map(|extent| extent.length).sum();
        assert!(allocated <= self.allocated() + 8 * u64::from(BLOCK), "holes were filled");
    }
}

impl BlockReader for Disk {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        if self.bad.is_some_and(|bad| (offset..end).contains(&bad)) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.read.fetch_add(buffer.len() as u64, Relaxed);
        self.file.read_exact_at(buffer, offset)
    }
}

/// A volume on a disk.
#[derive(Debug)]
pub struct Volume {
    name: &'static str,
    id: VolumeId,
    /// The length of segments; also from when on there are any.
    pub segment: u64,
}

impl Volume {
    pub fn new(name: &'static str) -> Self {
        Self { name, id: VolumeId::random(), segment: 1 << 30 }
    }

    /// Backs it up, as the content of `snapshot`.
    pub fn back_up(
        &self,
        repository: &Repository,
        disk: &Disk,
        snapshot: Option<SnapshotId>,
        changed: Option<(SnapshotId, Vec<Extent>)>,
    ) -> Result<Backup> {
        let now = Timestamp::now();
        let size = fs::metadata(&disk.path).expect("a disk").len();
        let request = Request {
            label: Label {
                volume: self.name.parse().expect("a name"),
                volume_id: self.id,
                snapshot: None,
                snapshot_id: snapshot,
                consistency: Consistency::Atomic,
                mode: Mode::Full,
                bytes_read: 0,
                host: "alpha".to_owned(),
                host_id: "0123".to_owned(),
                pool: "disks".to_owned(),
                policy: None,
            },
            description: Description {
                version: 1,
                name: self.name.parse().expect("a name"),
                id: self.id,
                created: now,
                given: [].into(),
                options: [].into(),
                pool: "disks".to_owned(),
                backend: "image".to_owned(),
                host: "alpha".to_owned(),
                host_id: "0123".to_owned(),
                content: Content::Image {
                    size: 0,
                    block_size: 0,
                    filesystem: Some("ext4".to_owned()),
                    published: None,
                },
            },
            created: now,
        };
        let allocated = disk.extents();
        let source = ImageSource { reader: disk, size, block_size: BLOCK, allocated, changed };
        let segments = Segments { whole: self.segment, length: self.segment };
        back_up_in(repository, &op(), &request, &source, &segments)
    }
}

/// A loop device, until it is dropped.
#[derive(Debug)]
pub struct LoopDevice(PathBuf);

impl LoopDevice {
    pub fn over(path: &Path) -> Self {
        let made = run(Command::new("losetup").args(["--find", "--show"]).arg(path));
        Self(made.trim().into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Does something while it is mounted.
    pub fn mounted(&self, at: &Path, doing: impl FnOnce()) {
        run(Command::new("mount").args([&self.0, at]));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(doing));
        run(Command::new("umount").arg(at));
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}
