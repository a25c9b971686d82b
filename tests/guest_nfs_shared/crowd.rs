//! Two hosts make and remove names at random.
//!
//! `BERTH_NAMES` says how many names each; with 1,000 of a release build it is the
//! figure of ARCHITECTURE.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    pair::{Pair, Side},
    place,
    support::{
        poll::{self, SOON},
        random::{self, Random},
    },
};

/// Names that both hosts want, for each one that a host has to itself.
const COMMON: u64 = 2;

/// What one host did.
#[derive(Debug, Default)]
struct Done {
    /// Its own names, and whether they are there.
    own: BTreeMap<String, bool>,
    creates: Vec<Duration>,
}

fn play(side: &Side, number: usize, names: u64, seed: u64) -> Done {
    let (plugin, mut random) = (side.daemon.plugin(), Random::new(seed + number as u64));
    let mut done = Done::default();
    for round in 0..names {
        let own = format!("own-{number}-{}", random.below(names));
        let there = done.own.get(&own).copied().unwrap_or_default();
        if there && random.chance(50) {
            plugin.remove(&own).expect("nobody has it");
            done.own.insert(own, false);
        } else {
            let begun = Instant::now();
            plugin.create(&own, &json!({})).expect("nobody else makes it");
            if !there {
                done.creates.push(begun.elapsed());
            }
            done.own.insert(own, true);
        }
        if round % COMMON == 0 {
            // Whoever is first; the other's is confirmed, or meets a removal.
            let common = format!("common-{}", random.below(names.div_ceil(4)));
            let _ = if random.chance(50) {
                plugin.create(&common, &json!({}))
            } else {
                plugin.remove(&common)
            };
        }
    }
    done
}

/// The names that a host lists, each once, and their ids.
#[track_caller]
fn listed(side: &Side) -> BTreeMap<String, String> {
    let volumes = side.daemon.control().volumes();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let found: BTreeMap<_, _> =
        volumes.iter().map(|volume| (text(&volume["name"]), text(&volume["id"]))).collect();
    assert_eq!(found.len(), volumes.len(), "a name is there twice: {volumes:?}");
    found
}

/// What each create does at least once: a file written and synced, and a link to it.
fn links(folder: &Path, count: u64) -> Vec<Duration> {
    fs::create_dir(folder).expect("made");
    let round = |number: u64| {
        let begun = Instant::now();
        let scratch = folder.join("scratch");
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).open(&scratch).expect("made");
        file.write_all(&[b'x'; 600]).expect("written");
        file.sync_all().expect("synced");
        fs::hard_link(&scratch, folder.join(number.to_string())).expect("linked");
        let took = begun.elapsed();
        fs::remove_file(&scratch).expect("ours");
        took
    };
    (0..count).map(round).collect()
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn names_made_and_removed_at_random_by_two_hosts_are_neither_lost_nor_double() {
    let (names, seed) = (random::number("BERTH_NAMES", 15), random::seed());
    say(&format!("BERTH_SEED={seed}"));
    let pair = Pair::new("crowd");
    let sides = [&pair.one, &pair.two];
    let done: Vec<Done> = thread::scope(|scope| {
        let players = [0, 1].map(|number| {
            let side = sides[number];
            scope.spawn(move || play(side, number, names, seed))
        });
        players.map(|player| player.join().expect("no panic")).into()
    });
    let kept = |done: &Done| {
        let kept = done.own.iter().filter(|(_, there)| **there).map(|(name, _)| name.clone());
        kept.collect::<Vec<_>>()
    };
    let expected: BTreeSet<_> = done.iter().flat_map(kept).collect();
    poll::holds("both hosts list the same", SOON, || {
        let (one, two) = (listed(&pair.one), listed(&pair.two));
        let own: BTreeSet<_> =
            one.keys().filter(|name| name.starts_with("own-")).cloned().collect();
        one == two && own == expected
    });
    // As the pool has it: one record for each, and one volume.
    let there = || {
        let entries = fs::read_dir(pair.path().join("volumes")).expect("readable");
        entries.map(|entry| entry.expect("readable").file_name().into_string().expect("an id"))
    };
    poll::holds("nothing else is in the pool", SOON, || {
        let ids: BTreeSet<_> = listed(&pair.one).into_values().collect();
        ids == there().collect()
    });
    let creates = done.into_iter().flat_map(|done| done.creates).collect();
    let (create, link) = (median(creates), place::on_a_plain_mount(|at| median(links(at, 30))));
    let times = create.as_secs_f64() / link.as_secs_f64();
    say(&format!("create {create:?}, one link(2) and fsync {link:?}: {times:.1}"));
}
