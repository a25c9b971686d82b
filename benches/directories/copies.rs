//! A snapshot, from the request to the end of its job, beside `cp -a`.
//!
//! A snapshot is on stable storage when its job ends; what cp made is not. So
//! there are two baselines: cp alone, and cp with a sync after it.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    content,
    figures::{Samples, Table, ms},
    loopfs::Kind,
    site::{Site, remove_snapshot, snapshot},
    trace::{self, Trace},
};

/// Rounds that count; one before them warms up.
const ROUNDS: usize = 7;
/// Snapshots of which the syncs are counted.
const COUNTED: usize = 15;
const GIB: u64 = 1 << 30;
/// Many files: so many, of a gigabyte in all.
const FILES: u64 = 10_000;
const SIZE: usize = 107_374;

/// Where files share their blocks.
pub(crate) fn shared(stage: &Path, kind: Kind, table: &mut Table) {
    let name = if kind == Kind::Xfs { "XFS" } else { "Btrfs" };
    let site = Site::new(stage, "shared", kind, 16 << 10);
    let volumes = [("large", "10 GiB in one file"), ("many", "1 GiB in 10,000 files")];
    for (volume, what) in volumes {
        let id = site.volume(volume);
        let data = site.daemon.data(&id);
        match volume {
            "large" => content::large(&data, 10 * GIB),
            _ => content::many(&data, FILES, SIZE),
        }
        let taken = measure(&site, volume, &data, "--reflink=always");
        let (limit, ratio) =
            if volume == "large" { ("< 200 ms", "at most 1.3") } else { ("< 1500 ms", "below 1") };
        let title = format!("{name}, {what}");
        table.row(&format!("{title}: snapshot"), &ms(taken.own.p50()), limit);
        taken.compare(&title, "cp -a --reflink=always", ratio, table);
        #[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
        let megabytes = taken.space as f64 / 1e6;
        table.row(&format!("{title}: space taken"), &format!("{megabytes:.1} MB"), "no data");
    }
    syncs(&site, name, table);
}

/// Where content is written again.
pub(crate) fn written(stage: &Path, table: &mut Table) {
    let site = Site::new(stage, "written", Kind::Ext4, 8 << 10);
    for (volume, what) in
        [("many", "1 GiB in 10,000 files"), ("image", "4 GiB image, an eighth written")]
    {
        let id = site.volume(volume);
        let data = site.daemon.data(&id);
        match volume {
            "many" => content::many(&data, FILES, SIZE),
            _ => content::sparse(&data, 4 * GIB),
        }
        let taken = measure(&site, volume, &data, "--sparse=always");
        let title = format!("ext4, {what}");
        table.row(&format!("{title}: snapshot"), &ms(taken.own.p50()), "");
        taken.compare(&title, "cp -a --sparse=always", "at most 1", table);
    }
    syncs(&site, "ext4", table);
}

/// What the rounds gave.
struct Taken {
    own: Samples,
    cp: Samples,
    /// cp and the sync after it.
    synced: Samples,
    /// Bytes that the first snapshot took.
    space: u64,
}

impl Taken {
    fn compare(&self, title: &str, cp: &str, target: &str, table: &mut Table) {
        table.row(&format!("{title}: {cp}"), &ms(self.cp.p50()), "");
        table.row(&format!("{title}: the same and sync"), &ms(self.synced.p50()), "");
        let over = |other: &Samples| {
            format!("{:.2}", self.own.p50().as_secs_f64() / other.p50().as_secs_f64())
        };
        table.row(&format!("{title}: snapshot over cp"), &over(&self.cp), target);
        table.row(&format!("{title}: snapshot over cp and sync"), &over(&self.synced), "");
    }
}

fn measure(site: &Site, volume: &str, data: &Path, option: &str) -> Taken {
    let mut client = site.client();
    let (mut own, mut cp, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    let copy = site.beside("copy");
    site.sync();
    let free = site.free();
    snapshot(&mut client, volume, "first");
    site.sync();
    let space = free.saturating_sub(site.free());
    remove_snapshot(&mut client, volume, "first");
    site.until_purged();
    for round in 0..=ROUNDS {
        site.sync();
        let begin = Instant::now();
        snapshot(&mut client, volume, "s");
        let taken = begin.elapsed();
        remove_snapshot(&mut client, volume, "s");
        site.until_purged();
        site.sync();
        let begin = Instant::now();
        let status = Command::new("cp").args(["-a", option]).arg(data).arg(&copy).status();
        let copied = begin.elapsed();
        site.sync();
        let durable = begin.elapsed();
        assert!(status.expect("cp is there").success(), "cp of {}", data.display());
        fs::remove_dir_all(&copy).expect("a copy");
        if round > 0 {
            own.push(taken);
            cp.push(copied);
            synced.push(durable);
        }
    }
    Taken { own: Samples::new(own), cp: Samples::new(cp), synced: Samples::new(synced), space }
}

/// Counts the syncs of a snapshot by strace.
fn syncs(site: &Site, name: &str, table: &mut Table) {
    let id = site.volume("small");
    fs::write(site.daemon.data(&id).join("file"), "content").expect("there is space");
    let mut client = site.client();
    let Some(trace) = Trace::attach(&site.daemon) else {
        table.note("syncs are not counted: strace cannot attach");
        return;
    };
    let mut calls = Vec::new();
    for n in 0..COUNTED {
        let start = trace::now();
        snapshot(&mut client, "small", &format!("c{n}"));
        calls.push((start, trace::now()));
        // What follows an answer must not be taken for part of the next call.
        std::thread::sleep(Duration::from_millis(20));
    }
    let syncs = trace.end();
    let count = trace::within(&syncs, &calls);
    let title = format!("{name}: syncs before a snapshot is answered");
    table.row(&title, &count.to_string(), "");
}
