//! Latency and throughput of the volume driver, by a fixed method.
//!
//! `scripts/bench` runs this against a release build without test switches and
//! explains the table. Nothing fails here: the figures are reported beside their
//! targets.

#[path = "../support/daemon.rs"]
#[allow(dead_code, reason = "shared with the other benchmark")]
mod daemon;
#[path = "../support/figures.rs"]
#[allow(dead_code, reason = "shared with the other benchmark")]
mod figures;
#[path = "../../tests/support/load.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod load;
mod measure;
#[path = "../../tests/support/mounts.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod mounts;
#[path = "../../tests/support/namespace.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod namespace;
#[path = "../support/stage.rs"]
mod stage;
#[path = "../support/trace.rs"]
mod trace;

use std::time::Instant;

use daemon::{Daemon, Disk};
use figures::Table;
use stage::Stage;

/// Volumes in the large set.
const VOLUMES: usize = 5000;

fn main() {
    namespace::apart();
    let stage = Stage::new();
    let begin = Instant::now();
    let mut table = Table::new();

    measure::many_volumes(&Daemon::setup(stage.path(), "many", Disk::AsItIs), VOLUMES, &mut table);
    let syncs = measure::syncs(&Daemon::setup(stage.path(), "counted", Disk::AsItIs), &mut table);
    for disk in [Disk::Slow, Disk::AsItIs] {
        if disk == Disk::Slow && Daemon::shim().is_none() {
            table.note("padded figures need BERTH_SLOW_SYNC, the shim that scripts/bench builds");
            continue;
        }
        measure::one_client(&Daemon::setup(stage.path(), "one", disk), disk, &syncs, &mut table);
        measure::many_clients(&Daemon::setup(stage.path(), "crowd", disk), disk, &mut table);
    }
    table.note(&format!("took {:.0} s", begin.elapsed().as_secs_f64()));
    table.print();
}
