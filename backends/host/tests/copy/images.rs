//! Images of file systems that are mounted to be read, and copied.

use std::{
    fs::{self, File},
    io::Write as _,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::Path,
    process::Command,
};

use berth_api::ErrorKind;
use berth_host::{
    beneath::{
        Dir,
        copy::{self, Way},
    },
    image::{Journal, MountedImage},
    loopdev::LoopDevice,
};
use nix::sys::statvfs::{FsFlags, fstatvfs};

use crate::{
    attributes::everything,
    disk::{Disk, Kind, run, until},
    facts, op,
};

fn opened(image: &Path) -> File {
    File::options().read(true).write(true).open(image).expect("there")
}

fn is_free(image: &Path) -> bool {
    LoopDevice::find(File::open(image).expect("there")).expect("told").is_none()
}

/// The image of the disk, which nobody has mounted any more.
fn released(disk: &Disk) -> File {
    disk.unmount();
    until("the device frees itself", || is_free(disk.image()));
    opened(disk.image())
}

fn refused(file: &File) -> berth_api::Error {
    MountedImage::open(file, Journal::Replay).expect_err("it must be refused")
}

#[test]
fn what_is_in_an_image_is_copied_out_of_it() {
    Disk::each(|disk, kind| {
        let published = disk.path("published");
        everything(&published, kind);
        let before = facts::of(&published);
        let file = released(disk);
        let image = disk.image().to_owned();
        Disk::with(kind, 400, move |other| {
            for journal in [Journal::Replay, Journal::Ignore] {
                until("the device frees itself", || is_free(&image));
                let mounted = MountedImage::open(&file, journal).expect("mounted");
                let to = other.path(&format!("{journal:?}"));
                fs::create_dir(&to).unwrap();
                let request = copy::Request {
                    from: &mounted.open_dir("published").unwrap(),
                    to: &Dir::open(&to).unwrap(),
                    way: Way::Copy,
                    origins: false,
                    op: &op(),
                };
                copy::tree(&request).expect("copied");
                facts::assert_same(&before, &facts::of(&to));
            }
        });
    });
}

#[test]
fn nobody_else_sees_it_and_nobody_writes() {
    Disk::each(|disk, _| {
        fs::create_dir(disk.path("published")).unwrap();
        fs::write(disk.path("published/file"), "content").unwrap();
        let file = released(disk);
        let table = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let known = table();
        let image = MountedImage::open(&file, Journal::Replay).expect("mounted");
        assert_eq!(table(), known, "it is in no table");
        let published = image.open_dir("published").unwrap();
        let flags = fstatvfs(published.as_fd()).unwrap().flags();
        let wanted =
            FsFlags::ST_RDONLY | FsFlags::ST_NOSUID | FsFlags::ST_NODEV | FsFlags::ST_NOEXEC;
        assert!(flags.contains(wanted), "{flags:?}");
        published.make_dir("new", 0o755).expect_err("it is read only");
        assert_eq!(refused(&file).kind(), ErrorKind::Busy, "twice at once");
        // What was opened is read to its end.
        drop(image);
        assert!(!is_free(disk.image()), "somebody reads it");
        assert_eq!(published.read("file", 100).unwrap(), b"content");
        drop(published);
        until("the device frees itself", || is_free(disk.image()));
    });
}

/// What was just synced is in the journal only.
#[test]
fn a_journal_is_replayed_or_left_alone() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        Disk::with(kind, 400, move |disk| {
            run(Command::new("sync").arg("-f").arg(disk.path("")));
            fs::create_dir(disk.path("published")).unwrap();
            let mut synced = File::create(disk.path("published/file")).unwrap();
            synced.write_all(b"content").unwrap();
            synced.sync_all().unwrap();
            drop(synced);
            // What a snapshot of the device would have.
            let taken = disk.outside("taken");
            run(Command::new("cp").arg("--sparse=always").args([disk.image(), &taken]));
            let file = opened(&taken);
            let bytes = || fs::read(&taken).unwrap();
            let before = bytes();
            let image = MountedImage::open(&file, Journal::Ignore).expect("mounted");
            image.open_dir("published").expect_err("only the journal has it");
            drop(image);
            until("the device frees itself", || is_free(&taken));
            assert!(before == bytes(), "not a byte is written");
            let image = MountedImage::open(&file, Journal::Replay).expect("mounted");
            let published = image.open_dir("published").expect("replayed");
            assert_eq!(published.read("file", 100).unwrap(), b"content");
        });
    }
}

/// A volume that is restored while it is in use has the UUID of its origin.
#[test]
fn the_origin_may_be_mounted() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        Disk::with(kind, 400, move |disk| {
            fs::create_dir(disk.path("published")).unwrap();
            drop(released(disk));
            let copied = disk.outside("copied");
            run(Command::new("cp").arg("--sparse=always").args([disk.image(), &copied]));
            disk.mount();
            let image = MountedImage::open(&opened(&copied), Journal::Replay).expect("mounted");
            image.open_dir("published").unwrap();
        });
    }
}

#[test]
fn what_reaches_out_of_the_image_is_refused() {
    let stage = tempfile::tempdir().unwrap();
    let kind = |change: &dyn Fn(&File)| {
        let path = stage.path().join("image");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.unwrap();
        file.set_len(1 << 20).unwrap();
        change(&file);
        refused(&file).kind()
    };
    assert_eq!(kind(&|_| {}), ErrorKind::Unsupported, "zeros");
    assert_eq!(kind(&|file| file.set_len(100).unwrap()), ErrorKind::Unsupported, "nothing");
    let write = |file: &File, at, bytes: &[u8]| file.write_all_at(bytes, at).unwrap();
    let journal = kind(&|file| {
        write(file, 1080, &[0x53, 0xef]);
        write(file, 1024 + 0xe4, &[8]);
    });
    assert_eq!(journal, ErrorKind::Unsupported, "a journal on another device");
    let options = kind(&|file| {
        write(file, 1080, &[0x53, 0xef]);
        write(file, 1024 + 0x200, b"journal_dev=0x801");
    });
    assert_eq!(options, ErrorKind::Unsupported, "options of its own");
    let several = kind(&|file| {
        write(file, 65600, b"_BHRfS_M");
        write(file, 65536 + 0x88, &[2]);
    });
    assert_eq!(several, ErrorKind::Unsupported, "one device of several");
    assert_eq!(kind(&|file| write(file, 0, b"XFSB")), ErrorKind::Unsupported, "no sectors");
    let damaged = kind(&|file| write(file, 1080, &[0x53, 0xef]));
    assert_eq!(damaged, ErrorKind::Corrupt, "an ext4 without blocks");
}

/// The kernel says so, and nothing stays behind.
#[test]
fn a_damaged_image_is_told_so() {
    Disk::with(Kind::Ext4, 64, |disk| {
        let file = released(disk);
        file.write_all_at(&[0xff; 4096], 2048).unwrap();
        refused(&file);
        until("the device frees itself", || is_free(disk.image()));
    });
}
