//! Volumes with very many files: nobody is held up by them, and nothing is left.
//!
//! 100,000 files; with `BERTH_LONG=1` (`scripts/test --long`) a million.

mod support;

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use serde_json::json;
use support::{
    daemon::Setup,
    namespace,
    poll::{self, SOON},
    stage::Stage,
};

const FOLDERS: usize = 50;

fn many() -> usize {
    let long = std::env::var("BERTH_LONG").is_ok_and(|long| long == "1");
    if long { 1_000_000 } else { 100_000 }
}

#[test]
fn very_many_files_hold_nobody_up() {
    namespace::apart();
    let stage = Stage::new("many");
    let daemon = Setup::new(&stage).start();
    let (plugin, control) = (daemon.plugin(), daemon.control());
    plugin.create("v", &json!({})).expect("a fresh daemon");
    let data = daemon.data("v");
    for folder in 0..FOLDERS {
        let folder = data.join(folder.to_string());
        fs::create_dir(&folder).expect("ours");
        for file in 0..many() / FOLDERS {
            File::create(folder.join(file.to_string())).expect("ours");
        }
    }
    let job = daemon.ok(&["snapshot", "create", "v", "all", "--detach"]);
    let mut answered = 0;
    let busy = |what: &str| {
        plugin.get("v").expect(what);
        let mountpoint = plugin.mount("v", "x").expect(what);
        assert!(mountpoint.join("0/0").exists(), "{what}");
        plugin.unmount("v", "x").expect(what);
    };
    let wait = format!("/v1/jobs/{job}/wait?seconds=0");
    let ended = poll::until("the snapshot ends", Duration::from_mins(20), || {
        busy("while it is copied");
        answered += 1;
        let job = control.ok("GET", &wait, None);
        (job["state"] != "running" && job["state"] != "queued").then_some(job)
    });
    assert_eq!(ended["state"], "done", "{ended}");
    assert!(answered > 1, "it was over at once: nothing was shown");
    let copy = data.with_file_name("snapshots");
    let copy = fs::read_dir(copy).expect("one snapshot").next().expect("one").expect("readable");
    let counted: usize = (0..FOLDERS).map(|n| count(&copy.path().join(format!("data/{n}")))).sum();
    assert_eq!(counted, many());

    // Gone at once for all who look, and deleted while others work.
    plugin.create("other", &json!({})).expect("another volume");
    poll::holds("unmounted", SOON, || daemon.mounts().is_empty());
    control.ok("DELETE", "/v1/volumes/v?now=true", None);
    plugin.get("v").expect_err("it is removed");
    plugin.create("v", &json!({})).expect("the name is free");
    plugin.mount("other", "x").expect("while it is deleted");
    plugin.unmount("other", "x").expect("while it is deleted");
    let pool = stage.join("root/pools/default");
    poll::equal("left of the trash", Duration::from_mins(20), &[0, 0], || {
        [".berth/trash", ".berth/purge"].map(|folder| count(&pool.join(folder)))
    });
    assert_eq!(count(&pool.join("volumes")), 2, "the new ones");
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}
