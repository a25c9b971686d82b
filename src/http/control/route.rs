//! Method, path and query → what is asked. Pure.
//!
//! Names in paths are percent-encoded, one segment each; they are decoded here
//! and validated by the engine.

use berth_api::{Error, Result};
use hyper::Method;
use percent_encoding::percent_decode_str;

use super::{
    policy::{self, Policy},
    vault::{self, Vault},
};

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
    /// What is asked of repositories and backups.
    Vault(Vault),
    /// What is asked of policies.
    Policy(Policy),
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
    if let ["v1", rest @ ..] = segments.as_slice() {
        match vault::route(method, rest, &mut query) {
            Ok(None) => {}
            Ok(Some(route)) => {
                query.end().map_err(Refusal::Malformed)?;
                return Ok(Route::Vault(route));
            }
            Err(methods) => return allow(methods),
        }
        match policy::route(method, rest) {
            Ok(None) => {}
            Ok(Some(route)) => {
                query.end().map_err(Refusal::Malformed)?;
                return Ok(Route::Policy(route));
            }
            Err(methods) => return allow(methods),
        }
    }
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
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<&str>) -> Result<Self> {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            decoded(key).zip(decoded(value)).ok_or_else(|| Error::invalid("query is not UTF-8"))
        });
        pairs.collect::<Result<_>>().map(Self)
    }

    pub(super) fn take(&mut self, key: &str) -> Option<String> {
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
mod tests;
