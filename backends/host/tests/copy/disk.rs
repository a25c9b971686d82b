//! File systems on loop devices, each in a mount namespace of its own.
//!
//! Whatever a test leaves mounted goes with its thread, also on panic.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

/// What is made on the loop device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    /// With reflinks.
    Xfs,
    /// Without.
    PlainXfs,
    Btrfs,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Ext4, Self::Xfs, Self::PlainXfs, Self::Btrfs];

    fn mkfs(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["mkfs.ext4", "-q", "-F"],
            Self::Xfs => &["mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1"],
            Self::PlainXfs => &["mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=0"],
            Self::Btrfs => &["mkfs.btrfs", "-q", "-f"],
        }
    }

    pub(crate) fn reflinks(self) -> bool {
        matches!(self, Self::Xfs | Self::Btrfs)
    }
}

/// A mounted file system of the running test.
#[derive(Debug)]
pub(crate) struct Disk {
    stage: PathBuf,
    image: PathBuf,
}

impl Disk {
    /// Runs `test` on a new file system of `megabytes` (XFS wants 300).
    pub(crate) fn with(kind: Kind, megabytes: u64, test: impl FnOnce(&Self) + Send + 'static) {
        assert!(geteuid().is_root(), "this test mounts: run it as root");
        let outcome = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).expect("a namespace of its own");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("private mounts");
            let stage = tempfile::tempdir().expect("a temporary directory");
            let image = stage.path().join("image");
            File::create(&image).and_then(|file| file.set_len(megabytes << 20)).expect("sparse");
            let mkfs = kind.mkfs();
            run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image));
            fs::create_dir(stage.path().join("disk")).expect("made");
            let disk = Self { stage: stage.path().to_owned(), image };
            disk.mount();
            test(&disk);
        })
        .join();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }

    /// … once for each kind.
    pub(crate) fn each(test: impl Fn(&Self, Kind) + Clone + Send + 'static) {
        for kind in Kind::ALL {
            let test = test.clone();
            Self::with(kind, 400, move |disk| test(disk, kind));
        }
    }

    /// `name` on it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.stage.join("disk").join(name)
    }

    /// Something beside it, on the file system of temporary files.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.stage.join(name)
    }

    pub(crate) fn image(&self) -> &Path {
        &self.image
    }

    pub(crate) fn mount(&self) {
        // Times of access are compared, and the comparison reads.
        let options = ["-o", "loop,noatime"];
        run(Command::new("mount").args(options).arg(&self.image).arg(self.path("")));
    }

    pub(crate) fn unmount(&self) {
        umount2(&self.path(""), MntFlags::empty()).expect("nothing holds it");
    }

    /// Writes until nothing more fits.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.path("filler")).expect("there is still an inode");
        for size in [1 << 20, 64 << 10, 4 << 10, 512, 1] {
            let block = vec![0xa5; size];
            while file.write_all(&block).is_ok() {}
        }
        let _ = file.sync_all();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a failed test leaves mounts inside. `tempdir` does the rest.
        let _ = umount2(&self.path(""), MntFlags::MNT_DETACH);
    }
}

/// Runs a command that has to succeed, and returns what it says.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {}", output.status, errors.trim());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Polls `condition` until it is true.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(2));
    }
}
