//! Names that Docker passes on as its users write them.

use percent_encoding::NON_ALPHANUMERIC;
use serde_json::{Value, json};

use super::{Scene, error_of, tree};
use crate::support::http;

fn names() -> Vec<String> {
    let fixed = [
        "..",
        ".",
        ".hidden",
        "../../evil",
        "../../../sentinel/file",
        "../sentinel",
        "a/b",
        "a/../../b",
        "/etc/passwd",
        "/",
        "-rf",
        "--",
        "sp ace",
        "tab\there",
        "line\nfeed",
        "nul\0byte",
        "del\u{7f}",
        "é",
        "\u{202e}evil",
        "back\\slash",
        "a:b",
        "a%2fb",
        "$(touch evil)",
        "`touch evil`",
        "~root",
        "_a",
        "*",
    ];
    let long = [129, 300, 4096, 100_000].map(|length| "a".repeat(length));
    fixed.iter().map(ToString::to_string).chain(long).collect()
}

#[test]
fn hostile_names_are_refused_and_touch_nothing() {
    let scene = Scene::new("names");
    for file in ["sentinel/file", "sentinel/folder/file", "evil-not", "root-not/file"] {
        scene.stage.file(file, "as it was");
    }
    let sentinel = scene.stage.join("sentinel");
    let (before, beside) = (tree(&sentinel), top(&scene));
    let plugin = scene.daemon.plugin();
    for name in names() {
        let shown: String = name.chars().take(30).collect();
        for call in ["Create", "Get", "Path", "Mount"] {
            let body = json!({"Name": name, "ID": "1", "Opts": {}}).to_string();
            let reply = plugin.raw(&format!("VolumeDriver.{call}"), body.as_bytes());
            let error = error_of(&reply.expect("a reply"));
            assert!(!error.is_empty() && error.len() < 4000, "{call} {shown:?}: {error}");
            assert!(!error.contains('\n'), "{call} {shown:?}: {error}");
        }
        // Whatever they answer, they answer, and there is nothing to be done.
        for call in ["Unmount", "Remove"] {
            let body = json!({"Name": name, "ID": "1"}).to_string();
            let reply = plugin.raw(&format!("VolumeDriver.{call}"), body.as_bytes());
            error_of(&reply.expect("a reply"));
        }
    }
    assert_eq!(scene.names(), Vec::<String>::new());
    assert_eq!(tree(&sentinel), before);
    assert_eq!(top(&scene), beside);
}

#[test]
fn the_control_socket_refuses_them_too() {
    let scene = Scene::new("control-names");
    scene.stage.file("sentinel/file", "as it was");
    let before = tree(&scene.stage.join("sentinel"));
    let socket = &scene.daemon.setup.control_socket;
    for name in names() {
        let shown: String = name.chars().take(30).collect();
        let body = json!({"name": name, "options": {}}).to_string();
        let created = http::request(socket, "POST", "/v1/volumes", body.as_bytes());
        let created = created.expect("a reply");
        assert_eq!(created.status(), 400, "{shown:?}: {}", created.text());
        assert_eq!(created.json()["error"]["kind"], "invalid", "{shown:?}");
        if name.len() > 10_000 {
            // Longer than the head of a request may be.
            continue;
        }
        let encoded = percent_encoding::percent_encode(name.as_bytes(), NON_ALPHANUMERIC);
        for (method, tail) in [
            ("GET", ""),
            ("PATCH", ""),
            ("DELETE", "?now=true"),
            ("POST", "/mount"),
            ("POST", "/undelete"),
        ] {
            let body: &[u8] =
                if method == "PATCH" { br#"{"options":{"mode":"0777"}}"# } else { b"" };
            let path = format!("/v1/volumes/{encoded}{tail}");
            let reply = http::request(socket, method, &path, body).expect("a reply");
            assert!((400..500).contains(&reply.status()), "{method} {shown:?}: {}", reply.start);
            let error = &reply.json()["error"];
            assert!(error["message"].is_string(), "{method} {shown:?}: {}", reply.text());
        }
    }
    assert_eq!(scene.names(), Vec::<String>::new());
    assert_eq!(tree(&scene.stage.join("sentinel")), before);
}

#[test]
fn hostile_mount_ids_are_only_texts() {
    let scene = Scene::new("ids");
    let plugin = scene.daemon.plugin();
    plugin.create("vol", &Value::Null).expect("created");
    let ids =
        ["../../evil", "a b", "'; DROP TABLE volumes; --", "é", "/etc/passwd", &"i".repeat(128)];
    for id in ids {
        plugin.mount("vol", id).unwrap_or_else(|error| panic!("{id:?}: {error}"));
    }
    assert_eq!(scene.daemon.control().references("vol"), 6);
    for id in ids {
        plugin.unmount("vol", id).expect("unmounted");
    }
    assert_eq!(scene.daemon.control().references("vol"), 0);
    for id in ["", "a\nb", "a\0b", &"i".repeat(5000)] {
        let error = plugin.mount("vol", id).expect_err("refused");
        assert!(error.contains("mount ID"), "{error}");
    }
    assert_eq!(scene.daemon.control().references("vol"), 0);
}

/// What lies beside the daemon's own folders.
fn top(scene: &Scene) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(scene.stage.path()).expect("readable");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name()).collect();
    names.sort();
    names
}
