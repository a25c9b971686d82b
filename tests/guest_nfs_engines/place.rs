//! What the hosts share: an export, and one of another server, which goes away.

use std::fs;

use crate::support::{
    host::Host,
    nfs::{Address, Server, Setup},
    stage::Stage,
};

/// The servers.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Server,
    /// The one of the pool `away`.
    pub(crate) away: Server,
}

impl Place {
    pub(crate) fn new(stage: &Stage) -> Self {
        let [shared, away] = [1, 2].map(|_| Setup::new().start(stage));
        for server in [&shared, &away] {
            fs::create_dir(server.disk().join("pool")).expect("made");
        }
        Self { shared, away }
    }

    /// Gives a host the way to both, and an address by which the other host finds it.
    #[track_caller]
    pub(crate) fn reach(&mut self, host: &Host) -> Address {
        self.away.join(host);
        self.shared.join(host)
    }

    /// The pools `shared` and `away`.
    pub(crate) fn config(&self) -> String {
        let section = |pool: &str, server: &Server| {
            let (address, export) = (server.address().v4, server.export());
            format!(
                "[pools.{pool}]\nbackend = \"nfs\"\nserver = \"{address}\"\nexport = \"{export}/pool\"\n"
            )
        };
        section("shared", &self.shared) + &section("away", &self.away)
    }
}
