//! Backups beside a current restic, the restic of this system, and borg: same data, same
//! disk, in rounds that alternate; the table has the medians.
//!
//! `scripts/bench` runs this against a release build without test switches. Every run is
//! a program of its own, opening the repository included. Nothing fails here: the figures
//! are reported beside their targets.
//!
//! `BERTH_BENCH_ONLY` names the parts to measure (`image`, `tree`, `line`, `million`), with
//! commas between; `million` is measured only when it is named.

#[path = "../support/figures.rs"]
#[allow(dead_code, reason = "shared with the other benchmarks")]
mod figures;
mod line;
mod material;
#[path = "../../tests/support/mounts.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests")]
mod mounts;
mod own;
mod rivals;
mod run;
#[path = "../support/stage.rs"]
mod stage;
#[path = "../../src/vault/tests/support/mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use figures::Table;
use material::MIB;
use rivals::{Rival, What};
use run::Taken;
use stage::Stage;

/// Rounds that count.
const ROUNDS: usize = 3;

/// What was taken by each rival in each step.
type Log = BTreeMap<(String, &'static str), Vec<Measured>>;

/// One run.
#[derive(Clone, Debug)]
struct Measured {
    taken: Taken,
    /// Bytes by which the repository grew.
    added: u64,
    /// Seconds that a sync of what was restored took after it; Berth's is part of its run.
    sync: f64,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((word, rest)) if word == run::WORD => return run::measure(rest),
        Some((word, rest)) if word == own::WORD => return own::play(rest),
        _ => {}
    }
    let only = env::var("BERTH_BENCH_ONLY").unwrap_or_default();
    let named = |part: &str| only.split(',').any(|one| one == part);
    let stage = Stage::new();
    let begin = Instant::now();
    let mut table = Table::new();
    let before = load();
    if only.is_empty() || named("image") {
        images(stage.path(), &mut table);
    }
    if only.is_empty() || named("tree") {
        trees(stage.path(), &mut table);
    }
    if only.is_empty() || named("line") {
        line::measure(stage.path(), &mut table);
    }
    if named("million") {
        million(stage.path(), &mut table);
    }
    table.note(&format!(
        "took {:.0} s; load {before} before, {} after; medians of {ROUNDS} rounds; Berth opens \
         its repository anew in each run, which a daemon does once",
        begin.elapsed().as_secs_f64(),
        load()
    ));
    table.print();
}

/// An image of 2 GiB.
fn images(stage: &Path, table: &mut Table) {
    let image = stage.join("image");
    let mut log = Log::new();
    let rivals = Rival::all();
    let mut compressed = (0, 0);
    for round in 0..ROUNDS {
        material::image(&image);
        let seed = 10 * (round as u64 + 1);
        let places: Vec<_> = rivals.iter().map(|rival| place(stage, rival)).collect();
        let mut step = |name: &'static str, changed: Option<&[(u64, u64)]>, number: usize| {
            for (rival, place) in rivals.iter().zip(&places) {
                if number == 1 {
                    rival.init(place);
                }
                let before = size(place);
                let taken = rival.back_up(place, What::Image, &image, number, changed);
                keep(&mut log, rival, name, taken, size(place) - before, 0.0);
            }
        };
        step("first", None, 1);
        let blocks = material::change(&image, material::BLOCK, seed);
        step("1 % in blocks of 256 KiB", Some(&blocks), 2);
        compressed.0 += packed(&image, &blocks);
        let pieces = material::change(&image, 64 << 10, seed + 1);
        step("1 % in pieces of 64 KiB", Some(&pieces), 3);
        compressed.1 += packed(&image, &pieces);
        for (rival, place) in rivals.iter().zip(&places) {
            let target = stage.join("restored");
            let taken = rival.restore(place, What::Image, &target, 3);
            let synced = sync(&target);
            keep(&mut log, rival, "restore", taken, 0, synced);
            let same = Command::new("cmp").arg(&image).arg(find(&target)).status();
            assert!(same.expect("cmp runs").success(), "{rival:?} restored something else");
            fs::remove_dir_all(&target).expect("removed");
        }
        clear(&places);
    }
    let targets = [
        ("first", "restic over Berth: at least 2"),
        ("1 % in blocks of 256 KiB", "at least 10"),
        ("1 % in pieces of 64 KiB", "at least 10"),
        ("restore", "at least 1.5"),
    ];
    report(table, "2 GiB image", &rivals, &log, &targets, Some(material::IMAGE));
    let blocks = &log[&(Rival::Berth.name(), targets[1].0)];
    let read: u64 = blocks.iter().map(|one| number(&one.taken.output, 1)).sum();
    let stored: u64 = blocks.iter().map(|one| number(&one.taken.output, 2)).sum();
    table.row(
        "2 GiB image, blocks: bytes read, of the image",
        &format!("{:.2} %", 100.0 * ratio(read, ROUNDS as u64 * material::IMAGE)),
        "under 2 %",
    );
    table.row(
        "2 GiB image, blocks: stored, over the change compressed",
        &format!("{:.3}", ratio(stored, compressed.0)),
        "at most 1.05",
    );
    let pieces = &log[&(Rival::Berth.name(), targets[2].0)];
    let stored: u64 = pieces.iter().map(|one| number(&one.taken.output, 2)).sum();
    table.row(
        "2 GiB image, pieces: stored, over the change compressed",
        &format!("{:.3}", ratio(stored, compressed.1)),
        "",
    );
}

/// 50,000 small files.
fn trees(stage: &Path, table: &mut Table) {
    let tree = stage.join("tree");
    // 386 MiB in all.
    material::tree(&tree, material::FILES, 15 << 10);
    let mut log = Log::new();
    let rivals = Rival::all();
    for _ in 0..ROUNDS {
        let places: Vec<_> = rivals.iter().map(|rival| place(stage, rival)).collect();
        for (number, name) in [(1, "first"), (2, "second")] {
            for (rival, place) in rivals.iter().zip(&places) {
                if number == 1 {
                    rival.init(place);
                }
                let before = size(place);
                let taken = rival.back_up(place, What::Tree, &tree, number, None);
                keep(&mut log, rival, name, taken, size(place) - before, 0.0);
            }
        }
        for (rival, place) in rivals.iter().zip(&places) {
            let target = stage.join("restored");
            let taken = rival.restore(place, What::Tree, &target, 2);
            let synced = sync(&target);
            keep(&mut log, rival, "restore", taken, 0, synced);
            fs::remove_dir_all(&target).expect("removed");
        }
        clear(&places);
    }
    fs::remove_dir_all(&tree).expect("removed");
    let bar = "restic over Berth: at least 1, the aim 1.3";
    let targets = [("first", bar), ("second", bar), ("restore", bar)];
    report(table, "50,000 files", &rivals, &log, &targets, None);
}

/// A million files, for their memory; Berth alone.
fn million(stage: &Path, table: &mut Table) {
    let tree = stage.join("tree");
    material::tree(&tree, 1_000_000, 1024);
    let place = place(stage, &Rival::Berth);
    Rival::Berth.init(&place);
    for (number, name) in [(1, "first"), (2, "second")] {
        let taken = Rival::Berth.back_up(&place, What::Tree, &tree, number, None);
        row(table, &format!("a million files, {name}"), &taken, "under 400 MiB");
    }
    let taken = Rival::Berth.restore(&place, What::Tree, &stage.join("restored"), 2);
    row(table, "a million files, restore", &taken, "under 400 MiB");
    fs::remove_dir_all(&tree).expect("removed");
}

fn row(table: &mut Table, name: &str, taken: &Taken, target: &str) {
    let text = format!(
        "{:6.2} s, {:5.2} s CPU, {:4} MiB",
        taken.wall.as_secs_f64(),
        taken.cpu.as_secs_f64(),
        taken.memory / MIB
    );
    table.row(name, &text, target);
}

fn report(
    table: &mut Table,
    title: &str,
    rivals: &[Rival],
    log: &Log,
    targets: &[(&'static str, &str)],
    bytes: Option<u64>,
) {
    for (step, target) in targets {
        let median = |rival: &Rival| median(&log[&(rival.name(), *step)]);
        let own = median(&Rival::Berth);
        for rival in rivals {
            let one = median(rival);
            let rate = bytes.filter(|_| *step == "first").map_or(String::new(), |bytes| {
                format!(", {:.0} MiB/s", ratio(bytes, MIB) / one.taken.wall.as_secs_f64())
            });
            let text = format!(
                "{:6.2} s, {:5.2} s CPU, {:4} MiB memory, {:7.1} MiB added{rate}",
                one.taken.wall.as_secs_f64(),
                one.taken.cpu.as_secs_f64(),
                one.taken.memory / MIB,
                ratio(one.added, MIB),
            );
            let limit = if *rival == Rival::Berth { "under 200 MiB memory" } else { "" };
            table.row(&format!("{title}, {step}: {}", rival.name()), &text, limit);
        }
        let current = median(&rivals[1]);
        let times = current.taken.wall.as_secs_f64() / own.taken.wall.as_secs_f64();
        let opened: f64 =
            own.taken.output.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        let daemon = current.taken.wall.as_secs_f64() / (own.taken.wall.as_secs_f64() - opened);
        if *step == "restore" {
            let times = (current.taken.wall.as_secs_f64() + current.sync)
                / (own.taken.wall.as_secs_f64() + own.sync);
            table.row(
                &format!("{title}, {step}: {} and a sync over Berth", rivals[1].name()),
                &format!("{times:.2}"),
                target,
            );
        }
        table.row(
            &format!("{title}, {step}: {} over Berth", rivals[1].name()),
            &format!("{times:.2} ({daemon:.2} without opening)"),
            target,
        );
    }
}

fn keep(log: &mut Log, rival: &Rival, step: &'static str, taken: Taken, added: u64, sync: f64) {
    log.entry((rival.name(), step)).or_default().push(Measured { taken, added, sync });
}

/// How long it takes until what is below `path` is on stable storage, in seconds.
fn sync(path: &Path) -> f64 {
    let begin = Instant::now();
    let done = Command::new("sync").arg("-f").arg(path).status().expect("sync runs");
    assert!(done.success(), "synced");
    begin.elapsed().as_secs_f64()
}

/// The run whose time is the median.
fn median(runs: &[Measured]) -> Measured {
    let mut runs = runs.to_vec();
    runs.sort_by_key(|one| one.taken.wall);
    runs[runs.len() / 2].clone()
}

fn place(stage: &Path, rival: &Rival) -> PathBuf {
    stage.join(rival.name().replace(' ', "-"))
}

fn clear(places: &[PathBuf]) {
    for place in places {
        fs::remove_dir_all(place).expect("removed");
    }
}

/// What all files of the ranges compress to, each range by itself.
fn packed(image: &Path, ranges: &[(u64, u64)]) -> u64 {
    use std::os::unix::fs::FileExt as _;
    let file = fs::File::open(image).expect("the image");
    let mut sum = 0;
    for (offset, length) in ranges {
        let mut bytes = vec![0; usize::try_from(*length).expect("small")];
        file.read_exact_at(&mut bytes, *offset).expect("it is there");
        sum += zstd::bulk::compress(&bytes, 3).expect("compresses").len() as u64;
    }
    sum
}

/// Bytes of all files below.
fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("it is there");
            if meta.is_dir() { size(&entry.path()) } else { meta.len() }
        })
        .sum()
}

/// The one file below.
fn find(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    while path.is_dir() {
        path = fs::read_dir(&path).expect("a folder").next().expect("one").expect("entry").path();
    }
    path
}

fn number(output: &str, at: usize) -> u64 {
    output.split_whitespace().nth(at).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other as f64
}

/// The load of the last minute, as `uptime` has it.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
