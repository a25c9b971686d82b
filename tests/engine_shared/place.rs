//! What the hosts share: here, a folder that both see, and a network.

use crate::support::{
    host::Host,
    nfs::{Address, Lan},
    stage::Stage,
};

/// The folder, and a host that is nothing but the switch between the others.
#[derive(Debug)]
pub(crate) struct Place {
    folder: String,
    switch: Host,
    lan: Lan,
}

impl Place {
    pub(crate) fn new(stage: &Stage) -> Self {
        let folder = stage.folder("share").join("pool").display().to_string();
        Self { folder, switch: Host::boot(stage), lan: Lan::new() }
    }

    /// Gives a host the way to it, and an address by which the other host finds it.
    #[track_caller]
    pub(crate) fn reach(&mut self, host: &Host) -> Address {
        let number = self.lan.join(self.switch.door(), Some(host.door()));
        self.lan.client(number)
    }

    /// The pool `shared`, and what pools there are besides.
    pub(crate) fn config(&self) -> String {
        let folder = &self.folder;
        format!("[pools.shared]\nbackend = \"vfs\"\npath = \"{folder}\"\nshared = true\n")
    }
}
