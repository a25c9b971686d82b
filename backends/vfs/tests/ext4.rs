//! The suite on ext4, where everything is copied.

mod disk;

struct Ext4;

impl disk::Kind for Ext4 {
    const MEGABYTES: u64 = 64;
    const MKFS: &'static [&'static str] = &["mkfs.ext4", "-q", "-F", "-E", "nodiscard"];
}

type Disk = disk::Disk<Ext4>;

berth_api::conformance!(Disk);
berth_api::snapshot_conformance!(Disk);
berth_api::directory_conformance!(Disk);
