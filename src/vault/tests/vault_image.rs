//! Images: backed up in blocks, judged by stock restic, restored onto files and devices.

mod disk;
mod stock;

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
    process::Command,
};

use berth_api::{ErrorKind, Extent, SnapshotId};
use berth_vault::{Backup, Kind, backup::Mode, restore};
use disk::{BLOCK, Disk, LoopDevice, Volume, content};
use stock::{Stock, backups, op, run};

const MIB: u64 = 1 << 20;

fn same(one: &Path, other: &Path) -> bool {
    Command::new("cmp").arg("-s").args([one, other]).status().expect("cmp").success()
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("it opens")
}

#[test]
fn holes_are_not_read_and_restic_gives_the_image_back() {
    let stage = Stock::empty();
    let repository = stage.init();
    let disk = Disk::new(stage.path("disk"), 64 * MIB + 4096);
    disk.write(0, &content(1, 3 << 20));
    disk.write(20 * MIB, &vec![0; 1 << 20]);
    disk.write(64 * MIB - 100, &content(2, 4196));
    let volume = Volume::new("db");
    let backup = volume.back_up(&repository, &disk, None, None).expect("a backup");
    assert_eq!((backup.label.mode, backup.size, backup.files), (Mode::Full, 64 * MIB + 4096, 1));
    let (read, allocated) = (disk.bytes_read(), disk.allocated());
    assert!(read <= allocated + 4 * u64::from(BLOCK), "{read} of {allocated}");
    assert_eq!(backup.label.bytes_read, read);
    assert_eq!(backups(&repository), std::slice::from_ref(&backup));

    stage.judged(1);
    let id = backup.id.to_string();
    for (number, restic) in stock::all().iter().enumerate() {
        let out = stage.path(&format!("out-{number}"));
        let target = out.to_str().expect("UTF-8");
        stage.by(restic, "/", &["restore", &id, "--target", target]);
        assert!(same(disk.path(), &out.join("volume.img")), "{}", restic.display());
    }
    let out = stage.path("out-0");
    let description = fs::read(out.join("volume.json")).expect("a description");
    let read = restore::description(
        &repository,
        &op(),
        &repository.index(&op()).expect("an index"),
        &backup,
    );
    assert_eq!(read.expect("it is there").to_bytes(), description);

    let loop_file = Disk::new(stage.path("loop"), 64 * MIB + 4096);
    loop_file.write(10 * MIB, &content(9, 1 << 20));
    let device = LoopDevice::over(loop_file.path());
    let dump = format!(
        "restic --no-cache -r {} dump {id} /volume.img | dd of={} bs=1M conv=fsync status=none",
        stage.path("repo").display(),
        device.path().display()
    );
    run(Command::new("bash")
        .env("RESTIC_PASSWORD", stock::PASSWORD)
        .args(["-o", "pipefail", "-c", &dump]));
    assert!(same(disk.path(), device.path()));
}

#[test]
fn a_second_backup_reads_only_what_changed() {
    let stage = Stock::empty();
    let repository = stage.init();
    let disk = Disk::new(stage.path("disk"), 32 * MIB);
    disk.write(0, &content(1, 32 << 20));
    let volume = Volume::new("db");
    let (first, second) = (SnapshotId::random(), SnapshotId::random());
    volume.back_up(&repository, &disk, Some(first), None).expect("a backup");
    assert_eq!(disk.bytes_read(), 32 * MIB);

    disk.write(5 * MIB + 7, &content(3, 100));
    disk.write(9 * MIB - 1, &content(4, 2));
    let changed =
        vec![Extent { offset: 5 * MIB, length: 4096 }, Extent { offset: 9 * MIB - 1, length: 2 }];
    let delta = Some((first, changed.clone()));
    let backup = volume.back_up(&repository, &disk, Some(second), delta).expect("a backup");
    assert_eq!(backup.label.mode, Mode::ChangedBlocks);
    assert_eq!(backup.label.bytes_read, 3 * u64::from(BLOCK));
    assert_eq!(disk.bytes_read(), 3 * u64::from(BLOCK));
    assert!(backup.bytes_added < 4 * u64::from(BLOCK), "{}", backup.bytes_added);
    assert_eq!(backup.file.parent, Some(backups(&repository)[0].id));
    disk.restored_is_the_same(&repository, &backup, &stage.path("second"));

    // It grew, and part of the new is a hole.
    disk.resize(40 * MIB + 5000);
    disk.write(40 * MIB, &content(5, 5000));
    let delta = Some((second, Vec::new()));
    let third = SnapshotId::random();
    let backup = volume.back_up(&repository, &disk, Some(third), delta).expect("a backup");
    assert_eq!((backup.label.mode, disk.bytes_read()), (Mode::ChangedBlocks, 5000));
    disk.restored_is_the_same(&repository, &backup, &stage.path("third"));

    // What is not of that base, of another volume, or shorter now, is read whole.
    let other = Volume::new("other");
    for (volume, base) in [(&volume, SnapshotId::random()), (&other, third)] {
        let delta = Some((base, Vec::new()));
        let backup = volume.back_up(&repository, &disk, None, delta).expect("a backup");
        assert_eq!((backup.label.mode, backup.file.parent), (Mode::Full, None));
        assert!(backup.label.bytes_read >= 32 * MIB && disk.bytes_read() >= 32 * MIB);
    }
    disk.resize(16 * MIB);
    let delta = Some((third, Vec::new()));
    let backup = volume.back_up(&repository, &disk, None, delta).expect("a backup");
    assert_eq!((backup.label.mode, backup.label.bytes_read), (Mode::Full, 16 * MIB));
    stage.restic("/", &["check", "--read-data"]);
}

#[test]
fn a_parent_whose_blobs_are_lost_is_not_used() {
    let stage = Stock::empty();
    let repository = stage.init();
    let disk = Disk::new(stage.path("disk"), 8 * MIB);
    disk.write(0, &content(1, 8 << 20));
    let volume = Volume::new("db");
    let base = SnapshotId::random();
    volume.back_up(&repository, &disk, Some(base), None).expect("a backup");
    // Trees are in another pack, and stay.
    let index = repository.index(&op()).expect("an index");
    let data = berth_vault::format::BlobKind::Data;
    let lost = index.places(data).next().expect("a blob").1.pack;
    repository.store().remove(&op(), Kind::Pack, &lost).expect("removed");
    stage.restic("/", &["rebuild-index"]);
    let delta = Some((base, Vec::new()));
    let backup = volume.back_up(&repository, &disk, None, delta).expect("a backup");
    assert_eq!((backup.label.mode, backup.label.bytes_read), (Mode::Full, 8 * MIB));
    disk.restored_is_the_same(&repository, &backup, &stage.path("out"));
}

#[test]
fn segments_that_nobody_touched_cost_nothing() {
    let stage = Stock::empty();
    let repository = stage.init();
    let disk = Disk::new(stage.path("disk"), 30 * MIB);
    disk.write(0, &content(1, 12 << 20));
    let mut volume = Volume::new("db");
    volume.segment = 4 * MIB;
    let ids: Vec<_> = (0..3).map(|_| SnapshotId::random()).collect();
    let backup = volume.back_up(&repository, &disk, Some(ids[0]), None).expect("a backup");
    disk.restored_is_the_same(&repository, &backup, &stage.path("first"));
    assert_eq!(disk.bytes_read(), 12 * MIB);

    disk.write(6 * MIB, &content(2, 10));
    let delta = Some((ids[0], vec![Extent { offset: 6 * MIB, length: 10 }]));
    let backup = volume.back_up(&repository, &disk, Some(ids[1]), delta).expect("a backup");
    let summary = backup.file.summary.as_ref().expect("a summary");
    // One segment, all segments, the top; one block and the description.
    assert_eq!((summary.tree_blobs, disk.bytes_read()), (3, u64::from(BLOCK)));
    disk.restored_is_the_same(&repository, &backup, &stage.path("second"));

    disk.resize(37 * MIB + 512);
    disk.write(37 * MIB, &content(3, 512));
    let delta = Some((ids[1], Vec::new()));
    let backup = volume.back_up(&repository, &disk, Some(ids[2]), delta).expect("a backup");
    assert_eq!((backup.label.mode, disk.bytes_read()), (Mode::ChangedBlocks, 512));
    disk.restored_is_the_same(&repository, &backup, &stage.path("third"));

    let out = stage.path("out");
    let id = backup.id.to_string();
    stage.restic("/", &["restore", &id, "--target", out.to_str().expect("UTF-8")]);
    let mut whole = Vec::new();
    for number in 0..10 {
        let segment = out.join(format!("volume.img.d/{number:05}/segment"));
        whole.extend(fs::read(segment).expect("a segment"));
    }
    assert!(fs::read(disk.path()).expect("the disk") == whole, "other bytes");
    stage.restic("/", &["check", "--read-data"]);
}

#[test]
fn a_block_that_cannot_be_read_fails_the_backup() {
    let stage = Stock::empty();
    let repository = stage.init();
    let mut disk = Disk::new(stage.path("disk"), 16 * MIB);
    disk.write(0, &content(1, 16 << 20));
    disk.bad = Some(9 * MIB + 1);
    let error = Volume::new("db").back_up(&repository, &disk, None, None).expect_err("bad");
    let text = error.chain();
    assert!(text.contains("at offset 9437184") && text.contains("os error 5"), "{text}");
    assert_eq!(backups(&repository), []);
    assert_eq!(repository.store().list(&op(), Kind::Lock).expect("locks"), []);
}

#[test]
fn a_device_with_data_becomes_the_image() {
    let stage = Stock::empty();
    let repository = stage.init();
    let disk = Disk::new(stage.path("disk"), 64 * MIB);
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.path()));
    let mount = stage.path("mount");
    fs::create_dir(&mount).expect("a mountpoint");
    let source = LoopDevice::over(disk.path());
    source.mounted(&mount, || fs::write(mount.join("hello"), "world").expect("a file"));
    drop(source);
    let backup = Volume::new("db").back_up(&repository, &disk, None, None).expect("a backup");

    for (name, size) in [("short", 63 * MIB), ("exact", 64 * MIB), ("long", 65 * MIB)] {
        let target = Disk::new(stage.path(name), size);
        target.write(0, &content(7, usize::try_from(size).expect("small")));
        let device = LoopDevice::over(target.path());
        let restored = restore::image(&repository, &op(), &backup, &open(device.path()), false);
        if name == "short" {
            let error = restored.expect_err("too short");
            assert_eq!(error.kind(), ErrorKind::Exhausted, "{}", error.chain());
            drop(device);
            assert!(fs::read(target.path()).expect("a disk") == content(7, 63 << 20));
            continue;
        }
        assert_eq!(restored.expect("restored").bytes, 64 * MIB);
        device.mounted(&mount, || {
            assert_eq!(fs::read(mount.join("hello")).expect("a file"), b"world");
        });
        drop(device);
        run(Command::new("e2fsck").args(["-f", "-n"]).arg(target.path()));
        let blocks = fs::metadata(target.path()).expect("a disk").blocks();
        assert!(blocks * 512 < 24 * MIB, "zeros were not freed: {blocks} blocks");
    }
}

#[test]
fn damage_is_named_and_is_no_restore() {
    let stage = Stock::empty();
    let repository = stage.init();
    let disk = Disk::new(stage.path("disk"), 8 * MIB);
    disk.write(0, &content(1, 8 << 20));
    let backup: Backup =
        Volume::new("db").back_up(&repository, &disk, None, None).expect("a backup");
    let index = repository.index(&op()).expect("an index");
    let (_, place) = index.places(berth_vault::format::BlobKind::Data).next().expect("a blob");
    let pack = stage.path("repo").join(Kind::Pack.path(&place.pack));
    let file = open(&pack);
    let mut byte = [0];
    file.read_exact_at(&mut byte, u64::from(place.offset) + 40).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], u64::from(place.offset) + 40).expect("a byte");
    let target = File::create_new(stage.path("out")).expect("a file");
    let error = restore::image(&repository, &op(), &backup, &target, true).expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.chain().contains(&place.pack.short()), "{}", error.chain());
}
