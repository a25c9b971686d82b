//! What Docker reads: JSON always, errors as `Err` in one line.

use std::path::PathBuf;

use berth_api::{Error, Result, policy};
use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use crate::view::VolumeView;

use super::Reply;

/// The content type of the plugin protocol.
const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.2+json";

/// The longest `Err`, in characters. Some repeat what the caller sent.
const ERR_MAX: usize = 2000;

/// What a call that worked answers.
#[derive(Debug)]
pub enum Answer {
    /// Nothing but success.
    Done,
    /// What this plugin implements.
    Activated,
    /// Where a volume is.
    Mountpoint(PathBuf),
    /// One volume.
    Volume(Box<VolumeView>),
    /// All volumes, with their mountpoints.
    Volumes(Vec<(String, PathBuf)>),
    /// `local` or `global`.
    Scope(&'static str),
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Wire<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    implements: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mountpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<Volume<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volumes: Option<Vec<Listed<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
    err: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Capabilities {
    scope: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'a> {
    name: &'a str,
    mountpoint: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Volume<'a> {
    name: &'a str,
    mountpoint: &'a str,
    /// RFC 3339. An empty one makes Docker say "no such volume".
    created_at: Timestamp,
    status: Status<'a>,
}

/// What `docker volume inspect` shows as `Status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Status<'a> {
    pool: &'a str,
    backend: &'a str,
    id: String,
    size: Option<u64>,
    used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at: Option<Timestamp>,
    snapshots: u64,
    last_backup: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    policy: String,
    state: &'a str,
    host: &'a str,
    references: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> From<&'a VolumeView> for Volume<'a> {
    fn from(view: &'a VolumeView) -> Self {
        Self {
            name: &view.name,
            mountpoint: &view.mountpoint,
            created_at: view.created,
            status: Status {
                pool: &view.pool,
                backend: &view.backend,
                id: view.id.to_string(),
                size: view.size.map(|size| size.0),
                used: view.used.map(|used| used.0),
                used_at: view.used_at,
                snapshots: view.snapshots,
                last_backup: view.last_backup,
                policy: policy::join(&view.options.policy),
                state: &view.state,
                host: &view.host,
                references: view.references,
                reason: view.reason.as_deref(),
            },
        }
    }
}

/// The reply to a call.
pub fn reply(result: Result<Answer>) -> Reply {
    let mut wire = Wire::default();
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => return failure(StatusCode::OK, &error),
    };
    match &answer {
        Answer::Done => {}
        Answer::Activated => wire.implements = Some(["VolumeDriver"]),
        Answer::Mountpoint(path) => wire.mountpoint = Some(path.display().to_string()),
        Answer::Volume(view) => wire.volume = Some(view.as_ref().into()),
        Answer::Volumes(volumes) => {
            wire.volumes = Some(
                volumes
                    .iter()
                    .map(|(name, path)| Listed { name, mountpoint: path.display().to_string() })
                    .collect(),
            );
        }
        Answer::Scope(scope) => wire.capabilities = Some(Capabilities { scope }),
    }
    encode(StatusCode::OK, &wire)
}

/// The reply that says `error`.
pub fn failure(status: StatusCode, error: &Error) -> Reply {
    encode(status, &Wire { err: &line(error), ..Wire::default() })
}

fn encode(status: StatusCode, wire: &Wire<'_>) -> Reply {
    let body = serde_json::to_vec(wire).expect("strings and numbers serialise");
    Reply::new(status, CONTENT_TYPE, body)
}

/// The error, its causes and its hint in the one line that Docker shows. Never
/// empty: that would be success.
fn line(error: &Error) -> String {
    let mut text = error.chain();
    if let Some(hint) = error.hint() {
        text.push_str("; ");
        text.push_str(hint);
    }
    let line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERR_MAX).collect();
    if line.trim().is_empty() { format!("{:?} error without a text", error.kind()) } else { line }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_api::{Bytes, Options};
    use serde_json::{Value, json};

    use super::*;

    fn body(reply: &Reply) -> Value {
        serde_json::from_slice(&reply.body).expect("every answer is JSON")
    }

    fn view() -> VolumeView {
        VolumeView {
            name: "db".to_owned(),
            id: "0123456789abcdef0123456789abcdef".parse().expect("32 hex digits"),
            pool: "default".to_owned(),
            backend: "vfs".to_owned(),
            state: "ready".to_owned(),
            size: Some(Bytes(1024)),
            used: None,
            used_at: None,
            mountpoint: "/var/lib/berth/mounts/db".to_owned(),
            references: 2,
            mounted: true,
            held: Some(true),
            created: "2026-01-02T03:04:05Z".parse().expect("a time"),
            snapshots: 0,
            last_backup: None,
            last_backup_id: None,
            last_backup_repository: None,
            host: "one".to_owned(),
            capabilities: Vec::new(),
            options: Options::default(),
            given: BTreeMap::new(),
            reason: None,
            removed: None,
            expires: None,
            age: None,
        }
    }

    #[test]
    fn each_answer_has_dockers_shape() {
        let shape = |answer| body(&reply(Ok(answer)));
        assert_eq!(shape(Answer::Activated), json!({"Implements": ["VolumeDriver"], "Err": ""}));
        assert_eq!(shape(Answer::Done), json!({"Err": ""}));
        assert_eq!(
            shape(Answer::Scope("local")),
            json!({"Capabilities": {"Scope": "local"}, "Err": ""})
        );
        assert_eq!(
            shape(Answer::Mountpoint("/m/db".into())),
            json!({"Mountpoint": "/m/db", "Err": ""})
        );
        assert_eq!(
            shape(Answer::Volumes(vec![("db".to_owned(), "/m/db".into())])),
            json!({"Volumes": [{"Name": "db", "Mountpoint": "/m/db"}], "Err": ""})
        );
        assert_eq!(shape(Answer::Volumes(Vec::new())), json!({"Volumes": [], "Err": ""}));
    }

    #[test]
    fn get_says_what_inspect_shows() {
        assert_eq!(
            body(&reply(Ok(Answer::Volume(Box::new(view()))))),
            json!({"Volume": {
                "Name": "db",
                "Mountpoint": "/var/lib/berth/mounts/db",
                "CreatedAt": "2026-01-02T03:04:05Z",
                "Status": {
                    "pool": "default", "backend": "vfs", "id": "0123456789abcdef0123456789abcdef",
                    "size": 1024, "used": null, "snapshots": 0, "last-backup": null,
                    "state": "ready", "host": "one", "references": 2,
                },
            }, "Err": ""})
        );
    }

    #[test]
    fn an_error_is_one_line_with_its_causes_and_its_hint() {
        let error =
            Error::busy("volume `db` is\nmounted").context("remove `db`").with_hint("stop it");
        let reply = reply(Err(error));
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.content_type, CONTENT_TYPE);
        assert_eq!(body(&reply), json!({"Err": "remove `db`: volume `db` is mounted; stop it"}));
    }

    #[test]
    fn an_error_is_never_empty_nor_endless() {
        let text = |message: String| {
            let body = body(&failure(StatusCode::OK, &Error::internal(message)));
            body["Err"].as_str().expect("a text").to_owned()
        };
        assert_eq!(text(String::new()), "Internal error without a text");
        assert_eq!(text("\n".to_owned()), "Internal error without a text");
        assert_eq!(text("a".repeat(1 << 20)).len(), ERR_MAX);
    }
}
