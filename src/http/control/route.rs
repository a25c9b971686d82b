//! Method, path and query → what is asked. Pure.
//!
//! Names in paths are percent-encoded, one segment each; they are decoded here
//! and validated by the engine.

use berth_api::{Error, Result};
use hyper::Method;
use percent_encoding::percent_decode_str;

/// The longest wait of one request, in seconds.
const WAIT_MAX: u64 = 60;

/// One thing that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `GET /v1/info`
    Info,
    /// `GET /v1/doctor`
    Doctor,
    /// `GET /metrics`
    Metrics,
    /// `GET /v1/volumes[?removed=true]`
    Volumes {
        /// What is in the trash instead.
        removed: bool,
    },
    /// `POST /v1/volumes`
    CreateVolume,
    /// `GET /v1/volumes/N`
    Volume(String),
    /// `DELETE /v1/volumes/N[?now=true]`
    RemoveVolume {
        /// The name.
        name: String,
        /// For good, past the trash.
        now: bool,
    },
    /// `PATCH /v1/volumes/N`
    SetVolume(String),
    /// `POST /v1/volumes/N/resize`
    ResizeVolume(String),
    /// `POST /v1/volumes/N/undelete`
    Undelete(String),
    /// `POST /v1/volumes/N/mount`
    Mount(String),
    /// `POST /v1/volumes/N/unmount`
    Unmount(String),
    /// `POST /v1/volumes/N/repair`
    Repair(String),
    /// `POST /v1/volumes/N/rollback`
    RollBack(String),
    /// `GET /v1/snapshots`, or `GET /v1/volumes/N/snapshots` of one volume
    Snapshots(Option<String>),
    /// `POST /v1/volumes/N/snapshots`
    CreateSnapshot(String),
    /// `GET /v1/volumes/N/snapshots/S`
    Snapshot {
        /// The volume.
        volume: String,
        /// The snapshot's name in it.
        name: String,
    },
    /// `DELETE /v1/volumes/N/snapshots/S`
    RemoveSnapshot {
        /// The volume.
        volume: String,
        /// The snapshot's name in it.
        name: String,
    },
    /// `GET /v1/pools`
    Pools,
    /// `GET /v1/pools/N`
    Pool(String),
    /// `POST /v1/pools/N/rebuild`, or `POST /v1/pools/rebuild` for all
    Rebuild(Option<String>),
    /// `POST /v1/pools/N/grow`
    Grow(String),
    /// `GET /v1/jobs`
    Jobs,
    /// `GET /v1/jobs/ID`
    Job(String),
    /// `GET /v1/jobs/ID/wait?seconds=20`
    WaitJob {
        /// The job.
        id: String,
        /// How long the answer may wait.
        seconds: u64,
    },
    /// `POST /v1/jobs/ID/cancel`
    CancelJob(String),
}

/// Why a request asks for nothing.
#[derive(Debug)]
pub enum Refusal {
    /// There is nothing at that path.
    Unknown(Error),
    /// The path is there, but not with that method.
    Method {
        /// The methods it has.
        allow: &'static str,
        /// The same as an error.
        error: Error,
    },
    /// The path or the query is not well formed.
    Malformed(Error),
}

/// What the request asks for.
///
/// # Errors
/// If it asks for nothing there is.
pub fn route(method: &Method, path: &str, query: Option<&str>) -> Result<Route, Refusal> {
    let segments = segments(path).map_err(Refusal::Malformed)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let name = |name: &str| name.to_owned();
    let (get, post) = (method == Method::GET, method == Method::POST);
    let mut query = Query::parse(query).map_err(Refusal::Malformed)?;
    let allow = |allow| {
        let error = Error::invalid(format!("`{}` takes only {allow}", shown(path)));
        Err(Refusal::Method { allow, error })
    };
    let route = match segments.as_slice() {
        ["metrics"] if get => Route::Metrics,
        ["v1", "info"] if get => Route::Info,
        ["v1", "doctor"] if get => Route::Doctor,
        ["v1", "volumes"] if get => {
            Route::Volumes { removed: query.flag("removed").map_err(Refusal::Malformed)? }
        }
        ["v1", "volumes"] if post => Route::CreateVolume,
        ["v1", "volumes"] => return allow("GET, POST"),
        ["v1", "volumes", volume] => match *method {
            Method::GET => Route::Volume(name(volume)),
            Method::PATCH => Route::SetVolume(name(volume)),
            Method::DELETE => Route::RemoveVolume {
                name: name(volume),
                now: query.flag("now").map_err(Refusal::Malformed)?,
            },
            _ => return allow("GET, PATCH, DELETE"),
        },
        ["v1", "volumes", volume, "resize"] if post => Route::ResizeVolume(name(volume)),
        ["v1", "volumes", volume, "undelete"] if post => Route::Undelete(name(volume)),
        ["v1", "volumes", volume, "mount"] if post => Route::Mount(name(volume)),
        ["v1", "volumes", volume, "unmount"] if post => Route::Unmount(name(volume)),
        ["v1", "volumes", volume, "repair"] if post => Route::Repair(name(volume)),
        ["v1", "volumes", volume, "rollback"] if post => Route::RollBack(name(volume)),
        ["v1", "snapshots"] if get => Route::Snapshots(None),
        ["v1", "volumes", volume, "snapshots"] => match *method {
            Method::GET => Route::Snapshots(Some(name(volume))),
            Method::POST => Route::CreateSnapshot(name(volume)),
            _ => return allow("GET, POST"),
        },
        ["v1", "volumes", volume, "snapshots", snapshot] => {
            let (volume, name) = (name(volume), name(snapshot));
            match *method {
                Method::GET => Route::Snapshot { volume, name },
                Method::DELETE => Route::RemoveSnapshot { volume, name },
                _ => return allow("GET, DELETE"),
            }
        }
        ["v1", "pools"] if get => Route::Pools,
        ["v1", "pools", "rebuild"] if post => Route::Rebuild(None),
        ["v1", "pools", pool] if get => Route::Pool(name(pool)),
        ["v1", "pools", pool, "rebuild"] if post => Route::Rebuild(Some(name(pool))),
        ["v1", "pools", pool, "grow"] if post => Route::Grow(name(pool)),
        ["v1", "jobs"] if get => Route::Jobs,
        ["v1", "jobs", id] if get => Route::Job(name(id)),
        ["v1", "jobs", id, "wait"] if get => {
            let seconds = query.number("seconds").map_err(Refusal::Malformed)?;
            Route::WaitJob { id: name(id), seconds: seconds.unwrap_or(20).min(WAIT_MAX) }
        }
        ["v1", "jobs", id, "cancel"] if post => Route::CancelJob(name(id)),
        [
            "v1",
            "volumes",
            _,
            "resize" | "undelete" | "mount" | "unmount" | "rollback" | "repair",
        ]
        | ["v1", "pools", _, "rebuild" | "grow"]
        | ["v1", "jobs", _, "cancel"] => return allow("POST"),
        ["metrics"]
        | ["v1", "info" | "doctor" | "pools" | "jobs" | "snapshots"]
        | ["v1", "pools" | "jobs", _]
        | ["v1", "jobs", _, "wait"] => return allow("GET"),
        _ => {
            return Err(Refusal::Unknown(
                Error::not_found(format!("nothing is at `{}`", shown(path)))
                    .with_hint("client and daemon may be of different versions: `berth version`"),
            ));
        }
    };
    query.end().map_err(Refusal::Malformed)?;
    Ok(route)
}

/// The decoded segments of a path.
fn segments(path: &str) -> Result<Vec<String>> {
    let wrong = || Error::invalid(format!("path `{}` is not well formed", shown(path)));
    let path = path.strip_prefix('/').ok_or_else(wrong)?;
    path.split('/').map(|segment| decoded(segment).ok_or_else(wrong)).collect()
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn shown(path: &str) -> String {
    path.chars().take(80).flat_map(char::escape_debug).collect()
}

/// The parameters behind the `?`, each taken once.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<&str>) -> Result<Self> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            decoded(key).zip(decoded(value)).ok_or_else(|| Error::invalid("query is not UTF-8"))
        });
        pairs.collect::<Result<_>>().map(Self)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.swap_remove(at).1)
    }

    fn flag(&mut self, key: &str) -> Result<bool> {
        match self.take(key).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Error::invalid(format!("query: `{key}` is `true` or `false`"))),
        }
    }

    fn number(&mut self, key: &str) -> Result<Option<u64>> {
        let Some(text) = self.take(key) else { return Ok(None) };
        let number = text.parse();
        number.map(Some).map_err(|_| Error::invalid(format!("query: `{key}` is a whole number")))
    }

    /// Refuses what nobody took.
    fn end(self) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => {
                Err(Error::invalid(format!("query: `{}` is not known here", shown(key))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
            (
                Method::DELETE,
                "/v1/volumes/db?now=true",
                Route::RemoveVolume { name: n(), now: true },
            ),
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
}
