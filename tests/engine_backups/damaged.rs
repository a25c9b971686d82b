//! Backups that turn out to be damaged.

use std::{fs, path::PathBuf};

use crate::{
    Ground, PATIENCE,
    support::poll::{self, SOON},
};

impl Ground {
    /// The packs of the repository, the largest last.
    fn packs(&self) -> Vec<PathBuf> {
        let data = self.rig.stage.join("repository/data");
        let folders = fs::read_dir(data).expect("a repository").flatten();
        let packs = folders.flat_map(|folder| fs::read_dir(folder.path()).expect("it").flatten());
        let mut packs: Vec<_> = packs.map(|pack| pack.path()).collect();
        packs.sort_by_key(|pack| fs::metadata(pack).expect("a pack").len());
        packs
    }

    /// Turns one byte in the middle of the largest pack.
    fn damage(&self) {
        let packs = self.packs();
        let pack = packs.last().expect("a pack");
        let mut bytes = fs::read(pack).expect("a pack");
        let middle = bytes.len() / 2;
        bytes[middle] = !bytes[middle];
        fs::remove_file(pack).expect("ours");
        fs::write(pack, bytes).expect("ours");
    }
}

#[test]
fn a_damaged_backup_is_never_mounted() {
    let mut ground = Ground::new(3, Some(PATIENCE));
    let pause = ground.pause("engine.restore.fill");
    ground.create_at_once();
    ground.damage();
    pause.release();
    let engine = &ground.rig.engine;
    let state = || engine.inspect("volume", "new", "{{.Status.state}}");
    let becomes_faulty = || poll::equal("the state", SOON, &"faulty".to_owned(), state);
    becomes_faulty();

    let shown = ground.shown("faulty");
    let reason = shown["Status"]["reason"].as_str().expect("why");
    assert!(reason.contains("blob") && reason.contains("pack"), "{reason}");
    assert!(reason.contains(&ground.backup[..8]), "{reason}");
    for _ in 0..2 {
        let output = ground.rig.try_sh(&["-v", "new:/data"], "ls /data");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(said.contains("volume `new` is faulty since `create` failed: "), "{said}");
        assert!(said.contains("berth volume rm new"), "{said}");
        assert_eq!(ground.rig.mounts_of("new"), []);
        assert!(!ground.rig.mountpoint("new").exists());
        // A kill right after the verdict comes to the same verdict again.
        ground.rig.berth.restart();
        becomes_faulty();
    }
    ground.shown("faulty");
    ground.rig.engine.ok(&["volume", "rm", "new"]);
    assert_eq!(ground.rig.names(), ["db"]);
    let volumes = ground.rig.berth.setup.root.join("pools/default/volumes");
    poll::equal("folders of volumes", SOON, &1, || {
        fs::read_dir(&volumes).map_or(0, Iterator::count)
    });

    // What is found before the answer is told at once, and no volume is left.
    ground.rig.berth.setup = ground.rig.berth.setup.clone().env("BERTH_TEST_ACCEPT_SECONDS", "30");
    ground.rig.berth.restart();
    let output = ground.create();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(&ground.backup[..8]), "{said}");
    assert_eq!(ground.rig.names(), ["db"]);
    assert_eq!(ground.rig.engine.ok(&["volume", "ls", "-q"]), "db");
}
