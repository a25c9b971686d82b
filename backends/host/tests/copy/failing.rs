//! Errors stop the whole, and say what and where.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use berth_api::{ErrorKind, Op};
use berth_host::beneath::copy::Way;

use crate::{
    copy, copy_by,
    disk::{Disk, Kind, run, until},
    op,
};

#[test]
fn a_full_disk_is_told_as_such() {
    for kind in [Kind::Ext4, Kind::PlainXfs] {
        Disk::with(kind, 400, move |disk| {
            let from = disk.path("from");
            fs::create_dir_all(from.join("below")).unwrap();
            for number in 0..60 {
                fs::write(from.join(format!("below/{number}")), vec![1; 4 << 20]).unwrap();
            }
            let error = copy_by(Way::Copy, &from, &disk.path("to"), &op()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{kind:?}: {error:?}");
            assert!(error.to_string().starts_with("copy `below/"), "{error:?}");
            assert!(error.chain().contains("No space left"), "{error:?}");
        });
    }
}

/// Metadata alone fills a disk, too.
#[test]
fn without_room_for_names_a_reflink_fails_as_well() {
    Disk::with(Kind::Xfs, 400, |disk| {
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        for number in 0..30_000 {
            File::create(from.join(format!("{number}"))).unwrap();
        }
        fs::create_dir(disk.path("to")).unwrap();
        disk.fill();
        let error = copy_by(Way::Reflink, &from, &disk.path("to"), &op()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    });
}

#[test]
fn one_file_that_cannot_be_read_fails_the_whole() {
    Disk::with(Kind::Ext4, 64, |disk| {
        let from = disk.path("from");
        fs::create_dir_all(from.join("below")).unwrap();
        for number in 0..500 {
            fs::write(from.join(format!("below/{number}")), "content").unwrap();
        }
        let bad = from.join("below/bad\n\u{1b}[31m");
        fs::write(&bad, "content").unwrap();
        let inode = fs::metadata(&bad).unwrap().ino();
        disk.unmount();
        let damage = format!("set_inode_field <{inode}> block[0] 0x1234");
        run(Command::new("debugfs").args(["-w", "-R", &damage]).arg(disk.image()));
        disk.mount();
        let error = copy(&from, &disk.path("to")).unwrap_err();
        assert_eq!(error.to_string(), r"copy `below/bad\n\u{1b}[31m`", "{error:?}");
        assert!(error.chain().ends_with("(os error 117)"), "{error:?}");
    });
}

#[test]
fn a_top_that_is_not_empty_is_refused() {
    Disk::with(Kind::Ext4, 64, |disk| {
        fs::create_dir_all(disk.path("from")).unwrap();
        fs::create_dir_all(disk.path("to/something")).unwrap();
        let [from, to] =
            ["from", "to"].map(|name| berth_host::beneath::Dir::open(&disk.path(name)).unwrap());
        let op = op();
        let request = berth_host::beneath::copy::Request {
            from: &from,
            to: &to,
            way: Way::Copy,
            origins: false,
            op: &op,
        };
        let error = berth_host::beneath::copy::tree(&request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    });
}

#[test]
fn it_ends_when_it_is_late_or_no_longer_wanted() {
    Disk::with(Kind::Ext4, 1200, |disk| {
        let from = disk.path("from");
        fs::create_dir(&from).unwrap();
        for number in 0..100 {
            fs::write(from.join(format!("{number}")), "x").unwrap();
        }
        let late = Op::new(Duration::ZERO);
        let error = copy_by(Way::Copy, &from, &disk.path("late"), &late).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let unwanted = op();
        unwanted.cancel();
        let error = copy_by(Way::Copy, &from, &disk.path("unwanted"), &unwanted).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);

        // In the middle of one large file.
        let large = File::create(from.join("large")).unwrap();
        let piece = vec![1; 1 << 20];
        for at in 0..400 {
            large.write_all_at(&piece, at << 20).unwrap();
        }
        let (op, ended) = (op(), AtomicBool::new(false));
        let error = thread::scope(|scope| {
            scope.spawn(|| {
                let begun = || op.counts().bytes_done >= 1 << 20 || ended.load(Relaxed);
                until("the copy has begun", begun);
                op.cancel();
            });
            let copied = copy_by(Way::Copy, &from, &disk.path("to"), &op);
            ended.store(true, Relaxed);
            copied.unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(op.counts().bytes_done < 400 << 20, "{:?}", op.counts());
    });
}

#[test]
fn progress_adds_up() {
    Disk::each(|disk, _| {
        let from = disk.path("from");
        fs::create_dir_all(from.join("below")).unwrap();
        for number in 0..100 {
            fs::write(from.join(format!("below/{number}")), vec![1; 10_000]).unwrap();
        }
        let op = op();
        for way in [
            Way::Copy,
            berth_host::beneath::copy::way(&berth_host::beneath::Dir::open(&from).unwrap())
                .unwrap(),
        ] {
            let before = op.counts();
            copy_by(way, &from, &disk.path(&format!("{way:?}{}", before.files_done)), &op).unwrap();
            let after = op.counts();
            assert_eq!(after.files_done - before.files_done, 100);
            assert_eq!(after.bytes_done - before.bytes_done, 1_000_000);
        }
    });
}
