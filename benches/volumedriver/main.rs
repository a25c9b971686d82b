//! Latency and throughput of the volume driver, by a fixed method.
//!
//! `scripts/bench` runs this against a release build without test switches and
//! explains the table. Nothing fails here: the figures are reported beside their
//! targets.

mod daemon;
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
mod trace;

use std::{env, fs, path::PathBuf, process, time::Instant};

use daemon::{Daemon, Disk};
use figures::Table;

/// Volumes in the large set.
const VOLUMES: usize = 5000;

fn main() {
    namespace::apart();
    let base =
        env::var_os("BERTH_BENCH_DIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let stage = Stage(base.join(format!("berth-bench-{}", process::id())));
    fs::create_dir_all(&stage.0).expect("BERTH_BENCH_DIR is writable");
    let begin = Instant::now();
    let mut table = Table::new();

    measure::many_volumes(&Daemon::setup(&stage.0, "many", Disk::AsItIs), VOLUMES, &mut table);
    let syncs = measure::syncs(&Daemon::setup(&stage.0, "counted", Disk::AsItIs), &mut table);
    for disk in [Disk::Slow, Disk::AsItIs] {
        if disk == Disk::Slow && Daemon::shim().is_none() {
            table.note("padded figures need BERTH_SLOW_SYNC, the shim that scripts/bench builds");
            continue;
        }
        measure::one_client(&Daemon::setup(&stage.0, "one", disk), disk, &syncs, &mut table);
        measure::many_clients(&Daemon::setup(&stage.0, "crowd", disk), disk, &mut table);
    }
    table.note(&format!("took {:.0} s", begin.elapsed().as_secs_f64()));
    table.print();
}

/// The folder of the benchmark; gone at its end.
struct Stage(PathBuf);

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
