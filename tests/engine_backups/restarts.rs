//! Slow restores, and everything that is killed and started again meanwhile.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Ground, PATIENCE,
    support::{
        campaign::is_long,
        poll::{self, SOON},
    },
    whole,
};

#[test]
fn a_slow_restore_is_answered_at_once_and_goes_on_over_restarts() {
    let (files, limit) = if is_long() { (150, "512KiB") } else { (24, "1MiB") };
    let mut ground = Ground::new(files, (!is_long()).then_some(PATIENCE));
    ground.limit(Some(limit));

    ground.create_at_once();
    ground.is_filling();
    let of_all = format!(" of {files} MiB done");
    assert!(ground.far().ends_with(&of_all), "{}", ground.far());
    let job = ground.rig.berth.ok(&["job", "ls", "--json"]);
    let job: Value = serde_json::from_str(&job).expect("JSON");

    // Docker repeats a Get that meets nobody.
    ground.rig.berth.kill();
    let mut asked = ground.rig.engine.command(&["volume", "inspect", "new"]);
    let asked = asked.stdout(Stdio::piped()).spawn().expect("the docker command line");
    ground.rig.berth.restart();
    let met = asked.wait_with_output().expect("our child").stdout;
    let met: Value = serde_json::from_slice(&met).expect("JSON");
    whole(&met[0], &ground.backup);
    ground.is_filling();

    ground.rig.engine.stop();
    ground.rig.engine.start_again();
    ground.is_filling();
    ground.rig.engine.kill();
    ground.rig.berth.kill();
    ground.rig.engine.spawn_again();
    ground.rig.berth.restart();
    let begun = Instant::now();
    ground.rig.engine.wait_ready();
    ground.is_filling();

    ground.is_refused();
    let far = ground.far();
    poll::holds("it comes on", SOON, || ground.far() != far);
    if is_long() {
        // Each of them as long as Docker allows.
        while begun.elapsed() < Duration::from_mins(3) {
            ground.is_refused();
        }
        poll::holds("somebody who waits gets it", Duration::from_mins(5), || {
            ground.rig.try_sh(&["-v", "new:/data"], "true").status.success()
        });
        assert!(begun.elapsed() > Duration::from_secs(290), "{:?}", begun.elapsed());
    } else {
        ground.limit(None);
    }
    ground.is_restored();

    let jobs = ground.rig.berth.ok(&["job", "ls", "--json"]);
    let jobs: Value = serde_json::from_str(&jobs).expect("JSON");
    let jobs = jobs.as_array().expect("a list").iter();
    let of_new: Vec<_> = jobs.filter(|job| job["volume"] == "new").collect();
    assert_eq!(of_new.len(), 1, "{of_new:?}");
    assert_eq!((&of_new[0]["id"], &of_new[0]["state"]), (&job[0]["id"], &json!("done")));
}
