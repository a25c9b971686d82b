//! What the daemon's answers look like, from a stand-in that answers what the
//! test says: each state once, without having to bring a daemon into it.

use insta::assert_snapshot;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::stand_in::StandIn;

fn before(hours: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(hours)
}

fn volume(name: &str, changes: Value) -> Value {
    let mut volume = json!({
        "name": name, "id": "0123456789abcdef0123456789abcdef", "pool": "default",
        "backend": "vfs", "state": "ready", "size": null, "used": 1536,
        "mountpoint": format!("/var/lib/berth/mounts/{name}"), "references": 0, "mounted": false,
        "held": false, "created": before(3), "snapshots": 0, "last-backup": null, "host": "web1",
        "capabilities": ["mount", "set"],
        "options": { "uid": 1000, "mode": "0750", "access": "shared", "on-remove": "delete" },
        "given": { "uid": "1000" },
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    volume.as_object_mut().expect("an object").extend(changes);
    volume
}

fn job(state: &str, changes: Value) -> Value {
    let mut job = json!({
        "id": "7", "kind": "rebuild", "volume": null, "pool": "fast", "state": state,
        "progress": { "bytes-done": 0, "bytes-total": 0, "files-done": 0, "rate": 0, "eta": null },
        "error": null, "created": before(2), "finished": null,
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    job.as_object_mut().expect("an object").extend(changes);
    job
}

fn refusal(kind: &str, message: &str, hint: Option<&str>) -> Value {
    json!({ "error": { "kind": kind, "message": message, "hint": hint } })
}

/// Replaces every clock time, which is another at each run.
macro_rules! timeless {
    ($($body:tt)*) => {
        insta::with_settings!({ filters => vec![
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "[time]"),
            (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "[time]"),
        ] }, { $($body)* })
    };
}

#[test]
fn volumes_are_a_table_for_people_and_an_array_for_scripts() {
    let volumes = json!([
        volume("a-volume-with-a-long-name", json!({ "references": 12, "mounted": true })),
        volume("db", json!({ "state": "faulty", "used": null })),
    ]);
    let daemon = StandIn::new(&[("GET /v1/volumes", 200, volumes.clone())]);
    assert_snapshot!(daemon.say(&["volume", "ls"]));
    let json = daemon.say(&["volume", "ls", "--json"]);
    let json = json.strip_prefix("exit: 0\n--- stdout\n").expect("data only");
    let parsed: Value = serde_json::from_str(json).expect("JSON");
    let names = |value: &Value| {
        value[0].as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names(&parsed), names(&volumes), "no field is lost or renamed on the way");
    // The fields that the contract promises.
    for field in "name id pool backend state size used mountpoint references created snapshots \
                  last-backup host capabilities"
        .split_whitespace()
    {
        assert!(names(&parsed).contains(&field.to_owned()), "{field}");
    }
}

/// A figure of now needs no age; one that was counted a while ago has it.
#[test]
fn an_old_figure_says_how_old_it_is() {
    let volumes = json!([
        volume("counted", json!({ "used-at": before(2), "size": 1_u64 << 30 })),
        volume("known", json!({ "used-at": before(0) })),
        volume("unknown", json!({ "used": null, "used-at": before(2) })),
    ]);
    let daemon = StandIn::new(&[
        ("GET /v1/volumes", 200, volumes.clone()),
        ("GET /v1/volumes/counted", 200, volumes[0].clone()),
    ]);
    assert_snapshot!(daemon.say(&["volume", "ls"]), @r"
    exit: 0
    --- stdout
    NAME      POOL      STATE                    USED   REFS   CREATED
    counted   default   ready   1.5 KiB (2 hours ago)      0   3 hours ago
    known     default   ready                 1.5 KiB      0   3 hours ago
    unknown   default   ready                       -      0   3 hours ago
    ");
    let block = daemon.say(&["volume", "inspect", "counted"]);
    assert!(block.contains("1.5 KiB (2 hours ago)") && block.contains("1 GiB"), "{block}");
}

#[test]
fn an_empty_listing_is_a_header_and_an_empty_array() {
    let daemon = StandIn::new(&[("GET /v1/volumes", 200, json!([]))]);
    assert_snapshot!(daemon.say(&["volume", "ls"]), @r"
    exit: 0
    --- stdout
    NAME   POOL   STATE   USED   REFS   CREATED
    ");
    assert_snapshot!(daemon.say(&["volume", "ls", "--json"]), @r"
    exit: 0
    --- stdout
    []
    ");
}

#[test]
fn the_trash_says_when_it_lets_go() {
    let volumes = json!([
        volume("db", json!({ "state": "removed", "removed": before(1), "expires": before(-25) })),
        volume("keep", json!({ "state": "removed", "removed": before(30) })),
        volume("due", json!({ "state": "removed", "removed": before(30), "expires": before(1) })),
    ]);
    let daemon = StandIn::new(&[("GET /v1/volumes?removed=true", 200, volumes)]);
    assert_snapshot!(daemon.say(&["volume", "ls", "--removed"]));
}

#[test]
fn inspect_shows_all_of_those_that_are_there() {
    let faulty = json!({
        "state": "faulty", "reason": "create: disk full\nrm it", "held": null, "options": {},
        "given": {}, "mounted": true, "references": 2, "last-backup": before(2), "size": 10_737_418_240_u64,
    });
    let daemon = StandIn::new(&[
        ("GET /v1/volumes/db", 200, volume("db", json!({}))),
        ("GET /v1/volumes/bad", 200, volume("bad", faulty)),
        ("GET /v1/volumes/none", 404, refusal("not-found", "no such volume `none`", None)),
    ]);
    timeless! { assert_snapshot!(daemon.say(&["volume", "inspect", "db", "none", "bad"])) }
    let json = daemon.say(&["volume", "inspect", "--json", "db", "none"]);
    let (data, errors) = json.split_once("--- stderr\n").expect("an error");
    assert_eq!(
        errors,
        "{\"error\":{\"kind\":\"not-found\",\"message\":\"no such volume `none`\",\"hint\":null}}\n"
    );
    let data = data.strip_prefix("exit: 3\n--- stdout\n").expect("not found");
    let data: Value = serde_json::from_str(data).expect("an array");
    assert_eq!(data.as_array().map(Vec::len), Some(1));
}

#[test]
fn every_kind_of_error_has_its_exit_code() {
    for (kind, status, code) in [
        ("invalid", 400, 2),
        ("not-found", 404, 3),
        ("conflict", 409, 1),
        ("busy", 423, 4),
        ("unsupported", 501, 5),
        ("exhausted", 507, 1),
        ("unavailable", 503, 1),
        ("corrupt", 500, 1),
        ("internal", 500, 1),
    ] {
        let body = refusal(kind, "no", Some("try `berth doctor`"));
        let daemon = StandIn::new(&[("POST /v1/volumes", status, body)]);
        assert_eq!(
            daemon.say(&["volume", "create", "db"]),
            format!("exit: {code}\n--- stderr\nerror: no\nhint: try `berth doctor`\n"),
            "{kind}"
        );
    }
}

#[test]
fn an_answer_that_is_none_of_ours_is_an_error() {
    let daemon = StandIn::new(&[
        ("GET /v1/info", 200, json!("hello")),
        ("GET /v1/volumes", 502, json!("<html>")),
    ]);
    for (words, status) in [(["info"].as_slice(), "200 OK"), (&["volume", "ls"], "502 Bad Gateway")]
    {
        let text = daemon.say(words);
        let start = format!(
            "exit: 1\n--- stderr\nerror: the daemon's answer ({status}) is not understood: "
        );
        assert!(text.starts_with(&start), "{text}");
    }
}

#[test]
fn create_sends_what_was_typed_and_prints_the_name() {
    let daemon = StandIn::new(&[("POST /v1/volumes", 200, volume("db", json!({})))]);
    let words = ["volume", "create", "db", "-o", "uid=1000", "-o", "mount-options=a=b"];
    assert_eq!(daemon.say(&words), "exit: 0\n--- stdout\ndb\n");
    assert_eq!(
        daemon.asked(),
        [r#"POST /v1/volumes {"name":"db","options":{"mount-options":"a=b","uid":"1000"}}"#]
    );
}

#[test]
fn rm_tells_where_each_volume_went() {
    let kept = volume("keep", json!({ "state": "removing", "removed": before(0) }));
    let trashed = json!({ "state": "removing", "removed": before(0), "expires": before(-24) });
    let busy = refusal("busy", "volume `web` is mounted", Some("stop its containers"));
    let daemon = StandIn::new(&[
        ("DELETE /v1/volumes/db", 200, volume("db", trashed)),
        ("DELETE /v1/volumes/keep", 200, kept),
        ("DELETE /v1/volumes/empty", 200, json!(null)),
        ("DELETE /v1/volumes/web", 423, busy),
        ("DELETE /v1/volumes/db?now=true", 200, json!(null)),
    ]);
    assert_eq!(daemon.say(&["volume", "rm", "--now", "db", "--json"]), "exit: 0\n--- stdout\n[]\n");
    timeless! {
        assert_snapshot!(daemon.say(&["volume", "rm", "db", "web", "keep", "empty"]), @r"
        exit: 4
        --- stderr
        `db` is in the trash until [time]: berth volume undelete db
        error: volume `web` is mounted
        hint: stop its containers
        `keep` is kept without expiry: berth volume undelete keep
        `empty` is removed for good
        ")
    }
}

#[test]
fn mount_prints_where_and_unmount_nothing() {
    let daemon = StandIn::new(&[
        ("POST /v1/volumes/db/mount", 200, json!({ "mountpoint": "/m/db" })),
        ("POST /v1/volumes/db/unmount", 200, json!({})),
    ]);
    assert_eq!(daemon.say(&["volume", "mount", "db"]), "exit: 0\n--- stdout\n/m/db\n");
    assert_eq!(daemon.say(&["volume", "unmount", "db", "--id", "mine"]), "exit: 0\n");
    assert_eq!(
        daemon.asked(),
        [
            r#"POST /v1/volumes/db/mount {"id":"cli"}"#,
            r#"POST /v1/volumes/db/unmount {"id":"mine"}"#
        ]
    );
}

#[test]
fn pools_show_how_full_they_are() {
    let pool = |name: &str, changes: Value| {
        let mut pool = json!({
            "name": name, "backend": "vfs", "default": false,
            "id": "00112233445566778899aabbccddeeff", "path": format!("/srv/{name}"),
            "state": "ready", "shared": false, "volumes": 3, "removed": 1,
            "total": 107_374_182_400_u64, "free": 5_368_709_120_u64, "trash": 86400, "stuck": 0,
            "capabilities": ["create", "mount", "rebuild"],
        });
        let Value::Object(changes) = changes else { panic!("changes are an object") };
        pool.as_object_mut().expect("an object").extend(changes);
        pool
    };
    let away = json!({
        "state": "unavailable", "reason": "no pool identity at `/srv/fast`", "id": null,
        "total": null, "free": null, "stuck": 2,
    });
    let gone = json!({
        "state": "unconfigured", "reason": "it is not in the configuration any more", "id": null,
        "path": "", "total": null, "free": null, "trash": 0, "capabilities": [],
    });
    let pools =
        json!([pool("default", json!({ "default": true })), pool("fast", away), pool("old", gone)]);
    let daemon = StandIn::new(&[("GET /v1/pools", 200, pools)]);
    assert_snapshot!(daemon.say(&["pool", "ls"]));
    assert_snapshot!(daemon.say(&["pool", "inspect"]));
}

#[test]
fn rebuild_waits_and_prints_the_outcome() {
    let running = json!({
        "progress": { "bytes-done": 1024, "bytes-total": 4096, "files-done": 1, "rate": 512, "eta": 6 },
        "waiting": "the disk",
    });
    let done = json!({ "outcome": "3 volumes found, 1 record made", "finished": before(0) });
    let daemon = StandIn::new(&[
        ("POST /v1/pools/fast/rebuild", 202, job("queued", json!({}))),
        ("GET /v1/jobs/7/wait?seconds=5", 200, job("running", running)),
        ("GET /v1/jobs/7/wait?seconds=5", 200, job("done", done)),
    ]);
    assert_snapshot!(daemon.say(&["pool", "rebuild", "fast", "--take-over"]), @r"
    exit: 0
    --- stdout
    3 volumes found, 1 record made
    --- stderr
    rebuild fast: queued
    rebuild fast: running, 1 file, 1 KiB of 4 KiB, 512 B/s, 6 seconds left, waiting: the disk
    rebuild fast: done
    ");
    assert_eq!(daemon.asked()[0], r#"POST /v1/pools/fast/rebuild {"take-over":true}"#);
    assert_eq!(daemon.say(&["pool", "rebuild", "fast", "--detach"]), "exit: 0\n--- stdout\n7\n");
}

#[test]
fn a_job_that_failed_fails_who_waits_for_it() {
    let failed = json!({ "error": "pool `fast` is away", "error-kind": "unavailable" });
    let daemon = StandIn::new(&[
        ("GET /v1/jobs", 200, json!([job("running", json!({})), job("done", json!({}))])),
        ("GET /v1/jobs/7", 200, job("running", json!({}))),
        ("GET /v1/jobs/7/wait?seconds=20", 200, job("failed", failed)),
        ("GET /v1/jobs/8", 200, job("cancelled", json!({ "id": "8" }))),
        ("POST /v1/jobs/7/cancel", 200, job("running", json!({}))),
    ]);
    assert_snapshot!(daemon.say(&["job", "wait"]), @r"
    exit: 1
    --- stderr
    error: job `7` (rebuild): pool `fast` is away
    ");
    assert_snapshot!(daemon.say(&["job", "wait", "8"]), @r"
    exit: 1
    --- stderr
    error: job `8` (rebuild) was cancelled
    ");
    assert_snapshot!(daemon.say(&["job", "ls"]));
    assert_eq!(daemon.say(&["job", "cancel", "7"]), "exit: 0\n");
    timeless! { assert_snapshot!(daemon.say(&["job", "inspect", "7"])) }
}

#[test]
fn doctor_fails_if_it_found_an_error() {
    let finding = |severity: &str, hint: Option<&str>| {
        let mut finding = json!({
            "severity": severity, "subject": "pool `fast`", "message": "its folder is missing",
        });
        if let Some(hint) = hint {
            finding["hint"] = json!(hint);
        }
        finding
    };
    let ill = json!({ "healthy": false, "findings": [
        finding("error", Some("mount it")), finding("warning", None), finding("ok", None),
    ] });
    let well = json!({ "healthy": true, "findings": [finding("warning", None)] });
    let daemon =
        StandIn::new(&[("GET /v1/doctor", 200, ill.clone()), ("GET /v1/doctor", 200, well)]);
    assert_snapshot!(daemon.say(&["doctor"]), @r"
    exit: 1
    --- stdout
    error    pool `fast`: its folder is missing
             hint: mount it
    warning  pool `fast`: its folder is missing
    ok       pool `fast`: its folder is missing
    1 error, 1 warning
    ");
    assert!(daemon.say(&["doctor"]).starts_with("exit: 0\n"));
    let daemon = StandIn::new(&[("GET /v1/doctor", 200, ill)]);
    assert!(daemon.say(&["doctor", "--json"]).starts_with("exit: 1\n--- stdout\n{"));
}

#[test]
fn info_says_what_the_daemon_is() {
    let info = json!({
        "version": "0.1.0", "host-id": null, "host": "web1", "state": "untrusted",
        "reason": "the catalog is damaged", "root": "/var/lib/berth",
        "plugin-socket": "/run/docker/plugins/berth.sock", "config": null, "installation": "host",
        "scope": "local", "default-pool": "default", "pools": 1, "volumes": 3, "mounted": 2,
        "jobs": 0, "uptime": 7300,
    });
    let daemon = StandIn::new(&[("GET /v1/info", 200, info)]);
    assert_snapshot!(daemon.say(&["info"]));
}
