//! Bodies that Docker would not send, or sends only after a fault.

use std::{
    io::{BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
};

use serde_json::Value;

use super::{CALLS, Scene, error_of};
use crate::support::http::{self, Connection, Message};

const LARGE: usize = 1 << 20;

#[test]
fn an_empty_body_is_a_repetition_and_does_nothing() {
    let scene = Scene::new("empty");
    let plugin = scene.daemon.plugin();
    plugin.create("vol", &Value::Null).expect("created");
    plugin.mount("vol", "a").expect("mounted");

    // An `Err` would tell Docker that there is no such volume.
    plugin.raw("VolumeDriver.Get", b"").expect_err("hung up on");
    let silent = ["Plugin.Activate", "VolumeDriver.Get"];
    for call in CALLS.iter().filter(|call| !silent.contains(call)) {
        let reply = plugin.raw(call, b"").expect("a reply");
        let error = error_of(&reply);
        assert!(error.contains("request body is empty"), "{call}: {error}");
    }

    assert_eq!(scene.names(), ["vol"]);
    assert_eq!(scene.daemon.control().references("vol"), 1);
}

#[test]
fn what_is_no_object_with_a_name_is_refused() {
    let scene = Scene::new("wrong");
    let plugin = scene.daemon.plugin();
    let bodies: [&[u8]; 17] = [
        b"{",
        b"{\"Name\":\"vol",
        b"{\"Name\":\"vol\"",
        b"null",
        b"[]",
        b"\"vol\"",
        b"5",
        b"Name=vol",
        b"{}",
        b"{\"Name\":null}",
        b"{\"Name\":5}",
        b"{\"Name\":\"\"}",
        b"{\"Name\":[\"vol\"]}",
        b"{\"Name\":\"\xff\xfe\"}",
        b"\xef\xbb\xbf{\"Name\":\"vol\"}",
        b"{\"Name\":\"vol\",\"ID\":\"1\"} trailing",
        b"\0\0\0\0",
    ];
    for call in ["Create", "Remove", "Mount", "Unmount", "Path", "Get"] {
        for body in bodies {
            let reply = plugin.raw(&format!("VolumeDriver.{call}"), body).expect("a reply");
            let error = error_of(&reply);
            assert!(!error.is_empty(), "{call} {}", String::from_utf8_lossy(body));
        }
    }
    assert_eq!(scene.names(), Vec::<String>::new());
}

#[test]
fn wrong_options_are_refused() {
    let scene = Scene::new("options");
    let plugin = scene.daemon.plugin();
    let many: Vec<_> = (0..5000).map(|n| format!("\"k{n}\":\"v\"")).collect();
    let many = many.join(",");
    let opts = [
        "[]".to_owned(),
        "\"mode=0750\"".to_owned(),
        "5".to_owned(),
        "true".to_owned(),
        r#"{"mode":750}"#.to_owned(),
        r#"{"mode":null}"#.to_owned(),
        r#"{"mode":{"a":"b"}}"#.to_owned(),
        r#"{"mode":"0999"}"#.to_owned(),
        r#"{"mode":"../../etc"}"#.to_owned(),
        r#"{"mode":"0750\u0000"}"#.to_owned(),
        r#"{"uid":"-1"}"#.to_owned(),
        r#"{"uid":"4294967295"}"#.to_owned(),
        r#"{"uid":"99999999999999999999"}"#.to_owned(),
        r#"{"pool":"nope"}"#.to_owned(),
        r#"{"pool":"../default"}"#.to_owned(),
        r#"{"":""}"#.to_owned(),
        r#"{"path":"/etc"}"#.to_owned(),
        r#"{"device":"/dev/sda"}"#.to_owned(),
        r#"{"size":"1G"}"#.to_owned(),
        format!(r#"{{"{}":"x"}}"#, "k".repeat(100_000)),
        format!(r#"{{"mode":"{}"}}"#, "7".repeat(100_000)),
        format!("{{{many}}}"),
    ];
    for opts in opts {
        let body = format!(r#"{{"Name":"vol","Opts":{opts}}}"#);
        let reply = plugin.raw("VolumeDriver.Create", body.as_bytes()).expect("a reply");
        let error = error_of(&reply);
        let shown: String = opts.chars().take(60).collect();
        assert!(!error.is_empty() && error.len() < 4000, "{shown}: {error}");
    }
    assert_eq!(scene.names(), Vec::<String>::new());
}

#[test]
fn a_huge_body_is_refused_and_the_next_call_works() {
    let scene = Scene::new("huge");
    let plugin = scene.daemon.plugin();
    for size in [LARGE + 1, 8 * LARGE] {
        let filler = "x".repeat(size);
        let body = format!(r#"{{"Name":"vol","Opts":{{"mode":"{filler}"}}}}"#);
        let reply = plugin.raw("VolumeDriver.Create", body.as_bytes()).expect("a reply");
        let error = error_of(&reply);
        assert!(error.contains("larger than 1048576 bytes"), "{error}");
    }
    let name = "n".repeat(LARGE - 100);
    let error = plugin.create(&name, &Value::Null).expect_err("too long a name");
    assert!(error.len() < 4000 && error.contains("volume name"), "{error}");
    plugin.create("vol", &Value::Null).expect("created");
    assert_eq!(scene.names(), ["vol"]);
}

#[test]
fn chunks_are_a_body_like_others() {
    let scene = Scene::new("chunked");
    let socket = &scene.daemon.setup.plugin_socket;
    let head =
        "POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut wire = Connection::open(socket).expect("connected");
    wire.send(format!("{head}7\r\n{{\"Name\"\r\n7\r\n:\"vol\"}}\r\n0\r\n\r\n").as_bytes())
        .expect("sent");
    assert_eq!(error_of(&wire.receive().expect("a reply").expect("no end")), "");
    assert_eq!(scene.names(), ["vol"]);

    // No chunk at all is an empty body.
    wire.send(format!("{head}0\r\n\r\n").as_bytes()).expect("sent");
    let error = error_of(&wire.receive().expect("a reply").expect("no end"));
    assert!(error.contains("request body is empty"), "{error}");

    // Chunks that are none, or end too early: an answer, and never a volume.
    for rest in [
        "zz\r\n{\"Name\":\"bad\"}\r\n0\r\n\r\n",
        "e\r\n{\"Name\":\"bad\"}",
        "ffffffffffffffff\r\n{}",
    ] {
        let mut wire = Connection::open(socket).expect("connected");
        wire.send(format!("{head}{rest}").as_bytes()).expect("sent");
        wire.finish().expect("half closed");
        let reply = wire.receive().expect("a reply").expect("no end");
        assert!(error_of(&reply).contains("truncated"), "{rest}: {}", reply.text());
    }
    // Endless ones.
    let mut wire = Connection::open(socket).expect("connected");
    let chunk = format!("{:x}\r\n{}\r\n", LARGE, " ".repeat(LARGE));
    wire.send(format!("{head}{chunk}{chunk}0\r\n\r\n").as_bytes()).expect("sent");
    assert!(error_of(&wire.receive().expect("a reply").expect("no end")).contains("larger than"));
    assert_eq!(scene.names(), ["vol"]);
}

#[test]
fn a_truncated_body_makes_nothing() {
    let scene = Scene::new("truncated");
    let socket = &scene.daemon.setup.plugin_socket;
    let head = "POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n";
    for part in ["", "{", r#"{"Name":"vol"}"#] {
        let mut wire = Connection::open(socket).expect("connected");
        wire.send(format!("{head}{part}").as_bytes()).expect("sent");
        wire.finish().expect("half closed");
        let reply = wire.receive().expect("a reply").expect("no end");
        assert!(error_of(&reply).contains("truncated"), "{}", reply.text());
        assert!(wire.receive().expect("an end").is_none(), "closed");
    }
    // Hung up altogether.
    let mut wire = Connection::open(socket).expect("connected");
    wire.send(format!("{head}{{\"Name\":\"vol\"}}").as_bytes()).expect("sent");
    drop(wire);
    assert_eq!(scene.names(), Vec::<String>::new());
}

#[test]
fn a_slow_body_is_waited_for() {
    let scene = Scene::new("slow");
    let mut wire = Connection::open(&scene.daemon.setup.plugin_socket).expect("connected");
    let body = r#"{"Name":"vol"}"#;
    let request = format!(
        "POST /VolumeDriver.Create HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // Each byte in a packet of its own; between them, others are served.
    for byte in request.as_bytes() {
        wire.send(&[*byte]).expect("sent");
        scene.names();
    }
    assert_eq!(error_of(&wire.receive().expect("a reply").expect("no end")), "");
    assert_eq!(scene.names(), ["vol"]);
}

#[test]
fn pipelined_calls_are_answered_in_their_order() {
    let scene = Scene::new("pipeline");
    let mut wire = Connection::open(&scene.daemon.setup.plugin_socket).expect("connected");
    let request = |call: &str, body: &str| {
        format!(
            "POST /VolumeDriver.{call} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let all = [
        request("Create", r#"{"Name":"one"}"#),
        request("Create", ""),
        request("Create", r#"{"Name":"two"}"#),
        request("List", "{}"),
    ];
    wire.send(all.concat().as_bytes()).expect("sent");
    let mut next = || wire.receive().expect("a reply").expect("no end");
    assert_eq!(error_of(&next()), "");
    assert!(error_of(&next()).contains("empty"));
    assert_eq!(error_of(&next()), "");
    let listed = next().json();
    let names: Vec<_> =
        listed["Volumes"].as_array().expect("volumes").iter().map(|v| v["Name"].clone()).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn what_is_no_http_is_closed_and_others_are_served() {
    let scene = Scene::new("garbage");
    let socket = &scene.daemon.setup.plugin_socket;
    let garbage: [&[u8]; 8] = [
        b"\r\n\r\n\r\n",
        b"hello\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST /VolumeDriver.Get HTTP/9.9\r\n\r\n",
        b"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /VolumeDriver.Get HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for bytes in garbage {
        let mut wire = Connection::open(socket).expect("connected");
        wire.send(bytes).expect("sent");
        wire.finish().expect("half closed");
        if let Ok(Some(reply)) = wire.receive() {
            let shown = String::from_utf8_lossy(bytes);
            assert!((400..600).contains(&reply.status()), "{shown}: {}", reply.start);
        }
    }
    let long = [b"POST /".as_slice(), &b"a".repeat(1 << 20), b" HTTP/1.1\r\n\r\n"].concat();
    let mut wire = Connection::open(socket).expect("connected");
    let _ = wire.send(&long);
    if let Ok(Some(reply)) = wire.receive() {
        assert!((400..600).contains(&reply.status()), "{}", reply.start);
    }
    let reply = http::request(socket, "POST", "/VolumeDriver.List", b"{}").expect("a reply");
    assert_eq!(error_of(&reply), "");
}

#[test]
fn older_and_careful_clients_are_served() {
    let scene = Scene::new("clients");
    let socket = &scene.daemon.setup.plugin_socket;
    // Asks before it sends.
    let mut wire = UnixStream::connect(socket).expect("connected");
    wire.write_all(b"POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut go_on = [0; 25];
    wire.read_exact(&mut go_on).expect("an answer");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    wire.write_all(b"{}").expect("sent");
    let reply = Message::read(&mut BufReader::new(wire)).expect("a reply").expect("no end");
    assert_eq!(error_of(&reply), "");
    // Does not keep connections.
    let mut wire = Connection::open(socket).expect("connected");
    wire.send(b"POST /VolumeDriver.List HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}").expect("sent");
    assert_eq!(error_of(&wire.receive().expect("a reply").expect("no end")), "");
    assert!(wire.receive().expect("an end").is_none(), "closed");
}
