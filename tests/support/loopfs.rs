//! File systems on loop devices: small ones to fill, and ones whose power can
//! be cut.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use nix::mount::{MntFlags, umount2};

use super::{
    mounts,
    poll::{self, SOON},
};

/// What is made on the loop device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ext4, as most hosts have it.
    Ext4,
    /// XFS, with reflink; at least 300 MiB.
    Xfs,
    /// Btrfs; at least 110 MiB.
    Btrfs,
}

impl Kind {
    /// Those whose power can be cut, for campaigns.
    pub const ALL: [Self; 2] = [Self::Ext4, Self::Xfs];

    /// How many megabytes it needs at least.
    pub fn least(self) -> u64 {
        match self {
            Self::Ext4 => 64,
            Self::Xfs => 320,
            Self::Btrfs => 128,
        }
    }
}

/// A mounted file system of our own; unmounted and deleted when dropped.
#[derive(Debug)]
pub struct LoopFs {
    image: PathBuf,
    mountpoint: PathBuf,
}

impl LoopFs {
    /// Makes a file system of `megabytes` in `stage` and mounts it at
    /// `stage/NAME`.
    pub fn new(stage: &Path, name: &str, kind: Kind, megabytes: u64) -> Self {
        let mkfs: &[&str] = match kind {
            Kind::Ext4 => &["mkfs.ext4", "-q", "-F", "-O", "^resize_inode", "-E", "nodiscard"],
            Kind::Xfs => &["mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1"],
            Kind::Btrfs => &["mkfs.btrfs", "-q", "-f", "-K"],
        };
        let made = Self::made(stage, name, mkfs, megabytes);
        made.mount();
        made
    }

    /// As [`new`](Self::new), with project quotas, which not every kernel has.
    pub fn with_quotas(stage: &Path, name: &str, kind: Kind, megabytes: u64) -> Self {
        let mkfs: &[&str] = match kind {
            Kind::Ext4 => &["mkfs.ext4", "-q", "-F", "-O", "project,quota", "-E", "nodiscard"],
            Kind::Xfs => &["mkfs.xfs", "-q", "-f", "-K"],
            Kind::Btrfs => panic!("Btrfs has no project quotas"),
        };
        let made = Self::made(stage, name, mkfs, megabytes);
        made.mount_with("prjquota");
        made
    }

    fn made(stage: &Path, name: &str, mkfs: &[&str], megabytes: u64) -> Self {
        let image = stage.join(format!("{name}.img"));
        let mountpoint = stage.join(name);
        fs::create_dir_all(&mountpoint).expect("the stage is writable");
        File::create(&image)
            .and_then(|file| file.set_len(megabytes << 20))
            .expect("a sparse image fits on the stage");
        run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image));
        Self { image, mountpoint }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mountpoint
    }

    /// Mounts it (again): what the log has is replayed.
    pub fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mountpoint));
    }

    /// Mounts it (again) with options of its own.
    pub fn mount_with(&self, options: &str) {
        let options = format!("loop,{options}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.image).arg(&self.mountpoint));
    }

    /// Makes the mounted file system read-only, or writable again.
    pub fn remount(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        run(Command::new("mount").args(["-o", options]).arg(&self.mountpoint));
    }

    /// Makes ext4 take itself for damaged: it goes read-only under its users, as
    /// it does after an I/O error. (A remount is refused while files are open.)
    pub fn fail(&self) {
        run(Command::new("mount").args(["-o", "remount,errors=remount-ro"]).arg(&self.mountpoint));
        let here = mounts::here();
        let mount = here.iter().rev().find(|mount| mount.point == self.mountpoint);
        let device = &mount.expect("it is mounted").device;
        let block = fs::read_link(format!("/sys/dev/block/{device}")).expect("a block device");
        let name = block.file_name().expect("a device has a name");
        let trigger = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
        fs::write(trigger, "1").expect("root may do this");
    }

    /// Unmounts it and everything that is mounted below it.
    pub fn unmount(&self) {
        unmount_below(&self.mountpoint);
    }

    /// Prepares a power cut: see [`Cut`].
    pub fn arm(&self) -> Cut {
        let mut tool = Command::new("xfs_io")
            .args(["-x", "-r"])
            .arg(&self.mountpoint)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("xfs_io is installed (xfsprogs)");
        let input = tool.stdin.take().expect("stdin is piped");
        // It has the file system open: from here on the cut is one ioctl away.
        let files = format!("/proc/{}/fd", tool.id());
        poll::holds("xfs_io has the file system open", SOON, || {
            let mut files = fs::read_dir(&files).into_iter().flatten().flatten();
            files.any(|file| fs::read_link(file.path()).is_ok_and(|path| path == self.mountpoint))
        });
        Cut { tool, input }
    }

    /// Writes until nothing more fits and returns the file that took the space.
    pub fn fill(&self) -> PathBuf {
        let path = self.mountpoint.join("filler");
        let mut file = File::create(&path).expect("there is still an inode");
        for size in [1 << 20, 64 << 10, 4 << 10, 512, 1] {
            let block = vec![0xa5; size];
            while file.write_all(&block).is_ok() {}
        }
        let _ = file.sync_all();
        path
    }
}

impl Drop for LoopFs {
    fn drop(&mut self) {
        if std::env::var_os("KEEP").is_some() {
            return;
        }
        mounts::detach_below(&self.mountpoint);
        let _ = fs::remove_file(&self.image);
    }
}

/// A power cut, one system call away: `FS_IOC_SHUTDOWN` without a log flush.
/// What was not synced is lost, and nothing can be written any more.
#[derive(Debug)]
pub struct Cut {
    tool: Child,
    input: ChildStdin,
}

impl Cut {
    /// Cuts the power now; returns when it is off.
    pub fn now(mut self) {
        self.input.write_all(b"shutdown\nquit\n").expect("xfs_io listens");
        drop(self.input);
        assert!(self.tool.wait().expect("our own child").success(), "xfs_io shutdown works");
    }
}

/// Unmounts whatever is mounted at or below `path`, last mounted first. A killed
/// process may hold it for a moment; panics when it is held for good.
#[track_caller]
pub fn unmount_below(path: &Path) {
    poll::until("nothing holds the file system", SOON, || {
        let below = mounts::below(mounts::here(), path);
        below
            .iter()
            .rev()
            .all(|mount| umount2(&mount.point, MntFlags::UMOUNT_NOFOLLOW).is_ok())
            .then_some(())
    });
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
}
