//! What cannot work is said, with what to do, and changes nothing.

use std::{fs, time::Duration};

use serde_json::json;

use crate::{
    site::{Site, folder, pool, pool_of, ready, refused, server},
    support::{daemon::Setup as Start, poll, stage::Stage},
};

#[test]
fn a_refusal_of_server_or_kernel_says_what_to_do() {
    let stage = Stage::new("nfs-refusals");
    let address = server().address().v4.to_string();
    let absent = format!("{}/absent", server().export());
    let (locked, _) = folder("locked");
    let (kerberos, _) = folder("kerberos");
    let (foreign, disk) = folder("foreign");
    fs::create_dir(disk.join("theirs")).expect("made");
    let config = "default-pool = \"absent\"\n".to_owned()
        + &pool("absent", &address, &absent, "")
        + &pool("locked", &address, &locked, "version = \"3\"")
        + &pool("kerberos", &address, &kerberos, "mount-options = \"sec=krb5\"")
        + &pool("foreign", &address, &foreign, "")
        + &pool("unknown", "nobody.berth.test", &foreign, "");
    let daemon = Start::new(&stage).config(&stage, &config).start();
    for (name, said) in [
        ("absent", "the server has no export"),
        ("locked", "no `rpc.statd` runs on this host"),
        ("kerberos", "cannot be mounted with `sec=krb5`"),
        ("foreign", "is no pool and not empty: it holds `theirs`"),
        ("unknown", "the name `nobody.berth.test`"),
    ] {
        let told = |text: &str| text.contains(said);
        poll::holds(said, Duration::from_secs(60), || {
            told(&pool_of(&daemon, name)["reason"].to_string())
        });
        let words = ["volume", "create", name, "-o", &format!("pool={name}")];
        let (_, text) = refused(&daemon, &words);
        assert!(told(&text), "{name}: {text}");
    }
    assert!(daemon.control().volumes().is_empty());
    assert_eq!(fs::read_dir(disk).expect("readable").count(), 1, "nothing was made there");
}

#[test]
fn nothing_gets_into_a_mount_by_an_option() {
    let site = Site::new("nfs-injection", "docker-options = [\"subdir\"]", |_| {});
    let daemon = &site.daemon;
    ready(daemon, "default");
    daemon.ok(&["volume", "create", "good"]);
    let before = site.exports();
    for text in [
        "vers=3",
        "vers=3,addr=6.6.6.6",
        "noatime,addr=6.6.6.6",
        "noatime addr=6.6.6.6",
        "noatime\naddr=6.6.6.6",
        "-o",
        "timeo=50=60",
        "timeo=50\\054addr=6.6.6.6",
        "noatime=",
        "nöatime",
        "sec=sys",
        "port=1",
    ] {
        let by_docker = daemon.plugin().create("bad", &json!({ "mount-options": text }));
        let said = by_docker.expect_err(text);
        assert!(said.contains("mount option") || said.contains("`mount-options`"), "{said}");
        let option = format!("mount-options={text}");
        let (code, _) = refused(daemon, &["volume", "create", "bad", "-o", &option]);
        assert_eq!(code, 2, "{text}");
        let (code, _) = refused(daemon, &["volume", "set", "good", &option]);
        assert_eq!(code, 2, "{text}");
    }
    let (_, said) = refused(daemon, &["volume", "create", "bad", "-o", "mount-options=noatme"]);
    assert!(said.contains("did you mean `noatime`?"), "{said}");
    for path in ["/etc", "..", "a/../../etc", ".", "", ".berth", "volumes", "a\nb", "a//b"] {
        let said = daemon.plugin().create("bad", &json!({ "subdir": path })).expect_err(path);
        assert!(said.contains("subdir"), "{said}");
        let option = format!("subdir={path}");
        let (code, _) = refused(daemon, &["volume", "create", "bad", "-o", &option]);
        assert_eq!(code, 2, "{path}");
    }
    assert_eq!(site.exports(), before, "nothing else was mounted");
    let volumes = daemon.control().volumes();
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    assert!(volumes[0]["options"]["mount-options"].is_null(), "{volumes:?}");
}
