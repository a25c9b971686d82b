//! The suite on XFS without reflink.

mod disk;

struct Plain;

impl disk::Kind for Plain {
    const MEGABYTES: u64 = 300;
    const MKFS: &'static [&'static str] = &["mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=0"];
}

type Disk = disk::Disk<Plain>;

berth_api::conformance!(Disk);
berth_api::snapshot_conformance!(Disk);
berth_api::directory_conformance!(Disk);
