//! Power cuts without a machine to cut: root and pool on loop devices, whose
//! file systems are shut down without a flush right after an acknowledgement.
//!
//! What was synced is there afterwards, what was not is gone. A `kill -9` never
//! shows a missing sync; these tests do, and the sync saboteurs are judged here.

mod support;

use std::{fs, path::Path};

use serde_json::json;
use support::{
    load::Client,
    loopfs::Kind,
    machine::{Layout, Machine},
    operation::Op,
    poll::{self, SOON},
    random::{self, Random},
    worker::Worker,
};

/// How often each verb is the last before a cut.
const CUTS: u64 = 2;

#[test]
fn acknowledged_operations_survive_power_cuts_on_ext4() {
    campaign(Kind::Ext4, Layout::Apart);
}

#[test]
fn acknowledged_operations_survive_power_cuts_on_xfs() {
    campaign(Kind::Xfs, Layout::Apart);
}

#[test]
fn acknowledged_operations_survive_power_cuts_with_root_and_pool_together() {
    campaign(Kind::Ext4, Layout::Together);
}

/// Nothing else syncs between the first start and the cut: the files that say
/// who the host and the pool are must be durable by themselves.
#[test]
fn a_cut_right_after_the_first_start_leaves_a_usable_pool() {
    for kind in Kind::ALL {
        let mut machine = Machine::new(kind, Layout::Apart);
        machine.cut();
        machine.boot(1);
        let pool = machine.daemon().control().ok("GET", "/v1/pools/default", None);
        assert_eq!(pool["state"], "ready", "{kind:?}: {pool}");
        machine.client.create("first", &json!({})).done();
    }
}

/// The shortest form of the campaigns below, for a catalog that does not sync.
#[test]
fn a_cut_right_after_an_acknowledgement_loses_nothing() {
    let mut machine = Machine::new(Kind::Ext4, Layout::Apart);
    machine.client.create("kept", &json!({"uid": "5"})).done();
    machine.client.mount("kept", "container").done();
    machine.cut();
    machine.boot(0);
    let view = machine.client.view("kept").done();
    assert_eq!((&view["references"], &view["options"]["uid"]), (&json!(1), &json!(5)), "{view}");
    machine.client.unmount("kept", "container").done();
    machine.client.remove("kept").done();
    machine.cut();
    machine.boot(0);
    machine.client.get("kept").refused();
}

/// A volume whose record says `ready` is whole on the disk, before any recovery
/// could repair it: `pool rebuild` may have nothing else one day.
#[test]
fn a_ready_volume_is_whole_on_the_disk_after_a_cut() {
    for kind in Kind::ALL {
        let mut machine = Machine::new(kind, Layout::Apart);
        machine.client.create("whole", &json!({"mode": "0700"})).done();
        poll::equal("the outcome is committed", SOON, &Some("ready".to_owned()), || {
            machine.stored_state("whole")
        });
        machine.cut();
        let found = sidecars(&machine.pool);
        assert_eq!(found.len(), 1, "{kind:?}: {found:?}");
        assert_eq!(found[0].as_deref(), Ok("whole"), "{kind:?}");
        machine.boot(1);
    }
}

/// What is gone for good does not come back as a directory without a record.
#[test]
fn a_purged_volume_stays_purged_after_a_cut() {
    for kind in Kind::ALL {
        let mut machine = Machine::new(kind, Layout::Apart);
        machine.client.create("gone", &json!({})).done();
        machine.client.control("DELETE", "/v1/volumes/gone?now=true", None).done();
        poll::equal("the outcome is committed", SOON, &None, || machine.stored_state("gone"));
        machine.cut();
        machine.boot(1);
        let world = machine.look();
        assert!(world.live.is_empty() && world.removed.is_empty(), "{world:?}");
        poll::equal("nothing is left", SOON, &Vec::new(), || machine.look().leftovers());
    }
}

fn campaign(kind: Kind, layout: Layout) {
    let seed = random::seed();
    let mut machine = Machine::new(kind, layout);
    let setup = machine.daemon().setup.clone();
    let client = Client::new(&setup.plugin_socket, &setup.control_socket);
    let mounts = setup.root.join("mounts");
    let mut worker = Worker::new(0, seed, &[], client, mounts);
    let mut choice = Random::new(seed);
    let mut boot = 0;
    for round in 0..CUTS * Op::VERBS.len() as u64 {
        let verb = Op::VERBS[usize::try_from(round).expect("small") % Op::VERBS.len()];
        let about = format!("BERTH_SEED={seed}, {kind:?} {layout:?}, cut {round} after {verb}");
        let least = choice.below(8);
        let mut done = 0;
        while done < least || worker.last != verb {
            assert!(worker.own(), "{about}: the daemon died\n{}", worker.report());
            done += 1;
        }
        machine.cut();
        // The same boot first: references that were acknowledged are still there.
        machine.boot(boot);
        let world = machine.look();
        if let Err(difference) = worker.slot.settle(None, &world) {
            panic!("{about}: {difference}\n{}", worker.report());
        }
        // Then what really happens to the boot id: references are void.
        boot += 1;
        machine.daemon().stop();
        machine.boot(boot);
        worker.slot.rebooted();
        worker.reconnect();
        let world = machine.look();
        if let Err(difference) = worker.slot.settle(None, &world) {
            panic!("{about}, rebooted: {difference}\n{}", worker.report());
        }
        poll::equal(&about, SOON, &Vec::new(), || {
            let world = machine.look();
            [worker.slot.traces(&world), world.leftovers()].concat()
        });
    }
}

/// The names that the sidecars in a pool have, or why one cannot be read.
fn sidecars(pool: &Path) -> Vec<Result<String, String>> {
    let entries = fs::read_dir(pool.join("volumes")).expect("a pool has its folders");
    entries
        .flatten()
        .map(|entry| {
            let path = entry.path().join("volume.json");
            let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let sidecar: serde_json::Value =
                serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(sidecar["volume"]["name"].as_str().unwrap_or("?").to_owned())
        })
        .collect()
}
