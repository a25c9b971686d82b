//! Project quotas, as the guest's kernel has them: what `size` stands on.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

mod support;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use support::stage::Stage;

/// The limit of the project, in bytes.
const LIMIT: u64 = 5 << 20;

#[test]
fn a_project_with_a_limit_refuses_what_is_past_it_on_ext4() {
    refuses_past_the_limit("ext4", &["mkfs.ext4", "-q", "-F", "-O", "project,quota"]);
}

#[test]
fn a_project_with_a_limit_refuses_what_is_past_it_on_xfs() {
    refuses_past_the_limit("xfs", &["mkfs.xfs", "-q"]);
}

fn refuses_past_the_limit(kind: &str, mkfs: &[&str]) {
    let disk = Disk::new(kind, mkfs);
    let (limited, free) = (disk.folder("limited"), disk.folder("free"));
    disk.quota(&format!("project -s -p {} 42", limited.display()));
    disk.quota(&format!("limit -p bhard={LIMIT} 42"));

    // The project goes on to what is made inside.
    fs::create_dir(limited.join("inside")).expect("made");
    let file = limited.join("inside/file");
    let refused = write(&file, 2 * LIMIT);
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    let told = ["No space left on device", "Disk quota exceeded"];
    assert!(told.iter().any(|text| reason.contains(text)), "{kind}: {reason}");
    let written = fs::metadata(&file).expect("there").len();
    assert!((LIMIT / 2..=LIMIT).contains(&written), "{kind}: {written} bytes fitted");

    let beside = write(&free.join("file"), 2 * LIMIT);
    assert!(beside.status.success(), "{kind}: {}", String::from_utf8_lossy(&beside.stderr));
    let again = write(&limited.join("more"), LIMIT);
    assert!(!again.status.success(), "{kind}: the whole project is full");
}

/// Writes as the root of a container does. On ext4, limits do not hold for who
/// has `CAP_SYS_RESOURCE`; containers lack it unless they are privileged.
fn write(file: &Path, bytes: u64) -> Output {
    Command::new("setpriv")
        .args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "dd", "if=/dev/zero"])
        .arg(format!("of={}", file.display()))
        .args(["bs=64K", &format!("count={}", bytes >> 16), "conv=fsync"])
        .output()
        .expect("setpriv and dd are there")
}

/// A file system with project quotas on a loop device.
struct Disk {
    /// Unmounts what is below it when dropped.
    _stage: Stage,
    mountpoint: PathBuf,
}

impl Disk {
    fn new(kind: &str, mkfs: &[&str]) -> Self {
        let stage = Stage::new(&format!("quota-{kind}"));
        let (image, mountpoint) = (stage.join("image"), stage.folder("mounted"));
        File::create(&image).expect("made").set_len(400 << 20).expect("sparse");
        run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image));
        run(Command::new("mount").args(["-o", "loop,prjquota"]).args([&image, &mountpoint]));
        Self { _stage: stage, mountpoint }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.mountpoint.join(name);
        fs::create_dir(&path).expect("made");
        path
    }

    /// One command of `xfs_quota`, which takes other file systems with `-f`.
    fn quota(&self, command: &str) {
        run(Command::new("xfs_quota").args(["-f", "-x", "-c", command]).arg(&self.mountpoint));
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{command:?}: {errors} (this test runs in the guest: `scripts/test vm`)"
    );
}
