//! Services whose tasks on both nodes have one volume.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    site::{Node, site},
    support::{docker::IMAGE, poll},
};

/// How long a node may take to start tasks where the processor is emulated.
const SLOW: Duration = Duration::from_secs(90);

/// Both nodes' tasks write; more tasks, and new ones that start before the old ones end,
/// have the same volume at the same time.
#[test]
fn a_service_on_two_nodes_has_one_volume() {
    let site = site();
    let (one, two) = (&site.one, &site.two);
    // The scheduler knows a volume driver only after Docker has used it once on the node.
    site.both(|node| node.docker(&["volume", "ls"]));
    join(one, two);
    // Each task has a file of its own: two hosts that append to one overwrite each other.
    let script = "while date >>/data/$(hostname)-$TASK; do sleep 1; done";
    one.docker(&[
        "service",
        "create",
        "--detach",
        "--name=served",
        "--network=host",
        "--no-resolve-image",
        "--replicas=2",
        "--replicas-max-per-node=2",
        "--stop-grace-period=1s",
        "--env=TASK={{.Task.Slot}}-{{.Task.ID}}",
        "--mount=type=volume,volume-driver=berth,source=served,target=/data,volume-opt=pool=shared",
        IMAGE,
        "sh",
        "-c",
        script,
    ]);
    poll::equal("a task on each node", SLOW, &nodes(2), || running(one));
    let written = || {
        files(one)
            .iter()
            .map(|file| file.split('-').take(2).collect::<Vec<_>>().join("-"))
            .collect::<BTreeSet<_>>()
    };
    let both = BTreeSet::from(["node-1".to_owned(), "node-2".to_owned()]);
    poll::equal("both nodes write", SLOW, &both, written);

    one.docker(&["service", "scale", "--detach", "served=4"]);
    poll::equal("two tasks on each node", SLOW, &nodes(4), || running(one));
    poll::holds("four tasks write", SLOW, || files(two).len() >= 4);
    one.docker(&["service", "scale", "--detach", "served=2"]);
    poll::holds("two are left", SLOW, || running(one).len() == 2);

    let before = files(one);
    one.docker(&[
        "service",
        "update",
        "--detach",
        "--force",
        "--update-order=start-first",
        "served",
    ]);
    poll::holds("others took over", SLOW, || {
        files(two).difference(&before).count() >= 2 && running(one).len() == 2
    });
    one.docker(&["service", "rm", "served"]);
    poll::holds("the volume can be removed when no task has it", SLOW, || {
        site.both(|node| {
            node.engine().run(&["ps", "-aq", "--filter=volume=served"]).stdout.is_empty()
        }) == [true, true]
            && one.engine().run(&["volume", "rm", "served"]).status.success()
    });
    two.docker(&["swarm", "leave"]);
    one.docker(&["swarm", "leave", "--force"]);
}

/// A swarm of both.
fn join(manager: &Node, worker: &Node) {
    let [manager_address, worker_address] =
        [manager, worker].map(|node| node.address.v4.to_string());
    manager.docker(&["swarm", "init", "--advertise-addr", &manager_address]);
    let token = manager.docker(&["swarm", "join-token", "-q", "worker"]);
    let remote = format!("{manager_address}:2377");
    worker.docker(&[
        "swarm",
        "join",
        "--advertise-addr",
        &worker_address,
        "--token",
        &token,
        &remote,
    ]);
}

/// The nodes of `tasks` tasks that are spread evenly.
fn nodes(tasks: usize) -> Vec<String> {
    let mut nodes: Vec<_> =
        (0..tasks).map(|task| ["node-1", "node-2"][task % 2].to_owned()).collect();
    nodes.sort();
    nodes
}

/// Where tasks run.
fn running(manager: &Node) -> Vec<String> {
    let format = "{{.Node}} {{.CurrentState}}";
    let shown = manager.docker(&[
        "service",
        "ps",
        "--filter=desired-state=running",
        "--format",
        format,
        "served",
    ]);
    let tasks = shown.lines().filter(|line| line.contains(" Running"));
    let mut nodes: Vec<_> =
        tasks.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    nodes.sort();
    nodes
}

/// The tasks' files, as this node sees them.
fn files(node: &Node) -> BTreeSet<String> {
    node.run("served", "ls /data").lines().map(str::to_owned).collect()
}
