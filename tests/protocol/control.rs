//! `/v1` over the wire: routes, errors, and who is let in.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::Command,
};

use serde_json::{Value, json};

use super::Scene;
use crate::support::{daemon::BERTH, http};

#[track_caller]
fn refused(scene: &Scene, method: &str, path: &str, body: &[u8], status: u16, kind: &str) -> Value {
    let reply = http::request(&scene.daemon.setup.control_socket, method, path, body);
    let reply = reply.expect("a reply");
    assert_eq!(reply.status(), status, "{method} {path}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let error = reply.json()["error"].clone();
    assert_eq!(error["kind"], kind, "{method} {path}: {error}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
    error
}

#[test]
fn a_volumes_life_over_the_control_socket() {
    let scene = Scene::new("control");
    let control = scene.daemon.control();
    let made = control.create("vol", &json!({"mode": "0750"}));
    assert_eq!((&made["name"], &made["state"]), (&json!("vol"), &json!("ready")));
    assert_eq!(control.volumes().len(), 1);

    let mounted = control.ok("POST", "/v1/volumes/vol/mount", Some(&json!({"id": "me"})));
    assert_eq!(mounted, json!({"mountpoint": scene.daemon.setup.root.join("mounts/vol")}));
    refused(&scene, "DELETE", "/v1/volumes/vol", b"", 423, "busy");
    assert_eq!(
        control.ok("POST", "/v1/volumes/vol/unmount", Some(&json!({"id": "me"}))),
        json!({})
    );

    let set = control.ok("PATCH", "/v1/volumes/vol", Some(&json!({"options": {"uid": "7"}})));
    assert_eq!(set["options"]["uid"], 7);
    // Nothing was written to it: it is gone, and no trash has it.
    assert_eq!(control.ok("DELETE", "/v1/volumes/vol", None), Value::Null);
    refused(&scene, "GET", "/v1/volumes/vol", b"", 404, "not-found");
}

#[test]
fn every_kind_of_error_has_its_status() {
    let scene = Scene::new("statuses");
    scene.daemon.control().create("vol", &json!({"mode": "0750"}));
    for (method, path, body, status, kind) in [
        ("GET", "/v1/nothing", "", 404, "not-found"),
        ("GET", "/", "", 404, "not-found"),
        ("GET", "/v1/volumes/nope", "", 404, "not-found"),
        ("GET", "/v1/pools/nope", "", 404, "not-found"),
        ("GET", "/v1/jobs/nope", "", 404, "not-found"),
        ("POST", "/v1/info", "", 405, "invalid"),
        ("PUT", "/v1/volumes/vol", "{}", 405, "invalid"),
        ("POST", "/v1/volumes", "", 400, "invalid"),
        ("POST", "/v1/volumes", "{", 400, "invalid"),
        ("POST", "/v1/volumes", "[]", 400, "invalid"),
        ("POST", "/v1/volumes", r#"{"name":5}"#, 400, "invalid"),
        ("POST", "/v1/volumes", r#"{"name":"a","optoins":{}}"#, 400, "invalid"),
        ("POST", "/v1/volumes", r#"{"name":"a","options":{"size":"1G"}}"#, 501, "unsupported"),
        ("POST", "/v1/volumes", r#"{"name":"vol","options":{"mode":"0700"}}"#, 409, "conflict"),
        ("GET", "/v1/volumes?removed=perhaps", "", 400, "invalid"),
        ("GET", "/v1/volumes/%ff", "", 400, "invalid"),
        ("GET", "/v1/jobs/1/wait?seconds=soon", "", 400, "invalid"),
    ] {
        refused(&scene, method, path, body.as_bytes(), status, kind);
    }
    let huge = "x".repeat((1 << 20) + 1);
    refused(&scene, "POST", "/v1/volumes", huge.as_bytes(), 413, "invalid");
}

#[test]
fn metrics_are_a_text_exposition() {
    let scene = Scene::new("metrics");
    let socket = &scene.daemon.setup.control_socket;
    let reply = http::request(socket, "GET", "/metrics", b"").expect("a reply");
    assert_eq!(reply.status(), 200);
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert!(reply.text().contains("# TYPE berth_volumes gauge"), "{}", reply.text());
}

/// The folder's and the socket's modes are the first door; this is the second.
#[test]
fn strangers_are_refused_whatever_the_sockets_mode_is() {
    let scene = Scene::new("peers");
    let socket = &scene.daemon.setup.control_socket;
    fs::set_permissions(socket, Permissions::from_mode(0o666)).expect("ours");
    // Where the build lies, others may not look.
    let program = scene.stage.join("berth");
    fs::copy(BERTH, &program).expect("copied");
    let info = |uid: Option<u32>| {
        let mut command = Command::new(&program);
        command.args(["info", "--json"]).env("BERTH_SOCKET", socket).current_dir("/");
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        command.output().expect("run")
    };

    let own = info(None);
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));

    let stranger = info(Some(65534));
    assert_eq!(stranger.status.code(), Some(1));
    let said = [stranger.stdout, stranger.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("user 65534 may not use it"), "{said}");
    assert!(said.contains("group `berth`"), "{said}");
}
