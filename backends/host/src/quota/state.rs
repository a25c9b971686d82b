//! Whether a file system has project quotas; if not, why, and what would help.

use std::{
    fmt, io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

use nix::sys::stat::{fstat, major, minor};

use crate::mounts::{Mount, Table};

/// What a file system does with projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Counts and limits them.
    Enforced,
    /// Counts them only.
    Counted(Why),
    /// Neither.
    Absent(Why),
}

/// Why there are no limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What is missing, as part of a sentence.
    pub reason: String,
    /// What would help, if anything does.
    pub hint: String,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.reason)
    }
}

/// What a reason is told from.
#[derive(Clone, Debug)]
struct Place {
    filesystem: String,
    mountpoint: PathBuf,
    device: String,
}

/// Why nothing is counted where `file` lies.
pub(super) fn why(file: BorrowedFd<'_>) -> io::Result<Why> {
    // Made by XFS if it was built with quotas.
    let xfs_has_quotas = Path::new("/proc/fs/xfs/xqm").exists();
    Ok(place(file)?.uncounted(xfs_has_quotas))
}

/// Why nothing is limited where `file` lies, though it is counted.
pub(super) fn why_not_enforced(file: BorrowedFd<'_>) -> io::Result<Why> {
    Ok(place(file)?.unenforced())
}

fn place(file: BorrowedFd<'_>) -> io::Result<Place> {
    let number = fstat(file)?.st_dev;
    let (major, minor) = (major(number), minor(number));
    let table = Table::read()?;
    let own =
        |mount: &&Mount| (u64::from(mount.device.0), u64::from(mount.device.1)) == (major, minor);
    // The mount of the whole, if it is in view: others are parts of it.
    let of_it: Vec<_> = table.mounts.iter().filter(own).collect();
    let whole = of_it.iter().find(|mount| mount.root == Path::new("/")).or(of_it.first());
    Ok(whole.map_or_else(
        // Btrfs gives every subvolume a number of its own.
        || Place {
            filesystem: super::state::kind(file),
            mountpoint: PathBuf::new(),
            device: "DEVICE".to_owned(),
        },
        |mount| Place {
            filesystem: mount.filesystem.clone(),
            mountpoint: mount.mountpoint.clone(),
            device: mount.source.clone(),
        },
    ))
}

fn kind(file: BorrowedFd<'_>) -> String {
    use nix::sys::statfs::{BTRFS_SUPER_MAGIC, fstatfs};
    match fstatfs(file).map(|found| found.filesystem_type()) {
        Ok(BTRFS_SUPER_MAGIC) => "btrfs",
        _ => "unknown",
    }
    .to_owned()
}

impl Place {
    fn named(&self) -> String {
        if self.mountpoint.as_os_str().is_empty() {
            format!("the file system ({})", self.filesystem)
        } else {
            format!("the file system at `{}` ({})", self.mountpoint.display(), self.filesystem)
        }
    }

    fn uncounted(&self, xfs_has_quotas: bool) -> Why {
        let (named, device, at) = (self.named(), &self.device, self.mountpoint.display());
        let (reason, hint) = match self.filesystem.as_str() {
            "xfs" if !xfs_has_quotas => (
                "this kernel has no quotas on XFS".to_owned(),
                "use a kernel that was built with CONFIG_XFS_QUOTA".to_owned(),
            ),
            // What XFS does with quotas is settled when it is first mounted.
            "xfs" => (
                format!("{named} is mounted without `prjquota`"),
                format!(
                    "unmount it and mount it with `-o prjquota` (in /etc/fstab); if `{at}` is \
                     the root, boot with rootflags=prjquota"
                ),
            ),
            // With both features the kernel counts, whatever the mount options are.
            "ext4" => (
                format!("{named} does not have the features `project` and `quota`"),
                format!(
                    "while it is unmounted: tune2fs -O project,quota {device}; then mount it \
                     with `-o prjquota`"
                ),
            ),
            "btrfs" => (
                "Btrfs has no limits on directories".to_owned(),
                "use a pool on XFS or ext4 with `prjquota`".to_owned(),
            ),
            _ => (
                format!("{named} has no project quotas"),
                "use a pool on XFS or ext4 with `prjquota`".to_owned(),
            ),
        };
        Why { reason, hint }
    }

    fn unenforced(&self) -> Why {
        let named = self.named();
        let (reason, hint) = if self.filesystem == "xfs" {
            (
                format!("{named} is mounted with `pqnoenforce`"),
                "unmount it and mount it with `-o prjquota` (in /etc/fstab)".to_owned(),
            )
        } else {
            (
                format!("{named} is mounted without `prjquota`"),
                "unmount it and mount it with `-o prjquota` (in /etc/fstab)".to_owned(),
            )
        };
        Why { reason, hint }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    fn at(filesystem: &str) -> Place {
        Place {
            filesystem: filesystem.to_owned(),
            mountpoint: "/srv".into(),
            device: "/dev/sdb1".to_owned(),
        }
    }

    #[test]
    fn each_file_system_is_told_what_it_lacks() {
        let told = |filesystem: &str| at(filesystem).uncounted(true).reason;
        assert_eq!(told("xfs"), "the file system at `/srv` (xfs) is mounted without `prjquota`");
        assert_eq!(
            told("ext4"),
            "the file system at `/srv` (ext4) does not have the features `project` and `quota`"
        );
        assert_eq!(told("btrfs"), "Btrfs has no limits on directories");
        assert_eq!(told("tmpfs"), "the file system at `/srv` (tmpfs) has no project quotas");
        assert_eq!(at("xfs").uncounted(false).reason, "this kernel has no quotas on XFS");
        assert!(at("ext4").uncounted(true).hint.contains("project,quota /dev/sdb1"));
    }

    #[test]
    fn counting_alone_is_no_limit() {
        let ext4 = at("ext4").unenforced();
        assert_eq!(ext4.reason, "the file system at `/srv` (ext4) is mounted without `prjquota`");
        assert!(at("xfs").unenforced().reason.contains("`pqnoenforce`"));
    }

    #[test]
    fn what_has_no_quotas_is_no_error() {
        let proc = std::fs::File::open("/proc").expect("a directory");
        let State::Absent(why) = super::super::state(&proc).expect("an answer") else {
            panic!("proc has no quotas");
        };
        assert_eq!(why.reason, "the file system at `/proc` (proc) has no project quotas");
        assert_eq!(super::super::project(&proc).expect("none").id, 0);
        assert!(super::super::set_limit(proc.as_fd(), 0, None).is_err());
    }
}
