//! The suite on XFS with reflink, where copies share their data.

mod disk;

struct Xfs;

impl disk::Kind for Xfs {
    const MEGABYTES: u64 = 300;
    const MKFS: &'static [&'static str] = &["mkfs.xfs", "-q", "-f", "-K"];
}

type Disk = disk::Disk<Xfs>;

berth_api::conformance!(Disk);
berth_api::snapshot_conformance!(Disk);
berth_api::directory_conformance!(Disk);
