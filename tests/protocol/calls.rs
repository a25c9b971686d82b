//! All nine calls as Docker sends them, and exactly what it reads.

use serde_json::{Value, json};

use super::{CALLS, PLUGIN_TYPE, Scene, error_of};
use crate::support::http::{self, Connection, Message};

/// A call with the headers of an Engine: 28 names itself, older ones leave the
/// host empty.
fn docker(host: &str, method: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /{method} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Go-http-client/1.1\r\n\
         Content-Length: {}\r\nAccept: {PLUGIN_TYPE}\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[track_caller]
fn call(connection: &mut Connection, host: &str, method: &str, body: &str) -> Value {
    connection.send(&docker(host, method, body)).expect("sent");
    let reply: Message = connection.receive().expect("a reply").expect("no end");
    assert_eq!(reply.start, "HTTP/1.1 200 OK", "{method}");
    assert_eq!(reply.header("content-type"), Some(PLUGIN_TYPE), "{method}");
    assert!(reply.header("connection").is_none(), "{method}: the connection is kept");
    reply.json()
}

#[test]
fn transcript_of_all_nine_calls() {
    let scene = Scene::new("calls");
    let mountpoint = scene.daemon.setup.root.join("mounts/vol");
    for host in ["plugin.moby.localhost", ""] {
        // One connection, as Docker keeps it.
        let mut wire = Connection::open(&scene.daemon.setup.plugin_socket).expect("connected");
        let mut call = |method: &str, body: &str| call(&mut wire, host, method, body);
        let ok = json!({"Err": ""});
        let named = "{\"Name\":\"vol\"}\n";
        let id = "b87d7442095999a92b65b3d9691e697b61713829cc0ffd1bb72e4ccd51aa4d6c";
        let mount = format!("{{\"Name\":\"vol\",\"ID\":\"{id}\"}}\n");
        let at = json!({"Mountpoint": mountpoint, "Err": ""});

        let activated = call("Plugin.Activate", "");
        assert_eq!(activated["Implements"], json!(["VolumeDriver"]));
        let scope = call("VolumeDriver.Capabilities", "{}\n");
        assert_eq!(scope, json!({"Capabilities": {"Scope": "local"}, "Err": ""}));
        let none = call("VolumeDriver.Get", named);
        assert!(none["Err"].as_str().is_some_and(|text| text.contains("no such volume")), "{none}");
        assert_eq!(call("VolumeDriver.Create", "{\"Name\":\"vol\",\"Opts\":{}}\n"), ok);
        assert_eq!(call("VolumeDriver.Path", named), at);
        assert_eq!(call("VolumeDriver.Mount", &mount), at);
        let got = call("VolumeDriver.Get", named);
        assert_eq!(got["Err"], "");
        assert_eq!(got["Volume"]["Name"], "vol");
        assert_eq!(got["Volume"]["Mountpoint"], json!(mountpoint));
        assert_eq!(got["Volume"]["Status"]["references"], 1);
        let listed = json!({"Volumes": [{"Name": "vol", "Mountpoint": mountpoint}], "Err": ""});
        assert_eq!(call("VolumeDriver.List", "{}\n"), listed);
        assert_eq!(call("VolumeDriver.Unmount", &mount), ok);
        assert_eq!(call("VolumeDriver.Path", named), at, "the same when not mounted");
        assert_eq!(call("VolumeDriver.Remove", named), ok);
        let listed = call("VolumeDriver.List", "{}\n");
        assert_eq!(listed, json!({"Volumes": [], "Err": ""}));
    }
}

#[test]
fn inspect_shows_creation_and_status() {
    let scene = Scene::new("status");
    let plugin = scene.daemon.plugin();
    plugin.create("vol", &Value::Null).expect("created");

    let volume = plugin.get("vol").expect("there");

    let created = volume["CreatedAt"].as_str().expect("a time");
    created.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{created}: {error}"));
    let status = volume["Status"].as_object().expect("an object");
    for key in ["pool", "backend", "id", "size", "used", "snapshots", "last-backup", "state"] {
        assert!(status.contains_key(key), "no {key} in {status:?}");
    }
    assert_eq!(status["pool"], "default");
    assert_eq!(status["state"], "ready");
    assert_eq!(status["references"], 0);
    assert!(status["host"].as_str().is_some_and(|host| !host.is_empty()));
}

#[test]
fn options_are_null_empty_or_a_map() {
    let scene = Scene::new("opts");
    let plugin = scene.daemon.plugin();
    for (name, body) in [
        ("absent", r#"{"Name":"absent"}"#),
        ("null", r#"{"Name":"null","Opts":null}"#),
        ("empty", r#"{"Name":"empty","Opts":{}}"#),
        ("given", r#"{"Name":"given","Opts":{"mode":"0750"},"Later":{"versions":["know"]}}"#),
    ] {
        let reply = plugin.raw("VolumeDriver.Create", body.as_bytes()).expect("a reply");
        assert_eq!(error_of(&reply), "", "{body}");
        // Again, and it is the same volume.
        let reply = plugin.raw("VolumeDriver.Create", body.as_bytes()).expect("a reply");
        assert_eq!(error_of(&reply), "", "{body}");
        assert!(scene.names().contains(&name.to_owned()));
    }
}

#[test]
fn only_post_and_only_known_paths() {
    let scene = Scene::new("paths");
    let socket = &scene.daemon.setup.plugin_socket;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for call in CALLS {
            let reply = http::request(socket, method, &format!("/{call}"), b"{}").expect("a reply");
            assert_eq!(reply.status(), 405, "{method} {call}");
            assert_eq!(reply.header("allow"), Some("POST"));
            assert!(reply.json()["Err"].as_str().is_some_and(|text| text.contains("only POST")));
        }
    }
    for path in ["/", "/VolumeDriver.Nope", "/volumedriver.get", "/VolumeDriver.Get/x", "/v1/info"]
    {
        let reply = http::request(socket, "POST", path, br#"{"Name":"a"}"#).expect("a reply");
        assert_eq!(reply.status(), 404, "{path}");
        let text = reply.json()["Err"].as_str().expect("an Err").to_owned();
        assert!(text.contains("no such call"), "{text}");
    }
}

#[test]
fn errors_are_one_line_with_what_helps() {
    let scene = Scene::new("errors");
    let plugin = scene.daemon.plugin();
    let error = plugin.create("vol", &json!({"on-remve": "retain"})).expect_err("misspelt");
    assert!(error.contains("unknown option `on-remve`"), "{error}");
    assert!(error.contains("; did you mean `on-remove`?"), "{error}");
    assert!(!error.contains('\n'));
    assert_eq!(scene.names(), Vec::<String>::new(), "an answered error leaves no volume");
}
