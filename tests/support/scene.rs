//! One daemon with one volume, and what tests of references ask often.

use serde_json::json;

use super::{
    daemon::{Daemon, Setup},
    namespace,
    poll::{self, SOON},
    stage::Stage,
};

/// A stage with a daemon and a volume `v` on it.
#[derive(Debug)]
pub struct Scene {
    /// The daemon.
    pub daemon: Daemon,
    _stage: Stage,
}

impl Scene {
    pub fn new() -> Self {
        Self::with(|setup| setup)
    }

    pub fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        namespace::apart();
        let stage = Stage::new("references");
        let daemon = change(Setup::new(&stage).env("BERTH_TEST_BOOT_ID", "one")).start();
        daemon.plugin().create("v", &json!({})).expect("a fresh daemon");
        Self { daemon, _stage: stage }
    }

    #[track_caller]
    pub fn mount(&self, id: &str) {
        let mountpoint = self.daemon.plugin().mount("v", id).expect("a sound volume");
        assert_eq!(mountpoint, self.daemon.setup.root.join("mounts/v"));
        assert_eq!(self.daemon.mounts().len(), 1, "mounted once");
    }

    #[track_caller]
    pub fn unmount(&self, id: &str) {
        self.daemon.plugin().unmount("v", id).expect("Docker never asks again");
    }

    #[track_caller]
    pub fn assert_count(&self, expected: u64) {
        assert_eq!(self.daemon.control().references("v"), expected);
    }

    /// References as expected, and mounted.
    #[track_caller]
    pub fn assert_mounted(&self, references: u64) {
        self.assert_count(references);
        assert_eq!(self.daemon.mounts().len(), 1, "mounted once");
    }

    /// No reference, and soon no mount and no folder either.
    #[track_caller]
    pub fn assert_unmounted(&self) {
        self.assert_count(0);
        self.await_unmounted();
    }

    #[track_caller]
    pub fn await_unmounted(&self) {
        poll::equal("mounts", SOON, &Vec::new(), || self.daemon.mounts());
        let folder = self.daemon.setup.root.join("mounts/v");
        poll::holds("the mountpoint's folder is gone", SOON, || !folder.exists());
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.daemon.setup = self.daemon.setup.clone().env(name, value);
    }
}
