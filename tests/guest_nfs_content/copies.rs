//! Snapshots, clones and rollbacks: shared by the server, copied by it, or copied
//! through this host.

use std::{fs::File, io::Write as _};

use crate::{
    MIB, Scene, holds,
    support::{loopfs::Kind, nfs::Setup},
    write,
};

/// Neither synced nor closed.
#[test]
fn what_was_written_here_without_a_sync_is_in_the_snapshot_and_costs_no_space() {
    for kind in [Kind::Xfs, Kind::Btrfs] {
        let scene = Scene::new(Setup::new().on(kind).megabytes(400), "");
        let data = scene.volume("v");
        write(&data.join("large"), 1, 8 * MIB);
        let mut open = File::create(data.join("open")).expect("made");
        open.write_all(&vec![2; MIB]).expect("written");
        let shown = scene.ok(&["pool", "inspect", "default"]);
        assert!(shown.contains("shared by the server"), "{kind:?}: {shown}");
        let said = scene.snapshot("v", "first");
        assert!(!said.contains("copied"), "{kind:?}: {said}");
        let first = scene.snapshot_on_server("v", "first");
        holds(&first.join("open"), 2, MIB);
        let before = scene.used();
        scene.snapshot("v", "second");
        let taken = scene.used().saturating_sub(before);
        assert!(taken < MIB as u64, "{kind:?}: the snapshot took {taken}");
        // What was read once is read again as it is now.
        write(&data.join("large"), 3, 8 * MIB);
        open.write_all(&vec![4; MIB]).expect("written");
        scene.snapshot("v", "third");
        holds(&scene.snapshot_on_server("v", "third").join("large"), 3, 8 * MIB);
        holds(&first.join("large"), 1, 8 * MIB);
        scene.ok(&["snapshot", "restore", "v@first", "w"]);
        holds(&scene.mounted("w").join("large"), 1, 8 * MIB);
    }
}

#[test]
fn where_the_server_shares_nothing_it_copies_by_itself_and_that_is_announced() {
    is_copied(Kind::Ext4, "", "copied by the server");
}

/// What is read passes this host's caches: they must not be older than what was
/// written through another mount of it.
#[test]
fn without_nfs_4_2_copies_go_through_this_host_and_that_is_announced() {
    is_copied(Kind::Xfs, "version = \"4.1\"", "copied through this host");
}

fn is_copied(kind: Kind, lines: &str, how: &str) {
    let scene = Scene::new(Setup::new().on(kind).megabytes(200), lines);
    let data = scene.volume("v");
    let shown = scene.ok(&["pool", "inspect", "default"]);
    assert!(shown.contains(how), "{shown}");
    // The same size each time: only the content, and times of the server, tell.
    for (number, name) in [(1, "first"), (2, "second"), (3, "third")] {
        write(&data.join("file"), number, 2 * MIB);
        let said = scene.snapshot("v", name);
        assert!(said.contains("2 MiB are ") && said.contains(how), "{said}");
    }
    for (number, name) in [(1, "first"), (2, "second"), (3, "third")] {
        holds(&scene.snapshot_on_server("v", name).join("file"), number, 2 * MIB);
    }
    // A longer one, written through the same mount.
    write(&data.join("file"), 4, 3 * MIB);
    scene.ok(&["volume", "create", "w", "-o", "from=v"]);
    holds(&scene.mounted("w").join("file"), 4, 3 * MIB);
    scene.unmount("v");
    scene.ok(&["volume", "rollback", "v@first"]);
    holds(&scene.mounted("v").join("file"), 1, 2 * MIB);
}
