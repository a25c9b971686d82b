//! A machine whose power can be cut: a daemon on loop devices that are shut down
//! without a flush.

use std::{fs, path::PathBuf};

use super::{
    catalog,
    daemon::{Daemon, Setup},
    load::Client,
    loopfs::{Kind, LoopFs},
    mounts, namespace,
    stage::Stage,
    world::World,
};

/// Where root and pool lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// On two file systems, so that a sync of one hides nothing of the other.
    Apart,
    /// On one, as most hosts have it.
    Together,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Machine {
    daemon: Option<Daemon>,
    /// A client of the daemon.
    pub client: Client,
    setup: Setup,
    /// The pool's folder.
    pub pool: PathBuf,
    disks: Vec<LoopFs>,
    _stage: Stage,
}

impl Machine {
    /// Switched on, with an empty pool.
    pub fn new(kind: Kind, layout: Layout) -> Self {
        namespace::apart();
        let stage = Stage::new("power");
        let mut disks = vec![LoopFs::new(stage.path(), "disk", kind, 320)];
        if layout == Layout::Apart {
            disks.push(LoopFs::new(stage.path(), "pool", kind, 320));
        }
        let pool = disks.last().expect("one at least").path().join("volumes");
        fs::create_dir(&pool).expect("an empty file system");
        fs::File::open(disks.last().expect("one at least").path())
            .and_then(|directory| directory.sync_all())
            .expect("a directory syncs");
        let config = format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display());
        let mut setup = Setup::new(&stage)
            .config(&stage, &config)
            .env("BERTH_LOG", "warn")
            .env("BERTH_TEST_BOOT_ID", "0");
        setup.root = disks[0].path().join("root");
        let client = Client::new(&setup.plugin_socket, &setup.control_socket);
        let daemon = Some(setup.clone().start());
        Self { daemon, client, setup, pool, disks, _stage: stage }
    }

    /// The daemon, while it is on.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("it is on")
    }

    /// Power off, and the disks as they were left.
    pub fn cut(&mut self) {
        let cuts: Vec<_> = self.disks.iter().map(LoopFs::arm).collect();
        for cut in cuts {
            cut.now();
        }
        self.daemon().kill();
        self.daemon = None;
        // The pool's mounts lie below the root's file system: it goes last.
        mounts::detach_below(&self.setup.root.join("mounts"));
        for disk in self.disks.iter().rev() {
            disk.unmount();
        }
        for disk in &self.disks {
            disk.mount();
        }
    }

    /// Power on, and a boot of this id.
    pub fn boot(&mut self, id: u64) {
        self.daemon = None;
        self.client.reconnect();
        self.daemon = Some(self.setup.clone().env("BERTH_TEST_BOOT_ID", id.to_string()).start());
        let info = self.daemon().control().info();
        assert_eq!(info["state"], "ready", "{info}");
    }

    /// What daemon, kernel and disk show.
    pub fn look(&mut self) -> World {
        World::look(&mut self.client, &self.setup.root, &self.pool)
    }

    /// The state that the catalog has on the disk, not the one that is shown.
    pub fn stored_state(&self, name: &str) -> Option<String> {
        catalog::state(&self.setup.root.join("berth.db"), name)
    }
}
