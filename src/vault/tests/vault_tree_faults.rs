//! Backups of trees while everything goes wrong: others write beside, the disk errs,
//! the process is killed.

#![expect(clippy::print_stdout, reason = "what a child says to its parent")]

mod stock;
mod volume;

use std::{
    fs::{self, File},
    os::unix::{fs::FileExt as _, process::ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use berth_api::{Consistency, ErrorKind};
use berth_vault::backup::Mode as Amount;
use jiff::Timestamp;
use nix::sys::stat::{Mode, SFlag};
use stock::{backups, odd::noise, op, run};
use volume::{Volume, back_up_with, dir, later, open_at};

/// Runs the test `name` of this file in a process of its own, which finds the volume
/// by [`stage`], with these failpoints.
fn child(name: &str, volume: &Volume, failpoints: &str) -> Output {
    Command::new(std::env::current_exe().expect("this file"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env("BERTH_STAGE", volume.stock.path(""))
        .env("BERTH_FAILPOINTS", failpoints)
        .output()
        .expect("it runs")
}

fn stage() -> Option<PathBuf> {
    std::env::var_os("BERTH_STAGE").map(PathBuf::from)
}

/// In the child: backs the volume's own content up, and says how that went.
fn back_up_in_child(stage: &Path) {
    let repository = open_at(stage);
    let result = back_up_with(&repository, &stage.join("data"), None, false, later());
    match result {
        Ok(backup) => println!("read {}", backup.label.bytes_read),
        Err(error) => println!("failed: {}", error.chain()),
    }
}

/// Ends what runs beside, also if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_error_of_the_disk_fails_the_backup_and_names_the_file() {
    let name = "an_error_of_the_disk_fails_the_backup_and_names_the_file";
    if let Some(stage) = stage() {
        return back_up_in_child(&stage);
    }
    let volume = Volume::new();
    fs::create_dir(volume.data().join("in")).unwrap();
    volume.write("in/the file", "content");
    for failpoint in ["backup.tree.open", "backup.tree.read", "backup.snapshot.write"] {
        let said = said(&child(name, &volume, &format!("{failpoint}=error:5")));
        assert!(said.contains("failed: back up `db`: "), "{failpoint}: {said}");
        assert!(said.contains("os error 5"), "{failpoint}: {said}");
        assert_eq!(said.contains("`in/the file`"), failpoint != "backup.snapshot.write", "{said}");
        assert!(backups(&volume.repository).is_empty());
    }
    // What is unchanged is not even opened.
    assert!(said(&child(name, &volume, "")).contains("read 7"));
    let output = child(name, &volume, "backup.tree.open=error:5");
    assert!(said(&output).contains("read 0"), "{}", said(&output));
}

#[test]
fn a_killed_backup_is_not_written_again() {
    let name = "a_killed_backup_is_not_written_again";
    if let Some(stage) = stage() {
        return back_up_in_child(&stage);
    }
    let volume = Volume::new();
    for number in 0..20 {
        volume.write(&format!("file-{number}"), noise(4_000_000, number));
    }
    let output = child(name, &volume, "backup.snapshot.write=kill");
    assert_eq!(output.status.signal(), Some(9));
    assert!(backups(&volume.repository).is_empty());
    let backup = volume.back_up_at(later());
    let summary = backup.file.summary.as_ref().unwrap();
    assert_eq!(backup.label.mode, Amount::Full);
    // Only the description, which says when.
    assert!(summary.data_blobs <= 1, "{summary:?}");
    volume.restored(&backup);
}

#[test]
fn a_backup_killed_in_the_middle_keeps_what_was_indexed() {
    let name = "a_backup_killed_in_the_middle_keeps_what_was_indexed";
    if let Some(stage) = stage() {
        return back_up_in_child(&stage);
    }
    let volume = Volume::new();
    for number in 0..24 {
        volume.write(&format!("file-{number:02}"), noise(16_000_000, number));
    }
    let output = child(name, &volume, "backup.tree.read=kill@730");
    assert_eq!(output.status.signal(), Some(9), "{}", said(&output));
    assert!(backups(&volume.repository).is_empty());
    let indexed = volume.repository.index(&op()).unwrap().packs().len();
    assert!(indexed > 0, "there are checkpoints");
    let backup = volume.back_up_at(later());
    let added = backup.file.summary.as_ref().unwrap().data_added;
    assert!(added < 384_000_000 - 30_000_000, "{added}, {indexed} packs were indexed");
}

#[test]
fn who_writes_beside_spoils_nothing() {
    let volume = Volume::new();
    for number in 0..200 {
        volume.write(&format!("still-{number}"), noise(1000 + number, number as u64));
    }
    fs::create_dir_all(volume.data().join("a/b/c")).unwrap();
    fs::write(volume.stock.path("secret"), "secret").unwrap();
    let (data, ended) = (volume.data(), AtomicBool::new(false));
    let beside = |act: &dyn Fn(u64)| {
        let mut round = 0;
        while !ended.load(Relaxed) {
            act(round);
            round += 1;
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let log = File::create(data.join("log")).unwrap();
            beside(&|round| {
                if round % 300 == 0 {
                    log.set_len(0).unwrap();
                }
                log.write_all_at(&[b'x'; 3000], round % 300 * 3000).unwrap();
            });
        });
        scope.spawn(|| {
            beside(&|round| {
                let _ = fs::rename(data.join("a/b"), data.join("moved"));
                let _ = fs::rename(data.join("moved"), data.join("a/b"));
                // A file, a link out of the volume, a directory, in turn.
                let place = data.join("swapped");
                match round % 3 {
                    0 => fs::write(&place, "mine").unwrap(),
                    1 => std::os::unix::fs::symlink("../secret", &place).unwrap(),
                    _ => fs::create_dir(&place).unwrap(),
                }
                let _ = fs::remove_file(&place).or_else(|_| fs::remove_dir(&place));
            });
        });
        let _ended = End(&ended);
        let (mut moved, mut tries) = (0, 0);
        while moved < 3 {
            tries += 1;
            assert!(tries < 200, "nothing ever changes while it is read");
            match volume.back_up_live() {
                Ok(backup) => {
                    moved += u32::from(backup.label.consistency == Consistency::Live);
                    let still = volume.nodes(&backup, &[]);
                    let still = still.iter().filter(|node| node.name.starts_with("still-"));
                    assert_eq!(still.count(), 200, "nothing else is left out");
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
            }
        }
    });
    let backup = volume.back_up_live().unwrap();
    assert_eq!(backup.label.consistency, Consistency::PerFile, "all is quiet");
    let restored = volume.restored(&backup);
    assert_eq!(fs::read(restored.join("log")).unwrap(), fs::read(data.join("log")).unwrap());
}

#[test]
fn mounts_are_left_out() {
    let volume = Volume::new();
    fs::create_dir(volume.data().join("mounted")).unwrap();
    let place = volume.data().join("mounted");
    run(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&place));
    fs::write(place.join("elsewhere"), "x").unwrap();
    let backup = volume.back_up_live();
    run(Command::new("umount").arg(&place));
    let backup = backup.unwrap();
    assert_eq!(backup.files, 0);
    assert!(volume.nodes(&backup, &["mounted"]).is_empty());
    volume.restored(&backup);
}

#[test]
fn deep_and_wide_trees_are_read() {
    let volume = Volume::new();
    let mut below = dir(&volume.data());
    for _ in 0..3000 {
        below.make_dir("d", 0o755).unwrap();
        below = below.open_dir("d").unwrap();
    }
    nix::sys::stat::mknodat(&below, "bottom", SFlag::S_IFREG, Mode::S_IRUSR, 0).unwrap();
    for number in 0..5000 {
        volume.write(&format!("{number}"), "");
    }
    let backup = volume.back_up_at(later());
    let summary = backup.file.summary.as_ref().unwrap();
    assert_eq!((summary.dirs_new, summary.files_new), (3001, 5001));
    let again = volume.back_up_at(later());
    assert_eq!((again.label.bytes_read, volume.top(&again)), (0, volume.top(&backup)));
    assert!(backup.created > Timestamp::now());
}
