//! Directories that an export had before Berth came, as volumes.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use crate::{
    site::{Site, pool_of, ready, refused},
    support::poll::{self, SOON},
};

const WEB: &str = "subdir=projects/web site,1";

/// An export as an operator has it: with directories, some of which are no good.
fn theirs(disk: &Path) {
    let web = disk.join("projects/web site,1");
    fs::create_dir_all(web.join("deep")).expect("made");
    fs::write(web.join("index"), "theirs").expect("written");
    fs::write(web.join("deep/secret"), "s").expect("written");
    fs::set_permissions(&web, fs::Permissions::from_mode(0o2751)).expect("ours");
    chown(&web, Some(33), Some(34)).expect("root may");
    symlink("projects", disk.join("link")).expect("made");
    symlink("/etc", disk.join("projects/out")).expect("made");
    fs::write(disk.join("file"), "no directory").expect("written");
}

/// Everything below a path: mode, owner and content.
fn all(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![top.to_owned()];
    while let Some(path) = left.pop() {
        let about = fs::symlink_metadata(&path).expect("it is there");
        let content = if about.is_file() {
            fs::read_to_string(&path).expect("a text")
        } else {
            String::new()
        };
        let told = format!("{:o} {}:{} {content}", about.mode(), about.uid(), about.gid());
        if about.is_dir() {
            let entries = fs::read_dir(&path).expect("readable");
            left.extend(entries.map(|entry| entry.expect("readable").path()));
        }
        found.insert(path, told);
    }
    found
}

#[test]
fn a_directory_that_was_there_is_a_volume_and_stays_whatever_becomes_of_that() {
    // The pool has an owner for its own volumes, which is not for those.
    let mut site = Site::new("nfs-subdir", "uid = 7\ngid = 7", theirs);
    let daemon = &site.daemon;
    let projects = site.disk.join("projects");
    let before = all(&projects);
    // An export that holds something is no pool until the operator says so.
    poll::holds("it is refused", Duration::from_secs(60), || {
        pool_of(daemon, "default")["reason"].to_string().contains("is no pool and not empty")
    });
    daemon.ok(&["pool", "rebuild", "--take-over", "default"]);
    for (path, code, word) in [
        ("projects/absent", 3, "no directory `projects/absent`"),
        ("file", 2, "no directory"),
        ("link", 2, "link"),
        ("projects/out", 2, "link"),
    ] {
        let option = format!("subdir={path}");
        let (met, said) = refused(daemon, &["volume", "create", "web", "-o", &option]);
        assert!(met == code && said.contains(word), "{path}: {met} {said}");
    }
    for more in ["size=1G", "uid=5", "mode=0700", "mount-options=noatime"] {
        let (code, said) = refused(daemon, &["volume", "create", "web", "-o", WEB, "-o", more]);
        assert!(code == 5 && said.contains("does not go with `subdir`"), "{more}: {said}");
    }
    // Whoever may use Docker does not reach what others have on the export.
    let options = json!({ "subdir": "projects/web site,1" });
    let said = daemon.plugin().create("web", &options).expect_err("not open to Docker");
    assert!(said.contains("docker-options"), "{said}");
    daemon.ok(&["volume", "create", "web", "-o", WEB]);
    daemon.plugin().create("web", &options).expect("an equal one is confirmed");
    daemon.ok(&["volume", "create", "twin", "-o", WEB]);

    // A container sees it through the mount that is for containers.
    let at = daemon.plugin().mount("web", "c1").expect("mounted");
    let twin = daemon.plugin().mount("twin", "c2").expect("mounted");
    assert_eq!(fs::read_to_string(at.join("index")).expect("readable"), "theirs");
    fs::write(at.join("new"), "from a container").expect("writable");
    assert_eq!(fs::read_to_string(twin.join("new")).expect("one directory"), "from a container");
    assert_eq!(fs::metadata(&at).expect("there").uid(), 33);
    // A snapshot is Berth's own, and so is what is made of it.
    daemon.ok(&["snapshot", "create", "web", "monday"]);
    fs::remove_file(at.join("new")).expect("removed");
    daemon.ok(&["snapshot", "restore", "web@monday", "copy"]);
    let copy = daemon.plugin().mount("copy", "c3").expect("mounted");
    assert_eq!(fs::read_to_string(copy.join("new")).expect("kept"), "from a container");
    assert_eq!(fs::read_to_string(copy.join("deep/secret")).expect("kept"), "s");
    for (name, id) in [("web", "c1"), ("twin", "c2"), ("copy", "c3")] {
        daemon.plugin().unmount(name, id).expect("unmounted");
    }
    let (code, said) = refused(daemon, &["volume", "rollback", "web@monday"]);
    assert!(code == 5 && said.contains("berth snapshot restore"), "{said}");
    assert_eq!(refused(daemon, &["volume", "set", "web", "uid=5"]).0, 5);
    assert_eq!(refused(daemon, &["volume", "resize", "web", "1G"]).0, 5);
    assert!(all(&projects) == before, "{:#?}", all(&projects));

    // It goes and comes back as every volume; what it shows is not moved.
    daemon.ok(&["volume", "rm", "web"]);
    daemon.ok(&["volume", "undelete", "web"]);
    daemon.ok(&["volume", "rm", "--now", "twin"]);
    // Its record is made again from what lies in the pool.
    site.daemon.stop();
    for name in ["berth.db", "berth.db-wal", "berth.db-shm"] {
        let _ = fs::remove_file(site.stage.join("root").join(name));
    }
    site.daemon.restart();
    let daemon = &site.daemon;
    daemon.ok(&["pool", "rebuild"]);
    poll::holds("the catalog is served", SOON, || {
        daemon.control().request("GET", "/v1/volumes/web", None).0 == 200
    });
    let view = daemon.control().volume("web");
    assert_eq!(view["options"]["subdir"], "projects/web site,1", "{view}");
    assert_eq!(view["snapshots"], 1, "{view}");
    let at = daemon.ok(&["volume", "mount", "web"]);
    assert_eq!(fs::read_to_string(format!("{at}/index")).expect("readable"), "theirs");
    daemon.ok(&["volume", "unmount", "web"]);
    let id = site.id("web");
    daemon.ok(&["volume", "rm", "--now", "web"]);
    poll::holds("its folder is deleted", SOON, || {
        let places = ["volumes", ".berth/trash"].map(|place| site.disk.join(place).join(&id));
        places.iter().all(|place| !place.exists())
    });
    assert!(all(&projects) == before, "{:#?}", all(&projects));
}

#[test]
fn docker_reaches_directories_of_others_where_the_pool_says_so() {
    let site = Site::new("nfs-opened", "docker-options = [\"subdir\"]", |_| {});
    // What is put there later needs no word of the operator.
    ready(&site.daemon, "default");
    site.daemon.plugin().create("own", &json!({})).expect("made");
    theirs(&site.disk);
    let options = json!({ "subdir": "projects/web site,1" });
    site.daemon.plugin().create("web", &options).expect("open to Docker");
    let at = site.daemon.plugin().mount("web", "c1").expect("mounted");
    assert_eq!(fs::read_to_string(at.join("index")).expect("readable"), "theirs");
    // One that went away is told, and its volume works again when it is back.
    site.daemon.plugin().unmount("web", "c1").expect("unmounted");
    poll::holds("it is taken down", SOON, || site.daemon.mounts().is_empty());
    let (projects, away) = (site.disk.join("projects"), site.disk.join("away"));
    fs::rename(&projects, &away).expect("renamed");
    let said = site.daemon.plugin().mount("web", "c1").expect_err("it is gone");
    assert!(said.contains("no directory `projects/web site,1`"), "{said}");
    fs::rename(&away, &projects).expect("renamed");
    site.daemon.plugin().mount("web", "c1").expect("it is back");
}
