//! What is measured, and how.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    daemon::{Daemon, Disk, Setup},
    figures::{Samples, Table, ms, per_second},
    load::Client,
    trace::{self, Trace},
};

/// Files in the volumes that are removed while Get is measured.
const FILES: usize = 100_000;
/// Clients at a time.
const CROWD: usize = 64;
/// How long a throughput is measured.
const WINDOW: Duration = Duration::from_secs(3);
/// Calls of each verb with one client.
const CALLS: usize = 150;

/// The durable verbs, each with the number of syncs it may have.
const VERBS: [(&str, usize); 6] =
    [("Create", 4), ("Mount", 2), ("Unmount", 2), ("set", 2), ("Remove", 2), ("undelete", 2)];

/// Syncs per call, by verb.
pub(crate) type Syncs = BTreeMap<&'static str, usize>;

/// List and Get, start and memory, with many volumes.
pub(crate) fn many_volumes(setup: &Setup, count: usize, table: &mut Table) {
    let daemon = setup.start();
    let begin = Instant::now();
    in_parallel(&daemon, 16, |worker, client| {
        for n in (worker..count).step_by(16) {
            client.create(&format!("v{n}"), &json!({})).done();
        }
    });
    let rate = per_second(count, begin.elapsed());
    table.row(&format!("Create, 16 clients, {count} volumes"), &format!("{rate:.0}/s"), "");

    let mut client = daemon.client();
    assert_eq!(client.names().len(), count);
    let list = sample(200, || assert!(client.list_bytes() > count * 40));
    table.row(&format!("List of {count} volumes, p50"), &ms(list.p50()), "< 10 ms");
    let get = sample(20_000, || {
        client.get("v4711").done();
    });
    table.row("Get, p50", &ms(get.p50()), "< 0.2 ms");
    get_under_load(&daemon, table);
    daemon.stop();

    let mut ready = Vec::new();
    let mut resident = 0;
    for _ in 0..5 {
        let daemon = setup.start();
        ready.push(daemon.ready);
        assert_eq!(daemon.client().names().len(), count);
        resident = resident.max(daemon.resident());
        daemon.stop();
    }
    let ready = Samples::new(ready);
    table.row(&format!("start with {count} volumes, p50 of 5"), &ms(ready.p50()), "< 200 ms");
    table.row(&format!("start with {count} volumes, worst of 5"), &ms(ready.percentile(100)), "");
    #[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
    let megabytes = resident as f64 / 1e6;
    table.row(&format!("resident with {count} volumes"), &format!("{megabytes:.1} MB"), "< 30 MB");
}

/// Get while four clients create and remove at full speed, and volumes with many
/// files are deleted for good.
fn get_under_load(daemon: &Daemon, table: &mut Table) {
    const HEAVY: usize = 10;
    let mut client = daemon.client();
    for n in 0..HEAVY {
        client.create(&format!("heavy{n}"), &json!({})).done();
        let view = client.view(&format!("heavy{n}")).done();
        let data = daemon.data(view["id"].as_str().expect("an id"));
        for file in 0..FILES / HEAVY {
            File::create(data.join(format!("f{file}"))).expect("a volume's data");
        }
    }
    let (over, changes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut samples = Vec::new();
    thread::scope(|scope| {
        for worker in 0..4 {
            let (mut client, over, changes) = (daemon.client(), &over, &changes);
            scope.spawn(move || {
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let name = format!("busy{worker}-{n}");
                    client.create(&name, &json!({})).done();
                    client.remove(&name).done();
                    changes.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let mut remover = daemon.client();
        scope.spawn(move || {
            for n in 0..HEAVY {
                remover.control("DELETE", &format!("/v1/volumes/heavy{n}?now=true"), None).done();
            }
        });
        let begin = Instant::now();
        while begin.elapsed() < WINDOW * 2 {
            let start = Instant::now();
            client.get("v4711").done();
            samples.push(start.elapsed());
        }
        over.store(true, Ordering::Relaxed);
    });
    let (samples, changes) = (Samples::new(samples), changes.into_inner());
    let title =
        format!("Get under {:.0} changes/s, {FILES} files", per_second(changes, WINDOW * 2));
    table.row(&format!("{title}, p50"), &ms(samples.p50()), "");
    table.row(&format!("{title}, p99"), &ms(samples.p99()), "< 5 ms");
}

/// Syncs of each durable verb, as strace counts them: those before the answer,
/// and those that follow (effects of what was promised, outcomes).
pub(crate) fn syncs(setup: &Setup, table: &mut Table) -> Syncs {
    let daemon = setup.start();
    let mut counted = Syncs::new();
    for (verb, most) in VERBS {
        prepare(verb, CALLS, &mut daemon.client());
        let Some(trace) = Trace::attach(&daemon) else {
            table.note("syncs are not counted: strace cannot attach");
            return VERBS.into();
        };
        let mut client = daemon.client();
        let mut calls = Vec::new();
        for n in 0..CALLS {
            let start = trace::now();
            call(verb, n, &mut client);
            calls.push((start, trace::now()));
            // What follows an answer must not be taken for part of the next call.
            thread::sleep(Duration::from_millis(8));
        }
        let syncs = trace.end();
        let before = trace::within(&syncs, &calls);
        let all = per_second(syncs.len(), Duration::from_secs(CALLS as u64));
        table.row(
            &format!("syncs per {verb} before its answer (and in all)"),
            &format!("{before} ({all:.1})"),
            &format!("at most {most}"),
        );
        counted.insert(verb, before);
    }
    counted
}

/// Latency of each durable verb with one client.
pub(crate) fn one_client(setup: &Setup, disk: Disk, syncs: &Syncs, table: &mut Table) {
    let daemon = setup.start();
    let mut client = daemon.client();
    for (verb, _) in VERBS {
        prepare(verb, CALLS, &mut client);
        let mut n = 0;
        let samples = sample(CALLS, || {
            call(verb, n, &mut client);
            n += 1;
        });
        let target = match disk {
            Disk::AsItIs => String::new(),
            Disk::Slow => format!("at most {} ms", 3 * syncs[verb].max(1)),
        };
        table.row(
            &format!("{verb}, one client, {}, p50", disk.name()),
            &ms(samples.p50()),
            &target,
        );
    }
}

/// Throughput of a crowd over that of one client.
pub(crate) fn many_clients(setup: &Setup, disk: Disk, table: &mut Table) {
    let daemon = setup.start();
    in_parallel(&daemon, CROWD, |worker, client| {
        client.create(&format!("m{worker}"), &json!({})).done();
    });
    let pair = |worker: usize, _: usize, client: &mut Client| {
        client.mount(&format!("m{worker}"), "c").done();
        client.unmount(&format!("m{worker}"), "c").done();
    };
    let create = |worker: usize, n: usize, client: &mut Client| {
        client.create(&format!("t{worker}-{n}"), &json!({})).done();
    };
    let one = throughput(&daemon, 1, pair) * 2.0;
    let all = throughput(&daemon, CROWD, pair) * 2.0;
    ratio("Mount and Unmount", disk, one, all, 8, table);
    let one = throughput(&daemon, 1, |_, n, client| create(CROWD, n, client));
    let all = throughput(&daemon, CROWD, create);
    ratio("Create", disk, one, all, 4, table);
}

fn ratio(what: &str, disk: Disk, one: f64, all: f64, least: u32, table: &mut Table) {
    let title = format!("{what}, {}", disk.name());
    table.row(&format!("{title}, 1 client"), &format!("{one:.0}/s"), "");
    table.row(&format!("{title}, {CROWD} clients"), &format!("{all:.0}/s"), "");
    let target = if disk == Disk::Slow { format!("at least {least}") } else { String::new() };
    table.row(&format!("{title}, ratio"), &format!("{:.1}", all / one), &target);
}

/// Calls per second of `clients` clients that call without pause.
fn throughput(
    daemon: &Daemon,
    clients: usize,
    call: impl Fn(usize, usize, &mut Client) + Sync,
) -> f64 {
    let calls = AtomicUsize::new(0);
    let begin = Instant::now();
    in_parallel(daemon, clients, |worker, client| {
        for n in 0.. {
            if begin.elapsed() >= WINDOW {
                break;
            }
            call(worker, n, client);
            calls.fetch_add(1, Ordering::Relaxed);
        }
    });
    per_second(calls.into_inner(), begin.elapsed())
}

fn in_parallel(daemon: &Daemon, clients: usize, work: impl Fn(usize, &mut Client) + Sync) {
    thread::scope(|scope| {
        for worker in 0..clients {
            let work = &work;
            let mut client = daemon.client();
            scope.spawn(move || work(worker, &mut client));
        }
    });
}

fn sample(count: usize, mut call: impl FnMut()) -> Samples {
    let time = |_| {
        let start = Instant::now();
        call();
        start.elapsed()
    };
    Samples::new((0..count).map(time).collect())
}

/// One call of a durable verb on the volume `n`.
fn call(verb: &str, n: usize, client: &mut Client) {
    let name = format!("s{n}");
    match verb {
        "Create" => client.create(&name, &json!({})),
        "Mount" => client.mount(&name, "c"),
        "Unmount" => client.unmount(&name, "c"),
        "Remove" => client.remove(&name),
        "set" => {
            let body = json!({"options": {"mode": "0700"}});
            client.control("PATCH", &format!("/v1/volumes/{name}"), Some(&body))
        }
        "undelete" => client.control("POST", &format!("/v1/volumes/{name}/undelete"), None),
        other => panic!("no such verb: {other}"),
    }
    .done();
}

/// Before volumes can be removed into the trash, somebody must have written them.
fn prepare(verb: &str, count: usize, client: &mut Client) {
    if verb != "Remove" {
        return;
    }
    for n in 0..count {
        let name = format!("s{n}");
        let mounted = client.mount(&name, "p").done();
        let path = mounted["Mountpoint"].as_str().expect("a mountpoint").to_owned();
        fs::write(format!("{path}/file"), "content").expect("a mounted volume");
        client.unmount(&name, "p").done();
    }
}
