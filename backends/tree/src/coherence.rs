//! File systems that show all hosts the same at once, judged from the mount
//! table.
//!
//! Records are safe only where a listing shows what another host has linked. NFS
//! caches names and attributes unless it is told not to.

use std::path::Path;

use berth_api::{Context as _, Error, Result};
use berth_host::{
    beneath::Dir,
    mounts::{self, Mount},
};

use crate::pool::Sharing;

/// File systems of one machine: all who see them share one kernel.
const LOCAL: [&str; 10] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "tmpfs", "overlay"];

/// Network file systems that keep the caches of all hosts coherent.
const COHERENT: [&str; 3] = ["ceph", "fuse.ceph-fuse", "fuse.glusterfs"];

/// What NFS needs; `noac` implies `actimeo=0`.
const NEEDED: &str = "lookupcache=none,noac";

/// Whether records may be kept on the file system of `root`.
///
/// # Errors
/// `Unsupported`, saying what would have to be different.
pub(crate) fn check(root: &Dir, path: &Path, sharing: Sharing) -> Result<()> {
    if sharing.coherent {
        return Ok(());
    }
    let what = || format!("find out what is mounted at `{}`", path.display());
    judge(&mounts::of(root).context(what)?, path)
}

fn judge(mount: &Mount, path: &Path) -> Result<()> {
    let (path, filesystem) = (path.display(), mount.filesystem.as_str());
    if LOCAL.contains(&filesystem) || COHERENT.contains(&filesystem) {
        return Ok(());
    }
    if !matches!(filesystem, "nfs" | "nfs4") {
        return Err(Error::unsupported(format!(
            "`{path}` is on `{filesystem}`, which is not known to show all hosts the same"
        ))
        .with_hint("if it does: set `coherent = true` for this pool"));
    }
    let has = |option: &str| mount.super_options.split(',').any(|given| given == option);
    let names = has("lookupcache=none");
    let attributes = has("noac") || has("actimeo=0") || (has("acregmax=0") && has("acdirmax=0"));
    if names && attributes {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "`{path}` is an NFS mount that caches {}",
        match (names, attributes) {
            (false, false) => "names and attributes",
            (false, true) => "names",
            _ => "attributes",
        }
    ))
    .with_hint(format!(
        "add `{NEEDED}` to its mount options: `{} {} {filesystem} {NEEDED} 0 0` in /etc/fstab; \
         the backend `nfs` mounts an export by itself",
        mount.source,
        mount.mountpoint.display()
    )))
}

#[cfg(test)]
mod tests {
    use berth_api::ErrorKind;

    use super::*;

    fn mount(filesystem: &str, super_options: &str) -> Mount {
        Mount {
            id: 1,
            parent: 0,
            device: (0, 42),
            root: "/".into(),
            mountpoint: "/srv/share".into(),
            options: "rw".to_owned(),
            shared: None,
            master: None,
            filesystem: filesystem.to_owned(),
            source: "10.0.0.5:/export".to_owned(),
            super_options: super_options.to_owned(),
        }
    }

    fn judged(filesystem: &str, super_options: &str) -> Result<()> {
        judge(&mount(filesystem, super_options), Path::new("/srv/share/berth"))
    }

    #[test]
    fn nfs_must_not_cache() {
        let good = [
            "rw,vers=4.2,noac,lookupcache=none,hard",
            "rw,vers=3,acregmin=0,acregmax=0,acdirmin=0,acdirmax=0,lookupcache=none",
            "rw,actimeo=0,lookupcache=none",
        ];
        for options in good {
            judged("nfs4", options).expect(options);
        }
        let bad = [
            ("rw,vers=4.2,hard", "names and attributes"),
            ("rw,noac", "caches names"),
            ("rw,noac,lookupcache=positive", "caches names"),
            ("rw,lookupcache=none", "caches attributes"),
            ("rw,lookupcache=none,acregmax=0", "caches attributes"),
            ("rw,lookupcache=none,acregmax=01,acdirmax=0", "caches attributes"),
        ];
        for (options, why) in bad {
            let error = judged("nfs", options).expect_err(options);
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(why), "{options}: {error}");
            let hint = error.hint().expect("a line to add");
            let line = "10.0.0.5:/export /srv/share nfs lookupcache=none,noac 0 0";
            assert!(hint.contains(line) && hint.contains("backend `nfs`"), "{hint}");
        }
    }

    #[test]
    fn what_is_not_known_must_be_vouched_for() {
        for filesystem in ["ext4", "xfs", "btrfs", "tmpfs", "ceph", "fuse.glusterfs"] {
            judged(filesystem, "rw").expect(filesystem);
        }
        for filesystem in ["cifs", "9p", "fuse.sshfs", "fuse", "virtiofs", "ocfs2"] {
            let error = judged(filesystem, "rw").expect_err(filesystem);
            assert!(error.hint().is_some_and(|hint| hint.contains("coherent = true")));
        }
    }
}
