//! Engine lane: which calls the Engine makes, counted between it and Berth. The
//! counts are those of the Engine's own tests; each call is answered as it
//! expects, and the text of every `Err` reaches the user.

mod support;

use std::fs;

use support::{
    docker::IMAGE,
    poll::{self, SOON},
    proxy::Proxy,
    rig::Rig,
    server::Call,
};

const COUNTED: [&str; 5] = ["Plugin.Activate", "Create", "Mount", "Unmount", "Remove"];

/// How often Activate, Create, Mount, Unmount and Remove were called.
fn counts(rig: &Rig) -> [usize; 5] {
    COUNTED.map(|method| rig.proxy().count(method))
}

/// The IDs of all calls of `method`, in order.
fn ids(rig: &Rig, method: &str) -> Vec<String> {
    let calls = rig.proxy().calls();
    let of = |call: &&Call| call.method == format!("VolumeDriver.{method}");
    calls
        .iter()
        .filter(of)
        .map(|call| call.request()["ID"].as_str().expect("an ID").to_owned())
        .collect()
}

/// The `Err` of the last answer to `method`.
#[track_caller]
fn last_error(rig: &Rig, method: &str) -> String {
    let calls = rig.proxy().calls();
    let last = calls.iter().rfind(|call| call.method == format!("VolumeDriver.{method}"));
    let error = last.expect("a call").answer()["Err"].as_str().unwrap_or("").to_owned();
    assert_ne!(error, "", "{method} was answered without an error: {last:?}");
    error
}

#[test]
fn one_run_is_one_of_each() {
    let rig = Rig::with_proxy("calls");
    rig.sh(&["--volume-driver=berth", "-v", "vol:/p"], "echo hi >/p/x");
    assert_eq!(counts(&rig), [1, 1, 1, 1, 0]);

    rig.engine.ok(&["volume", "rm", "vol"]);

    assert_eq!(counts(&rig), [1, 1, 1, 1, 1]);
    assert_eq!(rig.sh(&["--volume-driver=berth", "-v", "vol:/p"], "ls /p"), "");
}

#[test]
fn volumes_from_mounts_twice() {
    let rig = Rig::with_proxy("calls");
    rig.engine.ok(&[
        "run",
        "--name=first",
        "--network=none",
        "--volume-driver=berth",
        "-v",
        "vol:/p",
        IMAGE,
        "touch",
        "/p/x",
    ]);
    assert_eq!(rig.sh(&["--volumes-from=first"], "ls /p"), "x");

    rig.engine.ok(&["rm", "-fv", "first"]);

    assert_eq!(counts(&rig), [1, 1, 2, 2, 0]);
}

/// The volumes of a deleted container are unmounted once.
#[test]
fn deleted_container_is_unmounted_once() {
    let rig = Rig::with_proxy("calls");
    rig.engine.ok(&[
        "run",
        "--name=first",
        "--network=none",
        "--volume-driver=berth",
        "-v",
        "vol:/p",
        IMAGE,
        "true",
    ]);
    rig.engine.ok(&["rm", "-fv", "first"]);
    assert_eq!(counts(&rig), [1, 1, 1, 1, 0]);
    rig.references("vol", 0);
}

#[test]
fn failed_mount_is_not_unmounted() {
    let rig = Rig::with_proxy("calls");
    rig.engine.ok(&["volume", "create", "-d", "berth", "vol"]);
    let pool = rig.berth.setup.root.join("pools/default");
    let aside = rig.stage.join("aside");
    fs::rename(&pool, &aside).expect("a pool that is not mounted");

    let output = rig.try_sh(&["-v", "vol:/p"], "true");

    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let error = last_error(&rig, "Mount");
    assert!(said.contains(&error), "`{error}` does not reach the user: {said}");
    assert_eq!(counts(&rig)[2..4], [1, 0]);
    rig.references("vol", 0);

    // The daemon looks for a pool that is away now and then, not at every call.
    fs::rename(&aside, &pool).expect("the pool comes back");
    poll::holds("the pool is used again", SOON, || {
        rig.try_sh(&["-v", "vol:/p"], "touch /p/x").status.success()
    });
}

#[test]
fn copy_mounts_again_with_the_same_id() {
    let rig = Rig::with_proxy("calls");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "vol:/p"]);
    assert_eq!(counts(&rig), [1, 1, 1, 0, 0]);

    rig.engine.ok(&["cp", "box:/etc/hosts", rig.stage.join("hosts").to_str().expect("ASCII")]);

    assert_eq!(counts(&rig), [1, 1, 2, 1, 0]);
    let mounted = ids(&rig, "Mount");
    assert_eq!(mounted[0], mounted[1]);
    rig.references("vol", 1);
    rig.engine.ok(&["exec", "box", "touch", "/p/still-there"]);
    rig.engine.ok(&["kill", "box"]);
    rig.references("vol", 0);
    assert_eq!(counts(&rig), [1, 1, 2, 2, 0]);
    rig.unmounted("vol");
}

/// What the image has at the path is copied up under an ID of its own.
#[test]
fn copy_up_has_its_own_id() {
    let rig = Rig::with_proxy("calls");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "vol:/seed"]);

    assert_eq!(rig.engine.ok(&["exec", "box", "cat", "/seed/hello"]), "seed");
    let (mounted, unmounted) = (ids(&rig, "Mount"), ids(&rig, "Unmount"));
    assert_eq!((mounted.len(), unmounted.len()), (2, 1));
    assert_eq!(mounted[0], unmounted[0]);
    assert_ne!(mounted[0], mounted[1]);
    rig.references("vol", 1);
}

#[test]
fn restart_of_a_container_changes_the_id() {
    let rig = Rig::with_proxy("calls");
    rig.sleeper("box", &["--volume-driver=berth", "-v", "vol:/p"]);

    rig.engine.ok(&["restart", "-t", "1", "box"]);

    let (mounted, unmounted) = (ids(&rig, "Mount"), ids(&rig, "Unmount"));
    assert_eq!((mounted.len(), unmounted.len()), (2, 1));
    assert_eq!(mounted[0], unmounted[0]);
    assert_ne!(mounted[0], mounted[1]);
    rig.references("vol", 1);
}

#[test]
fn capabilities_are_asked_once_and_paths_never() {
    let rig = Rig::with_proxy("calls");
    for name in ["one", "two", "three"] {
        rig.engine.ok(&["volume", "create", "-d", "berth", name]);
    }
    for _ in 0..3 {
        rig.engine.ok(&["volume", "ls"]);
    }
    assert_eq!(rig.proxy().count("Capabilities"), 1);
    assert_eq!(rig.proxy().count("Path"), 0);
}

/// Get comes first, and a volume it finds is not created.
#[test]
fn create_asks_first() {
    let rig = Rig::with_proxy("calls");
    rig.engine.ok(&["volume", "create", "-d", "berth", "-o", "mode=0700", "vol"]);
    let methods: Vec<_> = rig.proxy().calls().into_iter().map(|call| call.method).collect();
    let position = |method: &str| methods.iter().position(|name| name == method);
    assert!(position("VolumeDriver.Get") < position("VolumeDriver.Create"), "{methods:?}");

    rig.engine.ok(&["volume", "create", "-d", "berth", "-o", "mode=0711", "vol"]);
    assert_eq!(rig.proxy().count("Create"), 1);
}

#[test]
fn errors_of_create_reach_the_user() {
    let rig = Rig::with_proxy("calls");
    for option in
        ["pol=default", "mode=9", "uid=-1", "size=many", "size=5E", "pool=nowhere", "fs=ext4"]
    {
        let said = rig.engine.fails(&["volume", "create", "-d", "berth", "-o", option, "vol"]);
        let error = last_error(&rig, "Create");
        assert!(said.contains(&error), "{option}: `{error}` does not reach the user: {said}");
        assert!(!error.contains('\n'), "Docker gets one line: {error}");
    }
    assert_eq!(rig.names(), Vec::<String>::new());
}

#[test]
fn errors_of_remove_reach_the_user() {
    let rig = Rig::with_proxy("calls");
    rig.engine.ok(&["volume", "create", "-d", "berth", "vol"]);
    let output = rig.berth.berth(&["volume", "mount", "vol"]);
    assert!(output.status.success(), "{output:?}");

    let said = rig.engine.fails(&["volume", "rm", "vol"]);

    let error = last_error(&rig, "Remove");
    assert!(said.contains(&error), "`{error}` does not reach the user: {said}");
    assert!(rig.berth.berth(&["volume", "unmount", "vol"]).status.success());
    rig.engine.ok(&["volume", "rm", "vol"]);
}

/// Docker sends a call whose connection broke again, but with an empty body. The
/// user must hear of it, and no volume without a name may come of it.
#[test]
fn retry_with_an_empty_body_is_refused() {
    let rig = Rig::behind("calls", |socket, upstream| Proxy::losing(socket, upstream, "Create"));

    let said = rig.engine.fails(&["volume", "create", "-d", "berth", "vol"]);

    let calls = rig.proxy().calls();
    let again = calls.iter().find(|call| call.method == "VolumeDriver.Create").expect("a retry");
    assert_eq!(again.body, b"", "{again:?}");
    assert!(said.contains("vol"), "{said}");
    assert_eq!(rig.names(), Vec::<String>::new());
    rig.engine.ok(&["volume", "create", "-d", "berth", "vol"]);
    assert_eq!(rig.names(), ["vol"]);
}

/// A Mount is not counted by the call that Docker lost, only by one it heard of.
#[test]
fn lost_mount_is_refused_and_counts_nothing() {
    let rig = Rig::behind("calls", |socket, upstream| Proxy::losing(socket, upstream, "Mount"));
    rig.engine.ok(&["volume", "create", "-d", "berth", "vol"]);

    assert!(!rig.try_sh(&["-v", "vol:/p"], "true").status.success());

    rig.references("vol", 0);
    assert_eq!(rig.mounts_of("vol"), []);
    rig.sh(&["-v", "vol:/p"], "touch /p/x");
}
