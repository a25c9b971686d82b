//! The server does not know our handles any more.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::{
    BACK, Scene,
    support::poll::{self, SOON},
};

#[test]
fn stale_mounts_are_made_anew_where_nobody_uses_them_and_told_of_otherwise() {
    let mut scene = Scene::new("nfs-stale");
    let plugin = scene.plugin();
    for name in ["used", "held"] {
        scene.volume(name);
        let point = plugin.mount(name, "one").expect("mounted");
        fs::write(point.join("file"), name).expect("written");
    }
    let point = scene.daemon.setup.root.join("mounts/held");
    // It is not counted, and stays mounted because of this one.
    let mut holder = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sleep", "1000"])
        .stdin(Stdio::null())
        .spawn()
        .expect("unshare of util-linux");
    let own = format!("/proc/{}/mountinfo", holder.id());
    poll::holds("it has a namespace of its own", SOON, || {
        let name = fs::read_to_string(format!("/proc/{}/comm", holder.id())).unwrap_or_default();
        name == "sleep\n" && fs::read_to_string(&own).is_ok_and(|text| text.contains("mounts/held"))
    });
    plugin.unmount("held", "one").expect("unmounted");
    poll::holds("it is held", SOON, || scene.control().volume("held")["held"] == true);

    scene.server.restart_with_fsid(43);
    poll::holds("what nobody counts is mounted anew", BACK, || plugin.mount("held", "two").is_ok());
    assert_eq!(fs::read(point.join("file")).expect("it is the volume"), b"held");

    let error = plugin.mount("used", "two").expect_err("its container has the old one");
    assert!(error.contains("stale"), "{error}");
    let doctor = scene.control().ok("GET", "/v1/doctor", None).to_string();
    assert!(doctor.contains("volume `used`") && doctor.contains("stale"), "{doctor}");
    plugin.unmount("used", "one").expect("unmounted");
    poll::holds("then it is mounted anew", BACK, || plugin.mount("used", "three").is_ok());
    let used = scene.daemon.setup.root.join("mounts/used/file");
    assert_eq!(fs::read(used).expect("it is the volume"), b"used");
    let doctor = scene.control().ok("GET", "/v1/doctor", None).to_string();
    assert!(!doctor.contains("volume `used`"), "{doctor}");
    holder.kill().expect("our child");
    holder.wait().expect("our child");
}
