//! Snapshots and removal of directory volumes, beside what coreutils need for
//! the same.
//!
//! `scripts/bench` runs this against a release build without test switches.
//! Every figure and its baseline come from the same file system, a fresh one on
//! a loop device, in rounds that alternate; the table has their medians. Nothing
//! fails here: the figures are reported beside their targets.
//!
//! `BERTH_BENCH_ONLY` names the parts to measure (see [`PARTS`]), with commas
//! between; `BERTH_BENCH_PART=N` makes do with the N-th part of all sizes.

mod content;
mod copies;
#[path = "../support/daemon.rs"]
#[allow(dead_code, reason = "shared with the other benchmark")]
mod daemon;
#[path = "../support/figures.rs"]
#[allow(dead_code, reason = "shared with the other benchmark")]
mod figures;
#[path = "../../tests/support/load.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod load;
#[path = "../../tests/support/loopfs.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod loopfs;
#[path = "../../tests/support/mounts.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod mounts;
#[path = "../../tests/support/namespace.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod namespace;
#[path = "../../tests/support/poll.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod poll;
mod removal;
mod site;
#[path = "../support/stage.rs"]
mod stage;
#[path = "../support/trace.rs"]
mod trace;

use std::{env, fs, path::Path, time::Instant};

use figures::Table;
use loopfs::Kind;
use stage::Stage;

/// What can be measured by itself.
const PARTS: [(&str, Measure); 5] = [
    ("xfs", |stage, table| copies::shared(stage, Kind::Xfs, table)),
    ("btrfs", |stage, table| copies::shared(stage, Kind::Btrfs, table)),
    ("ext4", copies::written),
    ("removal-ext4", |stage, table| removal::measure(stage, Kind::Ext4, table)),
    ("removal-xfs", |stage, table| removal::measure(stage, Kind::Xfs, table)),
];

type Measure = fn(&Path, &mut Table);

fn main() {
    namespace::apart();
    let only = env::var("BERTH_BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|one| part.starts_with(one));
    let stage = Stage::new();
    let begin = Instant::now();
    let mut table = Table::new();
    let before = load();
    for (_, measure) in PARTS.iter().filter(|(part, _)| wanted(part)) {
        measure(stage.path(), &mut table);
    }
    table.note(&format!(
        "took {:.0} s; load {before} before, {} after",
        begin.elapsed().as_secs_f64(),
        load()
    ));
    if content::part() > 1 {
        table.note(&format!("sizes are a {}th of what the figures are called", content::part()));
    }
    table.print();
}

/// The load of the last minute, as `uptime` has it.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
