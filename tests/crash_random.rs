//! Random `kill -9` of the daemon under load from several clients.
//!
//! Every client keeps a model of what was acknowledged, content included. After
//! each kill the daemon is started again and must show exactly that; of the
//! operations whose answers were lost, each must be there wholly or not at all.
//!
//! `BERTH_KILLS=5000` for a long run, `BERTH_SEED=n` to repeat the choices of one.

mod support;

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    panic,
    sync::atomic::Ordering,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    daemon::{Daemon, Setup},
    load::Client,
    namespace,
    operation::Op,
    poll::{self, SOON},
    random::{self, Random},
    stage::Stage,
    worker::Worker,
    world::World,
};

const CLIENTS: usize = 8;
const KILLS: u64 = 100;

#[test]
fn nothing_acknowledged_is_lost_by_kill_minus_nine() {
    let (kills, seed) = (random::number("BERTH_KILLS", KILLS), random::seed());
    say(&format!("BERTH_SEED={seed} BERTH_KILLS={kills}"));
    let mut campaign = Campaign::new(seed);
    for kill in 0..kills {
        campaign.round(kill);
    }
    let tally = campaign.tally;
    say(&format!("{tally:?}"));
    assert!(
        tally.in_flight * 100 >= kills * 80,
        "only {} of {kills} kills hit an operation in flight",
        tally.in_flight
    );
    for verb in Op::VERBS {
        let hits = tally.verbs.get(verb).copied().unwrap_or(0);
        assert!(hits > 0 || kills < KILLS, "no kill hit a {verb}: {:?}", tally.verbs);
    }
}

#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    in_flight: u64,
    verbs: BTreeMap<&'static str, u64>,
    kills_in_recovery: u64,
}

struct Campaign {
    workers: Vec<Worker>,
    client: Client,
    daemon: Daemon,
    random: Random,
    tally: Tally,
    stage: Stage,
}

impl Campaign {
    fn new(seed: u64) -> Self {
        namespace::apart();
        let stage = Stage::new("kill");
        let daemon = Setup::new(&stage).env("BERTH_LOG", "warn").start();
        let connect = || Client::new(&daemon.setup.plugin_socket, &daemon.setup.control_socket);
        let mut client = connect();
        let shared = ["shared-0".to_owned(), "shared-1".to_owned()];
        for name in &shared {
            client.create(name, &json!({})).done();
        }
        let mounts = daemon.setup.root.join("mounts");
        let workers = (0..CLIENTS)
            .map(|number| Worker::new(number, seed, &shared, connect(), mounts.clone()))
            .collect();
        let (random, tally) = (Random::new(seed), Tally::default());
        Self { workers, client, daemon, random, tally, stage }
    }

    /// Load, a kill in the middle of it, recovery, comparison.
    fn round(&mut self, kill: u64) {
        let target = 5 + self.random.below(120);
        let delay = Duration::from_micros(self.random.below(3000));
        let (sender, acks) = mpsc::channel();
        let mut written = 0;
        thread::scope(|scope| {
            let writing: Vec<_> = self.workers.iter().map(|w| w.writing.clone()).collect();
            let hands: Vec<_> = self
                .workers
                .iter_mut()
                .map(|worker| {
                    let sender = sender.clone();
                    scope.spawn(move || worker.work(&sender))
                })
                .collect();
            drop(sender);
            for _ in 0..target {
                // An error means that no client is left, or that all hang.
                if acks.recv_timeout(Client::PATIENCE).is_err() {
                    break;
                }
            }
            spin(delay);
            written = writing.iter().filter(|flag| flag.load(Ordering::SeqCst)).count() as u64;
            self.daemon.kill();
            for hand in hands {
                if let Err(cause) = hand.join() {
                    panic::resume_unwind(cause);
                }
            }
        });
        self.count(target, written);
        self.kill_recovery();
        self.daemon.restart();
        self.compare(kill);
    }

    fn count(&mut self, acknowledged: u64, written: u64) {
        let lost: Vec<_> = self.workers.iter().filter_map(|w| w.lost.as_ref()).collect();
        self.tally.acknowledged += acknowledged;
        self.tally.in_flight += u64::from(!lost.is_empty());
        for op in lost {
            *self.tally.verbs.entry(op.verb()).or_default() += 1;
        }
        *self.tally.verbs.entry("write").or_default() += written;
    }

    /// Now and then the next daemon dies before it is ready.
    fn kill_recovery(&mut self) {
        while self.random.chance(20) {
            self.daemon.respawn();
            spin(Duration::from_micros(self.random.below(30_000)));
            self.daemon.kill();
            self.tally.kills_in_recovery += 1;
        }
    }

    fn compare(&mut self, kill: u64) {
        self.client.reconnect();
        let (root, pool) = (self.stage.join("root"), self.stage.join("root/pools/default"));
        let world = World::look(&mut self.client, &root, &pool);
        for worker in &mut self.workers {
            let lost = worker.lost.take();
            if let Err(difference) = worker.slot.settle(lost.as_ref(), &world) {
                panic!("kill {kill}: {difference}\n{}", worker.report());
            }
        }
        self.compare_shared(&world, kill);
        for worker in &mut self.workers {
            worker.slot.restarted();
        }
        let (mut found, mut reports) = (Vec::new(), Vec::new());
        let settled = poll::within(SOON, || {
            let world = World::look(&mut self.client, &root, &pool);
            found = world.leftovers();
            reports.clear();
            for worker in &self.workers {
                let traces = worker.slot.traces(&world);
                if !traces.is_empty() {
                    found.extend(traces);
                    reports.push(worker.report());
                }
            }
            found.is_empty().then_some(())
        });
        let reports = reports.join("\n");
        assert!(settled.is_some(), "kill {kill}, after {SOON:?}: {found:#?}\n{reports}");
    }

    fn compare_shared(&self, world: &World, kill: u64) {
        for index in 0..self.workers[0].guests.len() {
            let (mut least, mut most, mut files) = (0, 0, BTreeMap::new());
            for guest in self.workers.iter().map(|worker| &worker.guests[index]) {
                let counts = guest.counts();
                least += counts.start();
                most += counts.end();
                files.extend(guest.files.clone());
            }
            let name = &self.workers[0].guests[index].name;
            let view =
                world.live.get(name).unwrap_or_else(|| panic!("kill {kill}: `{name}` is gone"));
            let references = view["references"].as_u64().expect("a number");
            assert!(
                (least..=most).contains(&references),
                "kill {kill}: `{name}` has {references} references, not {least} to {most}\n{}",
                self.workers.iter().map(Worker::report).collect::<Vec<_>>().join("\n"),
            );
            let id = view["id"].as_str().expect("an id");
            let data = world.pool.join("volumes").join(id).join("data");
            assert_eq!(support::content::files(&data), files, "kill {kill}: content of `{name}`");
        }
    }
}

/// Waits for microseconds, as exactly as a busy loop can.
fn spin(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

/// To the terminal, also when the test passes: seeds and figures are of use then.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
