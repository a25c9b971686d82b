//! Failpoints of a copy: each one fails the whole, and what others do while a
//! copy stands at one is driven, not left to luck.
//!
//! The environment decides once in a process, so these tests start their own
//! executable again, with the one test that is a part to play.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    os::unix::fs::{FileExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use berth_api::{ErrorKind, Result};
use berth_host::beneath::{
    Dir,
    copy::{Copied, Request, Way, tree, way},
};
use nix::{
    mount::{MsFlags, mount},
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::mkfifo,
};

use crate::{
    copy, copy_by,
    disk::{Disk, Kind, run, until},
    op,
};

/// Which part this process plays; it is one that a test has started.
const PART: &str = "BERTH_TEST_PART";

/// Starts this executable again to play `part` with `failpoints` at work.
#[track_caller]
fn play(part: &str, failpoints: &str, more: &[(&str, &Path)]) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "paused::a_part", "--nocapture"]);
    command.env(PART, part).env("BERTH_FAILPOINTS", failpoints).envs(more.iter().copied());
    let said = run(&mut command);
    assert!(said.contains(&format!("played {part}")), "{said}");
}

/// Not a test by itself.
#[test]
fn a_part() {
    let Ok(part) = env::var(PART) else { return };
    match part.as_str() {
        "trace" => Disk::each(|disk, _| drop(of_everything(disk).unwrap())),
        "fail" => fails(),
        "files" => Disk::with(Kind::Ext4, 64, swapped_files),
        "directories" => Disk::with(Kind::Ext4, 64, swapped_directories),
        "twice" => Disk::with(Kind::Xfs, 400, twice),
        "cancel" => Disk::with(Kind::Ext4, 400, cancelled),
        "change" => Disk::with(Kind::Xfs, 400, changed),
        other => panic!("no part `{other}`"),
    }
    // Whoever started this process reads it.
    let line = format!("played {part}\n");
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
}

/// Copies a tree with one of everything.
fn of_everything(disk: &Disk) -> Result<Copied> {
    let from = disk.path("from");
    fs::create_dir_all(from.join("below/deeper")).unwrap();
    fs::write(from.join("below/file"), "content").unwrap();
    fs::hard_link(from.join("below/file"), from.join("below/twin")).unwrap();
    fs::write(from.join("outer"), "content").unwrap();
    fs::hard_link(from.join("outer"), disk.path("outside")).unwrap();
    symlink("nowhere", from.join("below/link")).unwrap();
    mkfifo(&from.join("below/fifo"), Mode::S_IRUSR).unwrap();
    for number in 0..3 {
        fs::hard_link(from.join("outer"), from.join(format!("{number}"))).unwrap();
    }
    File::create(from.join("sparse")).unwrap().set_len(1 << 20).unwrap();
    // Refused where there is no copy-on-write.
    fs::write(from.join("in place"), "").unwrap();
    let _ = Command::new("chattr").arg("+C").arg(from.join("in place")).output();
    fs::create_dir_all(disk.path("to")).unwrap();
    copy(&from, &disk.path("to"))
}

fn fails() {
    let (at, kind) = (env::var("BERTH_FAILPOINTS").unwrap(), env::var("BERTH_TEST_DISK").unwrap());
    let kind = Kind::ALL.into_iter().find(|known| format!("{known:?}") == kind).unwrap();
    Disk::with(kind, 400, move |disk| {
        let error = of_everything(disk).expect_err(&at);
        assert_eq!(error.kind(), ErrorKind::Internal, "{at}: {error:?}");
        assert!(error.chain().ends_with("Input/output error (os error 5)"), "{at}: {error:?}");
    });
}

#[test]
fn each_step_that_fails_fails_the_whole() {
    let stage = tempfile::tempdir().unwrap();
    let trace = stage.path().join("trace");
    play("trace", "", &[("BERTH_FAILPOINTS_TRACE", &trace)]);
    let text = fs::read_to_string(&trace).unwrap();
    let names: BTreeSet<_> = text.lines().filter(|name| name.starts_with("copy.")).collect();
    let expected = [
        "copy.attributes",
        "copy.bare-attributes",
        "copy.clone-range",
        "copy.directory",
        "copy.file",
        "copy.forget-link",
        "copy.last-link",
        "copy.link",
        "copy.make-links-directory",
        "copy.range",
        "copy.remove-links-directory",
        "copy.set-flags",
        "copy.size",
        "copy.special",
        "copy.special-attributes",
        "copy.symlink",
    ];
    // `copy.write` is passed only where the kernel does not copy.
    assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
    for name in expected {
        let disk = match name {
            "copy.clone-range" | "copy.set-flags" => "Btrfs",
            _ => "Ext4",
        };
        // The first clone is that of the look for a way.
        let at = if name == "copy.clone-range" { "@2" } else { "" };
        play("fail", &format!("{name}=error:5{at}"), &[("BERTH_TEST_DISK", Path::new(disk))]);
    }
}

/// Where the copy waits, made known by the test.
fn gate() -> PathBuf {
    env::var_os("BERTH_TEST_GATE").unwrap().into()
}

/// Copies, and does `meanwhile` while the copy stands at its failpoint.
fn copy_and(from: &Path, to: &Path, meanwhile: impl FnOnce() + Send) -> Copied {
    thread::scope(|scope| {
        scope.spawn(|| {
            let reached = gate().with_extension("reached");
            until("the failpoint is reached", || reached.exists());
            meanwhile();
            File::create(gate()).unwrap();
        });
        copy_by(Way::Copy, from, to, &op()).unwrap()
    })
}

#[track_caller]
fn play_at(part: &str, name: &str) {
    let stage = tempfile::tempdir().unwrap();
    let gate = stage.path().join("gate");
    let rule = format!("{name}=pause:{}@1", gate.display());
    play(part, &rule, &[("BERTH_TEST_GATE", &gate)]);
}

#[test]
fn files_that_became_something_else_since_they_were_listed() {
    play_at("files", "copy.file");
}

/// Eight files, one of which the copy has in hand; each becomes something else.
fn swapped_files(disk: &Disk) {
    let (from, to, outside) = (disk.path("from"), disk.path("to"), disk.outside("outside"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "precious").unwrap();
    let names =
        ["to a file", "to a directory", "fifo", "device", "directory", "gone", "mount", "new"];
    for name in names {
        fs::write(from.join(name), "listed").unwrap();
    }
    let copied = copy_and(&from, &to, || {
        for name in names {
            let path = from.join(name);
            if name != "mount" {
                fs::remove_file(&path).unwrap();
            }
            match name {
                "to a file" => symlink(outside.join("precious"), path).unwrap(),
                "to a directory" => symlink(&outside, path).unwrap(),
                "fifo" => mkfifo(&path, Mode::S_IRUSR).unwrap(),
                "device" => {
                    mknod(&path, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(240, 77)).unwrap();
                }
                "directory" => {
                    fs::create_dir_all(path.join("below")).unwrap();
                    fs::write(path.join("below/file"), "below").unwrap();
                }
                "mount" => {
                    let (what, none) = (outside.join("precious"), None::<&str>);
                    mount(Some(&what), &path, none, MsFlags::MS_BIND, none).unwrap();
                }
                "new" => fs::write(path, "new").unwrap(),
                _ => {}
            }
        }
    });
    let mut as_listed = Vec::new();
    for name in names {
        let path = to.join(name);
        let meta = fs::symlink_metadata(&path).ok();
        if meta.as_ref().is_some_and(fs::Metadata::is_file) && fs::read(&path).unwrap() == b"listed"
        {
            as_listed.push(name);
            continue;
        }
        let kind = meta.map(|meta| meta.file_type());
        match name {
            "to a file" | "to a directory" => assert!(kind.unwrap().is_symlink(), "{name}"),
            "fifo" | "device" => assert!(!kind.unwrap().is_file(), "{name}"),
            "directory" => assert_eq!(fs::read(path.join("below/file")).unwrap(), b"below"),
            "new" => assert_eq!(fs::read(path).unwrap(), b"new"),
            _ => assert!(kind.is_none(), "{name}"),
        }
    }
    assert_eq!(as_listed.len(), 1, "the one in hand: {as_listed:?}");
    let mounts = u64::from(as_listed != ["mount"]);
    assert_eq!(copied.mounts_left_out, mounts);
}

#[test]
fn directories_that_became_something_else_since_they_were_listed() {
    play_at("directories", "copy.directory");
}

/// Six directories, one of which the copy has open; each becomes something else.
fn swapped_directories(disk: &Disk) {
    let (from, to, outside) = (disk.path("from"), disk.path("to"), disk.outside("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "precious").unwrap();
    let names = ["link", "fifo", "file", "gone", "mount", "new"];
    for name in names {
        fs::create_dir_all(from.join(name)).unwrap();
        fs::write(from.join(name).join("listed"), "listed").unwrap();
    }
    let copied = copy_and(&from, &to, || {
        for name in names {
            let path = from.join(name);
            if name != "mount" {
                fs::rename(&path, disk.path(&format!("was {name}"))).unwrap();
            }
            match name {
                "link" => symlink(&outside, path).unwrap(),
                "fifo" => mkfifo(&path, Mode::S_IRUSR).unwrap(),
                "file" => fs::write(path, "file").unwrap(),
                "mount" => {
                    let none = None::<&str>;
                    mount(Some(&outside), &path, none, MsFlags::MS_BIND, none).unwrap();
                }
                "new" => {
                    fs::create_dir(&path).unwrap();
                    fs::write(path.join("new"), "new").unwrap();
                }
                _ => {}
            }
        }
    });
    let mut as_listed = Vec::new();
    for name in names {
        let path = to.join(name);
        if fs::read(path.join("listed")).is_ok_and(|read| read == b"listed") {
            as_listed.push(name);
            continue;
        }
        let kind = fs::symlink_metadata(&path).ok().map(|meta| meta.file_type());
        match name {
            "link" => assert!(kind.unwrap().is_symlink()),
            "fifo" => assert!(!kind.unwrap().is_dir()),
            "file" => assert_eq!(fs::read(path).unwrap(), b"file"),
            "new" => assert_eq!(fs::read(path.join("new")).unwrap(), b"new"),
            "mount" => assert_eq!(fs::read_dir(path).unwrap().count(), 0),
            _ => assert!(kind.is_none(), "{name}"),
        }
    }
    assert_eq!(as_listed.len(), 1, "the one in hand: {as_listed:?}");
    assert_eq!(copied.mounts_left_out, u64::from(as_listed != ["mount"]));
}

#[test]
fn a_name_that_is_listed_twice_is_copied_once() {
    let stage = tempfile::tempdir().unwrap();
    let gate = stage.path().join("gate");
    // All hands wait; whoever lists is held up when enough names are known.
    let rule = format!("copy.file=pause:{}", gate.display());
    play("twice", &rule, &[("BERTH_TEST_GATE", &gate)]);
}

/// XFS gives a new name the place of a removed one: once that is taken, a name
/// that comes back stands at the end, where it has not been listed yet.
fn twice(disk: &Disk) {
    let (from, to) = (disk.path("from"), disk.path("to"));
    fs::create_dir(&from).unwrap();
    for number in 0..20_000 {
        fs::write(from.join(format!("{number:05}")), "before").unwrap();
    }
    fs::hard_link(from.join("00001"), disk.path("outside")).unwrap();
    let copied = copy_and(&from, &to, || {
        for number in 0..200 {
            fs::remove_file(from.join(format!("{number:05}"))).unwrap();
        }
        for number in 0..200 {
            fs::write(from.join(format!("x{number:04}")), "fills").unwrap();
        }
        for number in 0..200 {
            let path = from.join(format!("{number:05}"));
            match number % 4 {
                0 => fs::write(path, "after").unwrap(),
                1 => fs::create_dir(path).unwrap(),
                2 => symlink("after", path).unwrap(),
                _ => fs::hard_link(disk.path("outside"), path).unwrap(),
            }
        }
    });
    let names = fs::read_dir(&to).unwrap().count();
    assert!(names <= 20_200, "{names}");
    assert!(copied.files <= 20_200, "{copied:?}");
    for number in 200..20_000 {
        assert_eq!(fs::read(to.join(format!("{number:05}"))).unwrap(), b"before");
    }
}

#[test]
fn a_cancelled_copy_ends_within_a_file() {
    play_at("cancel", "copy.range");
}

fn cancelled(disk: &Disk) {
    let from = disk.path("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("large"), vec![1; 100 << 20]).unwrap();
    let op = op();
    let error = thread::scope(|scope| {
        scope.spawn(|| {
            let reached = gate().with_extension("reached");
            until("the failpoint is reached", || reached.exists());
            op.cancel();
            File::create(gate()).unwrap();
        });
        copy_by(Way::Copy, &from, &disk.path("to"), &op).unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(error.to_string(), "the operation was cancelled");
    assert_eq!(op.counts().bytes_done, 16 << 20, "one step");
}

#[test]
fn a_change_during_the_clone_proves_nothing_later() {
    let stage = tempfile::tempdir().unwrap();
    let gate = stage.path().join("gate");
    // The first is that of the look for a way.
    let rule = format!("copy.clone-range=pause:{}@2", gate.display());
    play("change", &rule, &[("BERTH_TEST_GATE", &gate)]);
}

fn changed(disk: &Disk) {
    let from = disk.path("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("file"), "before").unwrap();
    let written = std::time::Instant::now();
    until("the change is old", || written.elapsed().as_millis() > 60);
    fs::create_dir(disk.path("to")).unwrap();
    let [from_dir, to] = ["from", "to"].map(|name| Dir::open(&disk.path(name)).unwrap());
    let (way, op) = (way(&to).unwrap(), op());
    assert_eq!(way, Way::Reflink);
    let request = Request { from: &from_dir, to: &to, way, origins: true, op: &op };
    let copied = thread::scope(|scope| {
        scope.spawn(|| {
            let reached = gate().with_extension("reached");
            until("the failpoint is reached", || reached.exists());
            let file = File::options().write(true).open(from.join("file")).unwrap();
            file.write_all_at(b"after", 0).unwrap();
            File::create(gate()).unwrap();
        });
        tree(&request).unwrap()
    });
    let origins = copied.origins.unwrap();
    assert!(origins.iter().all(|origin| origin.racy), "{origins:?}");
    assert_eq!(origins.len(), 1);
}
