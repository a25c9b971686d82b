//! The configuration names another export than is mounted.

use std::{fs, time::Duration};

use crate::{
    site::{Site, folder, pool, pool_of, ready, server},
    support::poll::{self, SOON},
};

/// How long a slow machine may take for a mount.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn another_export_takes_the_place_of_the_old_and_another_pool_is_refused() {
    let mut site = Site::new("nfs-moved", "", |_| {});
    ready(&site.daemon, "default");
    site.daemon.ok(&["volume", "create", "db"]);
    let at = site.daemon.ok(&["volume", "mount", "db"]);
    fs::write(format!("{at}/file"), "content").expect("written");
    site.daemon.ok(&["volume", "unmount", "db"]);
    poll::holds("it is taken down", SOON, || site.daemon.mounts().is_empty());
    let configure = |site: &mut Site, address: &str, export: &str| {
        site.stage.file("berth.toml", pool("default", address, export, ""));
        site.daemon.restart();
    };
    let is_refused = |site: &Site, why: &str| {
        let view = pool_of(&site.daemon, "default");
        view["state"] == "unavailable" && view["reason"].to_string().contains(why)
    };
    let v4 = server().address().v4.to_string();

    // An export that was there before, with the pool of somebody else.
    let other = Site::new("nfs-other", "", |_| {});
    ready(&other.daemon, "default");
    other.daemon.ok(&["volume", "create", "theirs"]);
    configure(&mut site, &v4, &format!("{}/nfs-other", server().export()));
    poll::holds("another pool is refused", LONG, || is_refused(&site, "is the pool"));
    let wanted = format!("{v4}:{}/nfs-other", server().export());
    let exports = site.exports();
    assert!(exports.len() == 2 && exports.iter().all(|(_, of)| *of == wanted), "{exports:?}");
    // An empty one looks like a disk that is not mounted.
    let (empty, disk) = folder("nfs-empty");
    configure(&mut site, &v4, &empty);
    poll::holds("an empty one is refused", LONG, || is_refused(&site, "holds no pool"));
    assert_eq!(fs::read_dir(disk).expect("readable").count(), 0, "nothing was made there");
    // The same pool by another address of its server.
    let v6 = server().address().v6.to_string();
    configure(&mut site, &v6, &format!("{}/nfs-moved", server().export()));
    ready(&site.daemon, "default");
    let at = site.daemon.ok(&["volume", "mount", "db"]);
    assert_eq!(fs::read_to_string(format!("{at}/file")).expect("there"), "content");
    // What containers see may show an address under which this host has the file system
    // already: `nfs-other` is on it, too.
    let exports = site.exports();
    assert!(exports.iter().any(|(name, of)| name == "control" && of.contains(&v6)), "{exports:?}");
}
