//! Points in time of a volume, in the same pool: ids, names, self-description,
//! and the accessor of backends that have them.
//!
//! ```text
//! create:    planned ─▶ content ─▶ snapshot.json          (whole, or not at all)
//! remove:    out of the volume ─▶ purge
//! clone:     a snapshot or a live volume ─▶ a new volume
//! roll back: a copy of the snapshot takes the place of the content, which itself
//!            becomes a snapshot: nothing is lost by going back
//! replace:   the same, with content that comes from elsewhere
//! ```

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Change, Error, Estimate, Fill, Handle, Method, Observed, Op, PolicyName, Progress, Result,
    Sidecar, VolumeId, VolumeName, checksum,
    volume::{check_name, random_id},
};

random_id! {
    /// What a snapshot is, for good.
    SnapshotId, "snapshot"
}

/// The key a snapshot is found by in its volume:
/// `[A-Za-z0-9][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName(String);

impl SnapshotName {
    /// The name as text; safe as one path component.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        check_name("snapshot", text, VolumeName::MAX).map(|()| Self(text.to_owned()))
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What can be said of the moment a snapshot shows, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Nobody wrote meanwhile: it was not in use, or a hook brought it to rest.
    Quiesced,
    /// One moment for the whole volume, as a power cut would have left it.
    Atomic,
    /// One moment for each file, not the same for all.
    PerFile,
    /// Files may have changed while they were read.
    Live,
}

impl Method {
    /// What can be said of a result whose origin was in use meanwhile.
    pub fn consistency(self) -> Consistency {
        match self {
            Self::Instant => Consistency::Atomic,
            Self::Reflink => Consistency::PerFile,
            Self::Copy => Consistency::Live,
        }
    }
}

impl Consistency {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quiesced => "quiesced",
            Self::Atomic => "atomic",
            Self::PerFile => "per-file",
            Self::Live => "live",
        }
    }
}

/// What a clone is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The volume.
    pub volume: &'a Handle,
    /// Its snapshot; the live content without.
    pub snapshot: Option<&'a Handle>,
}

/// What a snapshot says of itself, beside its data (`snapshot.json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotSidecar {
    /// Its id.
    pub id: SnapshotId,
    /// Its volume.
    pub volume: VolumeId,
    /// Its name in that volume.
    pub name: SnapshotName,
    /// When it was taken.
    pub created: Timestamp,
    /// What can be said of that moment.
    pub consistency: Consistency,
    /// The policy that it was taken for, and that may remove it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
}

/// The file: the description as one JSON text, and the seal over that text.
#[derive(Serialize, Deserialize)]
struct Sealed {
    snapshot: serde_json::Value,
    checksum: String,
}

impl SnapshotSidecar {
    /// The largest file that is read back, in bytes; more is damage.
    pub const MAX: u64 = 16 << 10;

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let snapshot = serde_json::to_value(self).expect("a description is plain JSON");
        let checksum = checksum::seal(&[snapshot.to_string().as_bytes()]);
        let mut bytes = serde_json::to_vec_pretty(&Sealed { snapshot, checksum })
            .expect("a JSON value serialises");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file's bytes back; [`Corrupt`](crate::ErrorKind::Corrupt) if
    /// they are torn, altered or not valid.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |why: &str| Error::corrupt(format!("`snapshot.json` {why}"));
        let sealed: Sealed = serde_json::from_slice(bytes)
            .map_err(|source| damaged("is not readable").with_source(source))?;
        if checksum::seal(&[sealed.snapshot.to_string().as_bytes()]) != sealed.checksum {
            return Err(damaged("does not match its checksum"));
        }
        serde_json::from_value(sealed.snapshot)
            .map_err(|source| damaged("has a wrong field").with_source(source))
    }
}

/// One entry of [`Snapshots::list`].
#[derive(Debug)]
pub struct FoundSnapshot {
    /// The handle by which all calls reach it.
    pub handle: Handle,
    /// Its name in the pool, for messages where the sidecar is damaged.
    pub entry: String,
    /// What it says of itself: `NotFound` if it is unfinished, `Corrupt` if that
    /// cannot be read.
    pub sidecar: Result<SnapshotSidecar>,
}

/// Pools with snapshots, clones and rollback. The rules of
/// [`Backend`](crate::Backend) hold: calls may be repeated after a crash with the
/// same handles, and what answers [`Progress::Ready`] is on stable storage.
///
/// Calls on one volume may run beside each other and beside containers that
/// write; only [`roll_back`](Self::roll_back) and [`replace`](Self::replace) need the
/// volume to themselves.
pub trait Snapshots: Send + Sync {
    /// Whether any can be made, by what is known of the place; does not block.
    ///
    /// # Errors
    /// `Unsupported` with the reason.
    fn possible(&self) -> Result<()> {
        Ok(())
    }

    /// What copying `origin` would take now. `measure` says whether the space of
    /// a [`Method::Copy`] is counted, which walks the tree.
    ///
    /// # Errors
    /// `NotFound` if the origin is not there; `Unavailable`.
    fn estimate(&self, op: &Op, origin: Origin<'_>, measure: bool) -> Result<Estimate>;

    /// Chooses what identifies the snapshot `id` of `volume` here. No effects.
    ///
    /// # Errors
    /// `Unsupported` for what this pool cannot do; `Unavailable`.
    fn plan(&self, op: &Op, volume: &Handle, id: SnapshotId) -> Result<Handle>;

    /// Takes the snapshot: content first, sidecar last, and answers with what it
    /// says of itself. Its consistency is the method's, or
    /// [`Consistency::Quiesced`] if `quiet` says, once the content is complete,
    /// that nobody can have written since the call began.
    ///
    /// # Errors
    /// Leaves at most what [`inspect`](Self::inspect) calls
    /// [`Observed::Incomplete`]. `Exhausted` if it does not fit; `Conflict` if
    /// cancelled.
    fn create(
        &self,
        op: &Op,
        volume: &Handle,
        snapshot: &Handle,
        sidecar: &SnapshotSidecar,
        quiet: &dyn Fn() -> bool,
    ) -> Result<Progress<SnapshotSidecar>>;

    /// Takes a snapshot, whole or unfinished, out of the volume at once; what is
    /// left of it waits for [`purge`](Self::purge). Absent is `Already`.
    ///
    /// # Errors
    /// `Unavailable`.
    fn remove(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Progress<Change>>;

    /// Deletes a removed snapshot for good. Absent is `Already`.
    ///
    /// # Errors
    /// `Conflict` if cancelled in the middle; a repetition goes on.
    fn purge(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Progress<Change>>;

    /// Deletes what was removed and waits for [`purge`](Self::purge), of all
    /// volumes: for a host that lost its records.
    ///
    /// # Errors
    /// As [`purge`](Self::purge).
    fn sweep(&self, op: &Op) -> Result<()>;

    /// What is really there: never [`Observed::Present`] for a half.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be told.
    fn inspect(&self, op: &Op, volume: &Handle, snapshot: &Handle) -> Result<Observed>;

    /// All snapshots of a volume, live or in the trash, unfinished ones included.
    ///
    /// # Errors
    /// `Unavailable` unless the listing is complete.
    fn list(&self, op: &Op, volume: &Handle) -> Result<Vec<FoundSnapshot>>;

    /// [`Backend::create`](crate::Backend::create) with the content of `origin`.
    ///
    /// # Errors
    /// As that; `NotFound` if the origin is not there.
    fn clone_into(
        &self,
        op: &Op,
        origin: Origin<'_>,
        volume: &Handle,
        sidecar: &Sidecar,
    ) -> Result<Progress<Change>>;

    /// Puts a copy of `snapshot` in the place of the volume's content, which
    /// becomes the snapshot `kept` with the description `sidecar`. The volume is
    /// not in use.
    ///
    /// # Errors
    /// `Exhausted` if a copy does not fit; nothing has changed then, once
    /// [`undo_roll_back`](Self::undo_roll_back) was called.
    fn roll_back(
        &self,
        op: &Op,
        volume: &Handle,
        snapshot: &Handle,
        kept: &Handle,
        sidecar: &SnapshotSidecar,
    ) -> Result<Progress<Change>>;

    /// [`roll_back`](Self::roll_back) with the content that `fill` makes, owner and
    /// mode of its top included. `fill` is not called again once it is whole.
    ///
    /// # Errors
    /// As that, and those of `fill`.
    fn replace(
        &self,
        op: &Op,
        volume: &Handle,
        kept: &Handle,
        sidecar: &SnapshotSidecar,
        fill: Fill<'_>,
    ) -> Result<Progress<Change>>;

    /// Takes an unfinished [`roll_back`](Self::roll_back) or
    /// [`replace`](Self::replace) back. `false` where the
    /// content had been exchanged already: it must then be repeated to its end. What
    /// was copied may be left as the removed snapshot `kept`, to be purged.
    ///
    /// # Errors
    /// `Unavailable`.
    fn undo_roll_back(&self, op: &Op, volume: &Handle, kept: &Handle) -> Result<bool>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_torn_or_altered_description_is_noticed() {
        let sidecar = SnapshotSidecar {
            id: SnapshotId::random(),
            volume: VolumeId::random(),
            name: "before-upgrade".parse().expect("a valid name"),
            created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
            consistency: Consistency::PerFile,
            policy: Some("nightly".parse().expect("a valid name")),
        };
        let bytes = sidecar.to_bytes();
        assert_eq!(SnapshotSidecar::from_bytes(&bytes).expect("own bytes"), sidecar);
        for length in 0..bytes.len() - 2 {
            assert!(SnapshotSidecar::from_bytes(&bytes[..length]).is_err(), "torn at {length}");
        }
        let text = String::from_utf8(bytes).expect("JSON is UTF-8");
        assert!(
            SnapshotSidecar::from_bytes(text.replace("per-file", "atomic").as_bytes()).is_err()
        );
    }

    #[test]
    fn a_description_of_before_policies_is_read_and_sealed_as_it_was() {
        let old = r#"{"snapshot":{"id":"0123456789abcdef0123456789abcdef",
            "volume":"00000000000000000000000000000001","name":"monday",
            "created":"2026-01-02T03:04:05Z","consistency":"atomic"},
            "checksum":"CHECKSUM"}"#;
        let sealed: serde_json::Value = serde_json::from_str(old).expect("JSON");
        let checksum = checksum::seal(&[sealed["snapshot"].to_string().as_bytes()]);
        let old = old.replace("CHECKSUM", &checksum);
        let sidecar = SnapshotSidecar::from_bytes(old.as_bytes()).expect("readable");
        assert_eq!(sidecar.policy, None);
        let again: serde_json::Value = serde_json::from_slice(&sidecar.to_bytes()).expect("JSON");
        assert_eq!(again["checksum"], checksum, "what says nothing of policies says it as before");
    }

    #[test]
    fn names_follow_the_rule_of_volumes() {
        for name in ["", ".", "../x", "a@b", "a/b", "-x"] {
            let error = name.parse::<SnapshotName>().expect_err(name);
            assert!(error.to_string().starts_with("snapshot name"), "{error}");
        }
        assert!("2026-11-26T10.00".parse::<SnapshotName>().is_ok());
    }
}
