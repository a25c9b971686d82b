//! What the catalog knows of one volume.
//!
//! ```text
//!            create                 remove               outcome            expiry
//! (nothing) ───────▶ creating ─┐ ┌─────────▶ removing ────────────▶ removed ───────▶ (gone)
//!                       │      ▼ │                                     │
//!                       │     ready ◀──────────────────────────────────┘
//!                       ▼                        undelete
//!                     faulty ───▶ removing
//! ```
//! `unavailable` is derived from the pool and never stored.

use std::collections::BTreeMap;

use berth_api::{
    Handle, Layout, Options, PoolId, Sidecar, SnapshotId, SnapshotSidecar, VolumeId, VolumeName,
    VolumeSpec,
};
use berth_vault::Id;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The record of one volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The id it has for good.
    pub id: VolumeId,
    /// The name it is found by while it is live.
    pub name: VolumeName,
    /// Its pool, by the name in the configuration.
    pub pool: String,
    /// The identity of that pool, once known.
    pub pool_id: Option<PoolId>,
    /// The technology of that pool.
    pub backend: String,
    /// How the backend finds it.
    pub handle: Handle,
    /// Where its content lies.
    pub layout: Layout,
    /// When it was accepted.
    pub created: Timestamp,
    /// The options it was created with, normalised.
    pub given: BTreeMap<String, String>,
    /// The options in force.
    pub options: Options,
    /// Where it is in its life.
    pub state: State,
    /// An intent of `undelete` or `set` whose effect may not be there yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsettled: bool,
    /// Its snapshots, in the order they were taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
    /// What its content is made from; only while it is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<MadeFrom>,
    /// An intent to go back to a snapshot whose effect may not be there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
}

/// What the catalog knows of one snapshot. It is part of its volume's record, so
/// that both change in one step and go into the trash together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// What the sidecar beside its data says.
    #[serde(flatten)]
    pub sidecar: SnapshotSidecar,
    /// How the backend finds it.
    pub handle: Handle,
    /// Where it is in its life.
    pub state: SnapshotState,
}

/// Where a snapshot is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotState {
    /// Being taken; nobody sees it.
    Creating,
    /// There.
    Ready,
    /// Being taken for a backup, or there for it; nobody sees it, and it goes with
    /// the backup.
    Temporary,
    /// Being deleted; nobody sees it.
    Removing,
}

/// What a volume's content is made from. Records of before backups have an [`Origin`]
/// as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MadeFrom {
    /// It is a clone.
    Volume(Origin),
    /// It is restored.
    Backup(BackupOrigin),
}

/// What a volume is restored from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BackupOrigin {
    /// The repository, by the name in the configuration.
    pub repository: String,
    /// The backup's full id.
    pub backup: Id,
    /// Length of the content, in bytes.
    pub size: u64,
}

/// What a volume is a clone of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// The volume.
    pub volume: VolumeId,
    /// Its snapshot; its live content without.
    pub snapshot: Option<SnapshotId>,
}

/// An intent to put other content in the place of the present one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rollback {
    /// That of this snapshot; that of a backup without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<SnapshotId>,
    /// What the present content becomes.
    pub kept: Snapshot,
}

/// The pool that a record is of.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its name in the configuration.
    pub pool: &'a str,
    /// Its identity, once known.
    pub pool_id: Option<PoolId>,
    /// Its technology.
    pub backend: &'a str,
}

/// Where a volume is in its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", tag = "is")]
pub enum State {
    /// Being made.
    Creating {
        /// Success was or may have been answered: recovery goes forward only.
        accepted: bool,
    },
    /// There.
    Ready,
    /// On its way into the trash.
    Removing {
        /// When Remove was answered.
        at: Timestamp,
        /// When it may be deleted for good; never, if absent.
        expires: Option<Timestamp>,
    },
    /// In the trash.
    Removed {
        /// When Remove was answered.
        at: Timestamp,
        /// When it may be deleted for good; never, if absent.
        expires: Option<Timestamp>,
        /// Deleting has begun: it cannot come back.
        purging: bool,
    },
    /// Something failed for good; Remove clears it.
    Faulty {
        /// What was being done.
        during: String,
        /// What went wrong.
        error: String,
    },
}

impl State {
    /// Whether the name belongs to this volume.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Creating { accepted: true } | Self::Ready | Self::Faulty { .. })
    }

    /// Whether the volume is in the trash or on its way there.
    pub fn is_removed(&self) -> bool {
        matches!(self, Self::Removing { .. } | Self::Removed { .. })
    }

    /// Whether the volume is in the trash (or on its way there) and its time is
    /// not over: what is deleted at once is not.
    pub fn can_come_back(&self) -> bool {
        match self {
            Self::Removing { expires, .. } | Self::Removed { expires, purging: false, .. } => {
                expires.is_none_or(|expires| expires > Timestamp::now())
            }
            _ => false,
        }
    }

    /// As users see it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Creating { .. } => "creating",
            Self::Ready => "ready",
            Self::Removing { .. } => "removing",
            Self::Removed { .. } => "removed",
            Self::Faulty { .. } => "faulty",
        }
    }
}

impl Record {
    /// The record of a volume that describes itself by `sidecar`.
    pub fn of(sidecar: Sidecar, place: Place<'_>, handle: Handle, state: State) -> Self {
        let Sidecar { spec, layout } = sidecar;
        Self {
            id: spec.id,
            name: spec.name,
            pool: place.pool.to_owned(),
            pool_id: place.pool_id,
            backend: place.backend.to_owned(),
            handle,
            layout,
            created: spec.created,
            given: spec.given,
            options: spec.options,
            state,
            unsettled: false,
            snapshots: Vec::new(),
            origin: None,
            rollback: None,
        }
    }

    /// Whether a rollback or something with a snapshot was begun and not ended.
    pub fn is_half_done(&self) -> bool {
        self.rollback.is_some()
            || self.snapshots.iter().any(|entry| entry.state != SnapshotState::Ready)
    }

    /// What the sidecar beside the data has to say.
    pub fn sidecar(&self) -> Sidecar {
        Sidecar {
            spec: VolumeSpec {
                id: self.id,
                name: self.name.clone(),
                created: self.created,
                given: self.given.clone(),
                options: self.options.clone(),
            },
            layout: self.layout,
        }
    }
}

#[cfg(test)]
mod tests {
    use berth_vault::Id;

    use super::{BackupOrigin, MadeFrom, Origin, State};

    #[test]
    fn states_survive_json() {
        let at = "2026-01-02T03:04:05Z".parse().expect("a valid time");
        let states = [
            State::Creating { accepted: true },
            State::Ready,
            State::Removing { at, expires: None },
            State::Removed { at, expires: Some(at), purging: true },
            State::Faulty { during: "create".to_owned(), error: "no space".to_owned() },
        ];
        for state in states {
            let text = serde_json::to_string(&state).expect("serialises");
            assert_eq!(serde_json::from_str::<State>(&text).expect("parses"), state);
        }
    }

    #[test]
    fn an_origin_of_before_backups_is_read() {
        let id = berth_api::VolumeId::random();
        let old = serde_json::json!({"volume": id, "snapshot": null});
        let clone = MadeFrom::Volume(Origin { volume: id, snapshot: None });
        assert_eq!(serde_json::from_value::<MadeFrom>(old).expect("parses"), clone);
        let restore = MadeFrom::Backup(BackupOrigin {
            repository: "default".to_owned(),
            backup: Id::of(b"x"),
            size: 7,
        });
        for origin in [clone, restore] {
            let text = serde_json::to_string(&origin).expect("serialises");
            assert_eq!(serde_json::from_str::<MadeFrom>(&text).expect("parses"), origin);
        }
    }
}
