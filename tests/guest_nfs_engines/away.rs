//! A server that falls silent under running containers.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use crate::{
    site::{Node, Site, site_alone},
    support::{
        campaign,
        docker::IMAGE,
        poll::{self, SOON},
    },
};

/// How long a client may take to find its server again.
const RECLAIM: Duration = Duration::from_secs(90);

/// The longest that Docker waits for a managed plugin leaves this much to us.
const ANSWER: Duration = Duration::from_secs(24);

/// What starting the command line and a container takes besides, where the processor is
/// emulated.
const SLOW: Duration = Duration::from_secs(40);

/// Writes numbers, each on stable storage before it is told.
const WRITER: &str = "n=0; while :; do n=$((n+1)); \
     echo $n | dd of=/data/log oflag=append conv=notrunc,fsync 2>/dev/null || exit 9; echo $n; done";

/// Two containers write when the server falls silent: Docker and Berth answer as before,
/// also for what is on it; the one that is stopped meanwhile is stopped, the other goes
/// on, and no line is missing that was told to be written. A dockerd that starts
/// meanwhile knows what it knew.
#[test]
fn a_silent_server_holds_up_its_own_containers_only() {
    let site = site_alone();
    let node = &site.one;
    create(node, "late");
    create(node, "idle");
    create(&site.two, "labelled");
    writer(node, "goes-on", "late");
    writer(node, "is-stopped", "late");
    poll::holds("both write", RECLAIM, || {
        ["goes-on", "is-stopped"].iter().all(|container| told(node, container) > 2)
    });
    let silent = Silent::begin(&site);
    thread::scope(|scope| {
        let starting = scope.spawn(|| starts_again(&site.two));
        is_held_up(&site);
        starting.join().expect("the other dockerd started");
    });

    let acknowledged = ["goes-on", "is-stopped"].map(|container| told(node, container));
    drop(silent);
    let place = site.place();
    poll::holds("the writer goes on", RECLAIM, || told(node, "goes-on") > acknowledged[0] + 1);
    let id = node.berth.control().volume("late")["id"].as_str().expect("an id").to_owned();
    let log = place.away.disk().join("pool/volumes").join(&id).join("data/log");
    let log = fs::read_to_string(&log).expect("on the server");
    for number in 1..=*acknowledged.iter().max().expect("two") {
        let lines = log.lines().filter(|line| *line == number.to_string()).count();
        let least = acknowledged.iter().filter(|last| number <= **last).count();
        assert!(lines >= least, "{number} is there {lines} times of {least}: {log}");
    }
    poll::holds("the stopped one has ended", RECLAIM, || !node.engine().is_running("is-stopped"));
    poll::holds("the pool is used again", RECLAIM, || {
        node.try_run("idle", "true").status.success()
    });
    node.docker(&["rm", "-f", "goes-on", "is-stopped"]);
    poll::equal("references", SOON, &0, || node.berth.control().references("late"));
}

/// As long as this is there, the server is silent. A test that fails must end it too: what
/// waits for the server would keep the whole guest from going down.
struct Silent<'a>(&'a Site);

impl<'a> Silent<'a> {
    #[track_caller]
    fn begin(site: &'a Site) -> Self {
        site.place().away.drop_packets();
        Self(site)
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        self.0.place().away.pass_packets();
    }
}

/// What Docker does on a host whose containers wait for the server.
#[track_caller]
fn is_held_up(site: &Site) {
    let node = &site.one;
    let export = format!("{}:", site.place().away.address().v4);
    timed("run of a volume on the silent server", || {
        let said = refused(node);
        assert!(said.contains(&export) && said.contains("has not answered for"), "{said}");
    });
    timed("ps", || assert!(node.docker(&["ps"]).contains("goes-on")));
    timed("volume ls", || assert!(node.docker(&["volume", "ls"]).contains("late")));
    timed("volume inspect", || is_known(node, "late"));
    timed("run elsewhere", || {
        assert_eq!(node.run("elsewhere", "echo here >/data/x; cat /data/x"), "here");
    });
    // A wait for an NFS server can be killed, most of them: Docker may have to say that it
    // saw no end.
    timed("stop", || {
        let output = node.engine().run(&["stop", "-t", "1", "is-stopped"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() || said.contains("did not receive an exit"), "{said}");
    });
    assert!(node.engine().is_running("goes-on"), "it ended");
}

/// Runs `act`, which must not take longer than a refusal may.
#[track_caller]
fn timed(what: &str, act: impl FnOnce()) {
    let begun = Instant::now();
    act();
    let took = begun.elapsed();
    campaign::say(&format!("{what}: {took:.1?}"));
    assert!(took < ANSWER + SLOW, "{what} took {took:?}");
}

/// What Docker says when it shall use a volume of the silent server.
#[track_caller]
fn refused(node: &Node) -> String {
    let output = node.try_run("idle", "true");
    assert!(!output.status.success(), "it ran");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// dockerd ends and starts in the time that it always has, and keeps what it knew of
/// volumes on the silent server.
#[track_caller]
fn starts_again(node: &Node) {
    {
        let mut engine = node.engine_to_change();
        engine.stop();
        timed("start of dockerd", || engine.start_again());
    }
    is_known(node, "labelled");
}

/// Its label, which Docker has, and its option.
#[track_caller]
fn is_known(node: &Node, volume: &str) {
    let known = node.engine().inspect("volume", volume, "{{.Labels.team}} {{.Options.pool}}");
    assert_eq!(known, "red away");
}

/// A volume on the server that goes away.
#[track_caller]
fn create(node: &Node, volume: &str) {
    let head = ["volume", "create", "-d", "berth", "-o", "pool=away", "--label", "team=red"];
    node.docker(&[&head[..], &[volume]].concat());
}

/// A container that writes until it is stopped.
#[track_caller]
fn writer(node: &Node, container: &str, volume: &str) {
    let volume = format!("{volume}:/data");
    node.docker(&[
        "run",
        "-d",
        "--network=none",
        "--name",
        container,
        "-v",
        &volume,
        IMAGE,
        "sh",
        "-c",
        WRITER,
    ]);
}

/// The last number that a writer told.
fn told(node: &Node, container: &str) -> u64 {
    node.docker(&["logs", "--tail=1", container]).parse().unwrap_or(0)
}
