//! Power cuts (`FS_IOC_SHUTDOWN` without a log flush) right after a volume was made of
//! what somebody put there, or its content replaced: what was answered is on disk.

mod disk;

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    process::Command,
    time::Duration,
};

use berth_api::{
    Backend, Change, Consistency, Content, Context as _, Handle, HostId, Layout, Op, Options,
    PoolId, Progress, Result, Sidecar, SnapshotId, SnapshotSidecar, Target, VolumeId, VolumeSpec,
    conformance::{DirectoryStage as _, Stage as _},
};
use disk::{Disk, Kind, run};

struct Ext4;

impl Kind for Ext4 {
    const MEGABYTES: u64 = 64;
    const MKFS: &'static [&'static str] = &["mkfs.ext4", "-q", "-F"];
}

struct Xfs;

impl Kind for Xfs {
    const MEGABYTES: u64 = 300;
    const MKFS: &'static [&'static str] = &["mkfs.xfs", "-q", "-f", "-K"];
}

fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

/// More than a journal keeps, and nothing is synced.
fn fill(_: &Op, target: Target<'_>) -> Result<()> {
    let Target::Directory { top, .. } = target else { panic!("a directory") };
    let top = format!("/proc/self/fd/{}", top.as_raw_fd());
    fs::create_dir(format!("{top}/folder")).context(|| "make")?;
    fs::write(format!("{top}/folder/file"), content()).context(|| "write")
}

fn content() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(1 << 20).collect()
}

/// The pool on a disk, and what its daemon remembers.
struct Pool<K: Kind> {
    disk: Disk<K>,
    backend: Box<dyn Backend>,
    id: PoolId,
    host: HostId,
}

impl<K: Kind> Pool<K> {
    fn new() -> Self {
        let disk = Disk::fresh();
        let (backend, host) = (disk.open(), HostId::random());
        let id = backend.identify(&op(), None, host).expect("a pool").pool;
        // Of the pool itself nothing is to be told here.
        run(Command::new("sync").arg("-f").arg(disk.path()));
        Self { disk, backend, id, host }
    }

    /// The power goes, and comes back.
    fn cut(&mut self) {
        let mountpoint = self.disk.path().ancestors().nth(2).expect("a disk's").to_owned();
        let image = mountpoint.with_file_name("image");
        run(Command::new("xfs_io").args(["-x", "-r", "-c", "shutdown"]).arg(&mountpoint));
        run(Command::new("umount").arg(&mountpoint));
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &mountpoint]));
        self.backend = self.disk.open();
        self.backend.identify(&op(), Some(self.id), self.host).expect("the pool");
    }

    fn planned(&self) -> (Handle, Sidecar) {
        let sidecar = Sidecar {
            spec: VolumeSpec {
                id: VolumeId::random(),
                name: "db".parse().expect("a valid name"),
                created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
                given: BTreeMap::new(),
                options: Options::default(),
            },
            layout: Layout::Subdirectory,
        };
        (self.backend.plan(&op(), &sidecar.spec).expect("planned"), sidecar)
    }

    fn content(&self, volume: &Handle, snapshot: Option<&Handle>) -> OwnedFd {
        match self.backend.content(&op(), volume, snapshot).expect("whole") {
            Content::Directory { data, .. } => data,
            other => panic!("{other:?}"),
        }
    }
}

fn assert_filled(data: &OwnedFd) {
    let file = format!("/proc/self/fd/{}/folder/file", data.as_raw_fd());
    assert!(fs::read(Path::new(&file)).expect("there") == content(), "its content is whole");
}

fn filled<K: Kind>() {
    let mut pool = Pool::<K>::new();
    let (handle, sidecar) = pool.planned();
    let made = pool.backend.create_from(&op(), &handle, &sidecar, &fill).expect("made");
    assert_eq!(made, Progress::Ready(Change::Done));
    pool.cut();
    assert_filled(&pool.content(&handle, None));
}

fn replaced<K: Kind>() {
    let mut pool = Pool::<K>::new();
    let (handle, sidecar) = pool.planned();
    pool.backend.create_from(&op(), &handle, &sidecar, &fill).expect("made");
    let snapshots = pool.backend.snapshots().expect("it has");
    let description = SnapshotSidecar {
        id: SnapshotId::random(),
        volume: sidecar.spec.id,
        name: "kept".parse().expect("a valid name"),
        created: sidecar.spec.created,
        consistency: Consistency::Live,
        policy: None,
    };
    let kept = snapshots.plan(&op(), &handle, description.id).expect("planned");
    snapshots.replace(&op(), &handle, &kept, &description, &fill).expect("replaced");
    pool.cut();
    assert_filled(&pool.content(&handle, None));
    assert_filled(&pool.content(&handle, Some(&kept)));
}

#[test]
fn a_filled_volume_is_whole_after_a_cut() {
    filled::<Ext4>();
    filled::<Xfs>();
}

#[test]
fn replaced_content_is_whole_after_a_cut() {
    replaced::<Ext4>();
    replaced::<Xfs>();
}
