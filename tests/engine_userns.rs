//! Engine lane: dockerd with `--userns-remap`. Root in a container is an ordinary
//! user of the host there, so that a volume must belong to that user.

mod support;

use std::{fs, os::unix::fs::MetadataExt as _};

use support::{
    daemon::{Daemon, Setup},
    docker::{Engine, IMAGE},
    host::Host,
    stage::Stage,
};

/// Who root of a container is on the host.
const ROOT: u32 = 231_072;

/// A host whose `/etc` knows the remapped user; the machine's own stays as it is.
fn host(stage: &Stage) -> Host {
    let host = Host::boot(stage);
    let (upper, work) = (stage.folder("etc/upper"), stage.folder("etc/work"));
    host.sh(&format!(
        "mount -t overlay overlay -o lowerdir=/etc,upperdir={},workdir={} /etc
         echo berthmap:x:{ROOT}:{ROOT}::/:/bin/false >>/etc/passwd
         echo berthmap:x:{ROOT}: >>/etc/group
         echo berthmap:{ROOT}:65536 >/etc/subuid
         echo berthmap:{ROOT}:65536 >/etc/subgid",
        upper.display(),
        work.display()
    ));
    host
}

/// An Engine that maps, and a Berth whose pools `mapped` and `plain` differ in
/// their defaults only.
fn stage(stage: &Stage, host: &Host) -> (Daemon, Engine) {
    let pools = stage.folder("pools");
    let section = |name: &str, more: &str| {
        let path = pools.join(name);
        format!("[pools.{name}]\nbackend = \"vfs\"\npath = \"{}\"\n{more}", path.display())
    };
    let config = format!(
        "default-pool = \"mapped\"\n{}{}",
        section("mapped", &format!("uid = {ROOT}\ngid = {ROOT}\n")),
        section("plain", "")
    );
    let daemon = Setup::on(stage, host).config(stage, &config).start();
    (daemon, Engine::start_told(stage, host, &["--userns-remap=berthmap"]))
}

#[test]
fn remapped_containers_write_into_volumes_that_belong_to_their_root() {
    let place = Stage::new("userns");
    let host = host(&place);
    let (daemon, engine) = stage(&place, &host);
    let run = |volume: &str, script: &str| {
        let volume = format!("{volume}:/data");
        engine.run(&["run", "--rm", "--network=none", "-v", &volume, IMAGE, "sh", "-c", script])
    };
    engine.ok(&["volume", "create", "-d", "berth", "db"]);
    let output = run("db", "id -u && echo kept >/data/x && chown 7:7 /data/x && cat /data/x");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "0\nkept\n", "{}", String::from_utf8_lossy(&output.stderr));
    // And it really was another user.
    let id = daemon.control().volume("db")["id"].as_str().expect("an id").to_owned();
    let data = place.join("pools/mapped/volumes").join(id).join("data");
    let file = fs::metadata(data.join("x")).expect("written");
    assert_eq!((file.uid(), file.gid()), (ROOT + 7, ROOT + 7));
    let top = fs::metadata(&data).expect("there");
    assert_eq!((top.uid(), top.gid()), (ROOT, ROOT));

    // Again, and the same volume in two containers.
    let output = run("db", "cat /data/x && echo more >>/data/x && rm /data/x");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // A volume that Docker makes up by itself takes the pool's defaults, too.
    let made_up = ["run", "--rm", "--network=none", "--volume-driver=berth", "-v", "new:/data"];
    engine.ok(&[&made_up[..], &[IMAGE, "sh", "-c", "echo x >/data/x"]].concat());
    engine.ok(&["volume", "rm", "db", "new"]);
}

#[test]
fn what_the_image_has_at_the_mountpoint_is_copied_in() {
    let place = Stage::new("userns");
    let host = host(&place);
    let (_daemon, engine) = stage(&place, &host);
    engine.ok(&["volume", "create", "-d", "berth", "db"]);
    let run = |script: &str| {
        let arguments = ["run", "--rm", "--network=none", "-v", "db:/seed", IMAGE, "sh", "-c"];
        engine.ok(&[&arguments[..], &[script]].concat())
    };
    assert_eq!(run("cat /seed/hello"), "seed");
    // Owned by the container's root: it may do with it what it likes.
    assert_eq!(run("stat -c %u:%g /seed/hello /seed && echo y >>/seed/hello"), "0:0\n0:0");
}

#[test]
fn without_the_defaults_the_containers_root_is_a_stranger() {
    let place = Stage::new("userns");
    let host = host(&place);
    let (daemon, engine) = stage(&place, &host);
    engine.ok(&["volume", "create", "-d", "berth", "-o", "pool=plain", "db"]);
    let run = |script: &str| {
        let arguments = ["run", "--rm", "--network=none", "-v", "db:/data", IMAGE, "sh", "-c"];
        engine.run(&[&arguments[..], &[script]].concat())
    };
    let output = run("ls /data && echo x >/data/x");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Permission denied"), "{said}");
    // What the page on volumes says to do about it.
    let set =
        daemon.berth(&["volume", "set", "db", &format!("uid={ROOT}"), &format!("gid={ROOT}")]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let output = run("echo x >/data/x");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
