//! Pools on an NFS server of the kernel, beside what coreutils need for the same on the
//! same mount.
//!
//! `scripts/bench` runs this in the guest of `scripts/vm`, on a release build without test
//! switches: the machine is emulated, so only ratios of one run mean something. One module
//! for each table; a new one is a line of [`PARTS`].
//!
//! `BERTH_BENCH_ONLY` names the parts to measure, with commas between; `BERTH_BENCH_PART=N`
//! makes do with the N-th part of all sizes.

mod copies;
#[path = "../support/figures.rs"]
#[allow(dead_code, reason = "shared with the other benchmarks")]
mod figures;
mod site;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::env;

use figures::Table;

/// What can be measured by itself.
const PARTS: [(&str, Measure); 1] = [("copies", copies::measure)];

type Measure = fn(&mut Table);

fn main() {
    let only = env::var("BERTH_BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|one| part.starts_with(one));
    let mut table = Table::new();
    for (_, measure) in PARTS.iter().filter(|(part, _)| wanted(part)) {
        measure(&mut table);
    }
    if site::part() > 1 {
        table.note(&format!("sizes are a {}th of what the figures are called", site::part()));
    }
    table.print();
}
