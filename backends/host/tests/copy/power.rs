//! Power cuts: `FS_IOC_SHUTDOWN` without a log flush. What was not synced is lost.

use std::{fs, process::Command};

use berth_host::beneath::Dir;

use crate::{
    attributes::everything,
    copy,
    disk::{Disk, Kind, run},
    facts,
};

#[test]
fn a_synced_copy_survives_a_power_cut() {
    for kind in [Kind::Ext4, Kind::Xfs, Kind::PlainXfs] {
        Disk::with(kind, 400, move |disk| {
            let (from, to) = (disk.path("from"), disk.path("to"));
            everything(&from, kind);
            let before = facts::of(&from);
            fs::create_dir(&to).unwrap();
            // The origin is old; only the copy is new.
            run(Command::new("sync").arg("-f").arg(&from));
            copy(&from, &to).unwrap();
            Dir::open(&to).unwrap().sync_file_system().unwrap();
            run(Command::new("xfs_io").args(["-x", "-r", "-c", "shutdown"]).arg(disk.path("")));
            disk.unmount();
            disk.mount();
            facts::assert_same(&before, &facts::of(&to));
        });
    }
}
