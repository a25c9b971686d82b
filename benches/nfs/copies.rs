//! A snapshot, from the request to the end of its job, beside `cp` on the data mount. The
//! server has what a snapshot made on stable storage then, and what cp made as well: the
//! export is `sync`.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use nix::fcntl::{FallocateFlags, fallocate};
use serde_json::json;

use crate::{
    figures::{Samples, Table, ms},
    site::{Site, part},
    support::{loopfs::Kind, nfs::Setup},
};

/// Rounds that count; one before them warms up.
const ROUNDS: usize = 3;
const GIB: u64 = 1 << 30;

pub(crate) fn measure(table: &mut Table) {
    let site = Site::new(Setup::new().on(Kind::Xfs).megabytes(12 << 10));
    for (volume, what, files, limit) in [
        ("many", "2 GiB in 1,000 files", 1000, "< 3 s"),
        ("large", "2 GiB in one file", 1, "< 1 s"),
    ] {
        let data = site.volume(volume);
        for n in 0..files {
            reserved(&data.join(format!("f{n}")), 2 * GIB / part() / files);
        }
        measure_one(&site, volume, what, &data, limit, table);
    }
}

fn measure_one(site: &Site, volume: &str, what: &str, data: &Path, limit: &str, table: &mut Table) {
    let mut client = site.client();
    let path = format!("/v1/volumes/{volume}/snapshots");
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    let mut space = 0;
    for round in 0..=ROUNDS {
        let free = site.free();
        let begin = Instant::now();
        client.job(&path, &json!({ "name": "s" })).done();
        let taken = begin.elapsed();
        space = free.saturating_sub(site.free());
        client.control("DELETE", &format!("{path}/s"), None).done();
        site.until_purged();
        let copied = copy(site, data);
        if round > 0 {
            own.push(taken);
            shared.push(copied);
        }
    }
    let (own, shared) = (Samples::new(own), Samples::new(shared));
    table.row(&format!("{what}: snapshot"), &ms(own.p50()), limit);
    table.row(&format!("{what}: cp -a --reflink=always"), &ms(shared.p50()), "");
    let ratio = own.p50().as_secs_f64() / shared.p50().as_secs_f64();
    table.row(&format!("{what}: snapshot over cp --reflink=always"), &format!("{ratio:.2}"), "");
    #[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
    let megabytes = space as f64 / 1e6;
    table.row(&format!("{what}: space taken"), &format!("{megabytes:.1} MB"), "no data");
}

/// How long cp takes for what is in `data`, on the same mount.
fn copy(site: &Site, data: &Path) -> Duration {
    site.sync();
    let to = data.join("copy");
    fs::create_dir(&to).expect("a folder of our own");
    let begin = Instant::now();
    let script = "exec cp -a --reflink=always f* copy/";
    let status = Command::new("sh").args(["-c", script]).current_dir(data).status();
    let taken = begin.elapsed();
    assert!(status.expect("cp is there").success(), "cp in {}", data.display());
    fs::remove_dir_all(&to).expect("a copy");
    taken
}

/// A file whose blocks are there but were never written, which is the same to who shares
/// them.
fn reserved(path: &Path, bytes: u64) {
    let file = File::create(path).expect("a fresh file");
    let length = i64::try_from(bytes).expect("it fits on a disk");
    fallocate(&file, FallocateFlags::empty(), 0, length).expect("there is space");
}
