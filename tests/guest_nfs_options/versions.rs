//! Versions of the protocol, and ways to say who the server is.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
};

use crate::{
    site::{folder, pool, pool_of, ready, server},
    support::{daemon::Setup as Start, nfs::Setup, stage::Stage},
};

#[test]
fn every_version_serves_a_volume_over_both_protocols_and_by_name() {
    let stage = Stage::new("nfs-versions");
    let (v4, v6) = (server().address().v4.to_string(), server().address().v6.to_string());
    let hosts = OpenOptions::new().append(true).open("/etc/hosts");
    writeln!(hosts.expect("the guest's own"), "{v4} nas.berth.test").expect("written");
    let cases = [
        ("p42", v4.as_str(), "version = \"4.2\"", "4.2", &v4),
        ("p42six", &v6, "version = \"4.2\"", "4.2", &v6),
        ("p41", &v4, "version = \"4.1\"", "4.1", &v4),
        ("p3", &v4, "version = \"3\"\nmount-options = \"nolock\"", "3", &v4),
        ("p3six", &v6, "version = \"3\"\nmount-options = \"nolock,proto=tcp\"", "3", &v6),
        ("named", "nas.berth.test", "", "4.2", &v4),
        ("odd, name", &v4, "mount-options = \"soft\"", "4.2", &v4),
    ];
    // Only the folder has an odd name.
    let plain = |name: &'static str| name.split(',').next().expect("a first part");
    let mut config = "default-pool = \"p42\"\n".to_owned();
    for (name, server, more, ..) in cases {
        config += &pool(plain(name), server, &folder(name).0, more);
    }
    let daemon = Start::new(&stage).config(&stage, &config).start();
    for (folder, _, _, version, address) in cases {
        let name = plain(folder);
        ready(&daemon, name);
        daemon.ok(&["volume", "create", name, "-o", &format!("pool={name}")]);
        let at = daemon.ok(&["volume", "mount", name]);
        fs::write(format!("{at}/file"), name).expect("written");
        let id = daemon.control().volume(name)["id"].as_str().expect("an id").to_owned();
        daemon.ok(&["volume", "unmount", name]);
        let file = server().disk().join(folder).join("volumes").join(id).join("data/file");
        assert_eq!(fs::read_to_string(file).expect("it is on the server"), name);
        let view = pool_of(&daemon, name);
        assert_eq!(view["details"]["version"], version, "{view}");
        // Where the kernel finds that two addresses are one server (NFS 4), it goes on with
        // the first.
        if version == "3" {
            assert_eq!(view["details"]["address"], address.as_str(), "{view}");
        }
        assert!(view["details"]["address"].is_string(), "{view}");
        assert!(view["details"]["export"].as_str().expect("told").ends_with(folder), "{view}");
        // It is told of `soft`, and of nothing else.
        assert_eq!(view["details"]["writes"].is_null(), name != "odd", "{view}");
    }
    let doctor = daemon.ok(&["doctor"]);
    let warned: Vec<_> = doctor.lines().filter(|line| line.contains("lose writes")).collect();
    assert!(matches!(warned[..], [line] if line.contains("pool `odd`")), "{doctor}");
    assert!(daemon.log().contains("lose writes"), "{}", daemon.log());
}

#[test]
fn an_older_server_is_asked_by_the_newest_version_that_it_has() {
    let stage = Stage::new("nfs-older");
    let old = Setup::new().start(&stage);
    old.stop();
    let nfsd = ["-N", "3", "-N", "4.2", "-G", "10", "-L", "10", "4"];
    let started = old.door().command("rpc.nfsd").args(nfsd).status().expect("nsenter");
    assert!(started.success());
    let config = pool("default", &old.address().v4.to_string(), old.export(), "");
    let daemon = Start::new(&stage).config(&stage, &config).start();
    ready(&daemon, "default");
    daemon.ok(&["volume", "create", "db"]);
    assert_eq!(pool_of(&daemon, "default")["details"]["version"], "4.1");
}
