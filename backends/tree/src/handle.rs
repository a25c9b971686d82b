//! The names of volumes and snapshots in this backend:
//! `{"id": "<32 hex digits>"}` and `{"snapshot": "<32 hex digits>"}`.
//!
//! Nothing but an id ever becomes a path: a handle that was forged or damaged
//! is refused here.

use berth_api::{Error, Handle, Result, SnapshotId, VolumeId};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Volume {
    id: VolumeId,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    snapshot: SnapshotId,
}

/// The handle of the snapshot `id`.
pub(crate) fn of_snapshot(id: SnapshotId) -> Handle {
    Handle(serde_json::to_value(Snapshot { snapshot: id }).expect("an id is a JSON string"))
}

/// A handle for an entry that may be no snapshot; if so, every call refuses it.
pub(crate) fn of_snapshot_entry(name: &str) -> Handle {
    Handle(serde_json::json!({ "snapshot": name }))
}

/// The id of the snapshot in `handle`.
///
/// # Errors
/// `Corrupt` if it is not what this backend makes.
pub(crate) fn snapshot_id(handle: &Handle) -> Result<SnapshotId> {
    serde_json::from_value(handle.0.clone())
        .map(|Snapshot { snapshot }| snapshot)
        .map_err(|source| Error::corrupt("not a handle of a snapshot").with_source(source))
}

/// The handle of the volume `id`.
pub(crate) fn of(id: VolumeId) -> Handle {
    Handle(serde_json::to_value(Volume { id }).expect("an id is a JSON string"))
}

/// A handle for an entry that may be no volume; if so, every call refuses it.
pub(crate) fn of_entry(name: &str) -> Handle {
    Handle(serde_json::json!({ "id": name }))
}

/// The id in `handle`.
///
/// # Errors
/// `Corrupt` if it is not what this backend makes.
pub(crate) fn id(handle: &Handle) -> Result<VolumeId> {
    serde_json::from_value(handle.0.clone())
        .map(|Volume { id }| id)
        .map_err(|source| Error::corrupt("not a handle of a directory volume").with_source(source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_is_a_handle() {
        let good = VolumeId::random();
        assert_eq!(id(&of(good)).expect("own handle"), good);
        assert_eq!(id(&of_entry(&good.to_string())).expect("an id"), good);
        let forged = [
            "null",
            "{}",
            r#"{"id":""}"#,
            r#"{"id":"../../etc"}"#,
            r#"{"id":"../../../../../../../../../etc/pas"}"#,
            r#"{"id":7}"#,
            r#"{"id":"00000000000000000000000000000000","path":"/etc"}"#,
            r#""00000000000000000000000000000000""#,
        ];
        for text in forged {
            let handle = Handle(serde_json::from_str(text).expect("JSON"));
            assert!(id(&handle).is_err(), "{text}");
        }
    }
}
