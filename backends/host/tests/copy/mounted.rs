//! What is mounted in a tree is not part of it.

use std::{fs, process::Command};

use berth_api::ErrorKind;
use berth_host::beneath::{Dir, copy::measure};
use nix::mount::{MsFlags, mount};

use crate::{
    copy,
    disk::{Disk, run},
    op,
};

#[test]
fn mounts_are_left_out_and_counted() {
    Disk::each(|disk, kind| {
        let from = disk.path("from");
        // One on the same file system, which only the mount tells from the rest.
        let outside = disk.path("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "precious").unwrap();
        for name in ["same", "other", "deep/a/b", "usual"] {
            fs::create_dir_all(from.join(name)).unwrap();
            fs::write(from.join(name).join("hidden"), "hidden").unwrap();
        }
        fs::write(from.join("file"), "hidden").unwrap();
        let none = None::<&str>;
        for name in ["same", "deep/a/b"] {
            mount(Some(&outside), &from.join(name), none, MsFlags::MS_BIND, none).unwrap();
        }
        let flags = MsFlags::empty();
        mount(Some("other"), &from.join("other"), Some("tmpfs"), flags, none).unwrap();
        fs::write(from.join("other/precious"), "precious").unwrap();
        let file = outside.join("precious");
        mount(Some(&file), &from.join("file"), none, MsFlags::MS_BIND, none).unwrap();

        let copied = copy(&from, &disk.path("to")).unwrap();
        assert_eq!((copied.files, copied.mounts_left_out), (1, 4), "{kind:?}");
        for name in ["same", "other", "deep/a/b"] {
            let left: Vec<_> = fs::read_dir(disk.path("to").join(name)).unwrap().collect();
            assert!(left.is_empty(), "{kind:?}: {name}: {left:?}");
        }
        assert!(!disk.path("to/file").exists());
        assert_eq!(fs::read(disk.path("to/usual/hidden")).unwrap(), b"hidden");
        let extent = measure(&Dir::open(&from).unwrap(), &op()).unwrap();
        assert_eq!((extent.files, extent.bytes), (1, 6));

        // Nor is anything of it removed.
        let dir = Dir::open(&disk.path("")).unwrap();
        let error = dir.remove_tree("from", &mut || Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
        assert_eq!(fs::read(outside.join("precious")).unwrap(), b"precious");
    });
}

/// A mount that only others have is none here.
#[test]
fn what_another_namespace_mounts_does_not_matter() {
    Disk::with(crate::disk::Kind::Ext4, 64, |disk| {
        let from = disk.path("from");
        fs::create_dir_all(from.join("directory")).unwrap();
        fs::write(from.join("directory/file"), "x").unwrap();
        let script = r#"mount -t tmpfs other "$0" && echo mounted && exec sleep 60"#;
        let mut other = Command::new("unshare")
            .args(["--mount", "--propagation=private", "sh", "-c", script])
            .arg(from.join("directory"))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = other.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        let copied = copy(&from, &disk.path("to"));
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(line, "mounted\n");
        assert_eq!(copied.unwrap().mounts_left_out, 0);
        assert_eq!(run(Command::new("cat").arg(disk.path("to/directory/file"))), "x");
    });
}
