use super::*;

fn at(method: &Method, target: &str) -> Result<Route, Refusal> {
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    route(method, path, query)
}

#[test]
fn every_route_of_the_contract_is_found() {
    let n = || "db".to_owned();
    let table = [
        (Method::GET, "/v1/info", Route::Info),
        (Method::GET, "/v1/doctor", Route::Doctor),
        (Method::GET, "/metrics", Route::Metrics),
        (Method::GET, "/v1/volumes", Route::Volumes { removed: false }),
        (Method::GET, "/v1/volumes?removed=true", Route::Volumes { removed: true }),
        (Method::GET, "/v1/volumes?removed=false", Route::Volumes { removed: false }),
        (Method::POST, "/v1/volumes", Route::CreateVolume),
        (Method::GET, "/v1/volumes/db", Route::Volume(n())),
        (Method::DELETE, "/v1/volumes/db", Route::RemoveVolume { name: n(), now: false }),
        (Method::DELETE, "/v1/volumes/db?now=true", Route::RemoveVolume { name: n(), now: true }),
        (Method::PATCH, "/v1/volumes/db", Route::SetVolume(n())),
        (Method::POST, "/v1/volumes/db/resize", Route::ResizeVolume(n())),
        (Method::POST, "/v1/volumes/db/undelete", Route::Undelete(n())),
        (Method::POST, "/v1/volumes/db/mount", Route::Mount(n())),
        (Method::POST, "/v1/volumes/db/unmount", Route::Unmount(n())),
        (Method::POST, "/v1/volumes/db/repair", Route::Repair(n())),
        (Method::POST, "/v1/volumes/db/rollback", Route::RollBack(n())),
        (Method::GET, "/v1/snapshots", Route::Snapshots(None)),
        (Method::GET, "/v1/volumes/db/snapshots", Route::Snapshots(Some(n()))),
        (Method::POST, "/v1/volumes/db/snapshots", Route::CreateSnapshot(n())),
        (
            Method::GET,
            "/v1/volumes/db/snapshots/a",
            Route::Snapshot { volume: n(), name: "a".to_owned() },
        ),
        (
            Method::DELETE,
            "/v1/volumes/db/snapshots/a",
            Route::RemoveSnapshot { volume: n(), name: "a".to_owned() },
        ),
        (Method::GET, "/v1/pools", Route::Pools),
        (Method::GET, "/v1/pools/db", Route::Pool(n())),
        (Method::POST, "/v1/pools/rebuild", Route::Rebuild(None)),
        (Method::POST, "/v1/pools/db/rebuild", Route::Rebuild(Some(n()))),
        (Method::POST, "/v1/pools/rebuild/rebuild", Route::Rebuild(Some("rebuild".to_owned()))),
        (Method::POST, "/v1/pools/db/grow", Route::Grow(n())),
        (Method::GET, "/v1/pools/rebuild", Route::Pool("rebuild".to_owned())),
        (Method::GET, "/v1/jobs", Route::Jobs),
        (Method::GET, "/v1/jobs/db", Route::Job(n())),
        (Method::GET, "/v1/jobs/db/wait", Route::WaitJob { id: n(), seconds: 20 }),
        (Method::GET, "/v1/jobs/db/wait?seconds=3", Route::WaitJob { id: n(), seconds: 3 }),
        (Method::GET, "/v1/jobs/db/wait?seconds=999", Route::WaitJob { id: n(), seconds: 60 }),
        (Method::POST, "/v1/jobs/db/cancel", Route::CancelJob(n())),
    ];
    for (method, target, route) in table {
        assert_eq!(at(&method, target).expect(target), route, "{method} {target}");
    }
}

#[test]
fn a_name_is_one_encoded_segment() {
    let volume = |path: &str| at(&Method::GET, path).expect(path);
    assert_eq!(volume("/v1/volumes/a%2Fb"), Route::Volume("a/b".to_owned()));
    assert_eq!(volume("/v1/volumes/sp%20ace"), Route::Volume("sp ace".to_owned()));
    assert_eq!(volume("/v1/volumes/a+b"), Route::Volume("a+b".to_owned()));
    // Refused by the engine, as every wrong name.
    assert_eq!(volume("/v1/volumes/"), Route::Volume(String::new()));
    assert_eq!(volume("/v1/volumes/%2e%2e"), Route::Volume("..".to_owned()));
}

#[test]
fn what_is_not_there_is_unknown() {
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/info",
        "/v1/info/",
        "//v1/info",
        "/v1/volumes/a/b",
        "/v1/volumes/a/mount/b",
    ] {
        assert!(matches!(at(&Method::GET, path), Err(Refusal::Unknown(_))), "{path}");
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let table = [
        (Method::POST, "/v1/info", "GET"),
        (Method::PUT, "/v1/volumes", "GET, POST"),
        (Method::POST, "/v1/volumes/db", "GET, PATCH, DELETE"),
        (Method::GET, "/v1/volumes/db/mount", "POST"),
        (Method::GET, "/v1/volumes/db/rollback", "POST"),
        (Method::POST, "/v1/snapshots", "GET"),
        (Method::PUT, "/v1/volumes/db/snapshots", "GET, POST"),
        (Method::POST, "/v1/volumes/db/snapshots/a", "GET, DELETE"),
        (Method::DELETE, "/v1/pools/db", "GET"),
        (Method::GET, "/v1/pools/db/rebuild", "POST"),
        (Method::GET, "/v1/pools/db/grow", "POST"),
        (Method::GET, "/v1/jobs/db/cancel", "POST"),
        (Method::POST, "/v1/jobs/db/wait", "GET"),
        (Method::HEAD, "/metrics", "GET"),
    ];
    for (method, path, expected) in table {
        match at(&method, path) {
            Err(Refusal::Method { allow, .. }) => assert_eq!(allow, expected, "{path}"),
            other => panic!("{method} {path}: {other:?}"),
        }
    }
}

#[test]
fn paths_and_queries_are_well_formed_or_refused() {
    let malformed = [
        "/v1/volumes/%ff",
        "*",
        "/v1/volumes?removed=yes",
        "/v1/volumes?removed",
        "/v1/volumes?remved=true",
        "/v1/volumes?removed=true&removed=false",
        "/v1/jobs/1/wait?seconds=-1",
        "/v1/jobs/1/wait?seconds=soon",
        "/v1/info?x=%ff",
    ];
    for target in malformed {
        assert!(matches!(at(&Method::GET, target), Err(Refusal::Malformed(_))), "{target}");
    }
}
