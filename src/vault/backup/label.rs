//! The tags of a snapshot, from which listings are made: `restic tag` and
//! `restic copy` keep tags, and drop fields that they do not know.

use berth_api::{Consistency, PolicyName, SnapshotId, SnapshotName, VolumeId, VolumeName};

/// The tag that every backup of Berth has.
const MARK: &str = "berth";

/// What listings show of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The volume's name when it was backed up.
    pub volume: VolumeName,
    /// The volume.
    pub volume_id: VolumeId,
    /// The snapshot's name; none for one that was taken for the backup only.
    pub snapshot: Option<SnapshotName>,
    /// The snapshot, if there was one. The base of changed blocks.
    pub snapshot_id: Option<SnapshotId>,
    /// What can be said of the moment it shows.
    pub consistency: Consistency,
    /// How much was read.
    pub mode: Mode,
    /// Bytes that were read from the source.
    pub bytes_read: u64,
    /// The host's name.
    pub host: String,
    /// The host's id, for good.
    pub host_id: String,
    /// The pool it was in.
    pub pool: String,
    /// The policy that it was made for, and that may forget it again.
    pub policy: Option<PolicyName>,
}

/// How much of the source was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    Full,
    /// Files that changed since the parent.
    Incremental,
    /// Blocks that changed since the parent.
    ChangedBlocks,
}

impl Mode {
    /// As users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::ChangedBlocks => "changed-blocks",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Incremental, Self::ChangedBlocks]
            .into_iter()
            .find(|mode| mode.as_str() == text)
    }
}

impl Label {
    /// The tags of its snapshot.
    pub fn to_tags(&self) -> Vec<String> {
        let mut tags = vec![
            MARK.to_owned(),
            format!("volume={}", self.volume),
            format!("volume-id={}", self.volume_id),
            format!("consistency={}", self.consistency.as_str()),
            format!("mode={}", self.mode.as_str()),
            format!("bytes-read={}", self.bytes_read),
            format!("host-id={}", self.host_id),
            format!("pool={}", self.pool),
        ];
        tags.extend(self.snapshot.as_ref().map(|name| format!("snapshot={name}")));
        tags.extend(self.policy.as_ref().map(|name| format!("policy={name}")));
        tags.extend(self.snapshot_id.map(|id| format!("snapshot-id={id}")));
        tags
    }

    /// Reads tags back; everything in them is checked. `None` for a snapshot that
    /// Berth did not make.
    pub fn from_tags(tags: &[String], host: &str) -> Option<Self> {
        let value =
            |key: &str| tags.iter().find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='));
        if !tags.iter().any(|tag| tag == MARK) {
            return None;
        }
        let consistency =
            [Consistency::Quiesced, Consistency::Atomic, Consistency::PerFile, Consistency::Live];
        let said = value("consistency").unwrap_or_default();
        Some(Self {
            volume: value("volume")?.parse().ok()?,
            volume_id: value("volume-id")?.parse().ok()?,
            snapshot: value("snapshot").and_then(|name| name.parse().ok()),
            snapshot_id: value("snapshot-id").and_then(|id| id.parse().ok()),
            consistency: consistency
                .into_iter()
                .find(|level| level.as_str() == said)
                .unwrap_or(Consistency::Live),
            mode: value("mode").and_then(Mode::parse).unwrap_or(Mode::Full),
            bytes_read: value("bytes-read").and_then(|text| text.parse().ok()).unwrap_or(0),
            host: host.to_owned(),
            host_id: value("host-id").unwrap_or_default().to_owned(),
            pool: value("pool").unwrap_or_default().to_owned(),
            policy: policy(tags),
        })
    }
}

/// The policy that is named. A backup with several, which only somebody else's tools
/// can have given it, is no policy's: it would be forgotten by the rules of one.
fn policy(tags: &[String]) -> Option<PolicyName> {
    let mut named = tags.iter().filter_map(|tag| tag.strip_prefix("policy="));
    let name = named.next()?.parse().ok()?;
    named.next().is_none().then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_tags() {
        let label = Label {
            volume: "db".parse().expect("a valid name"),
            volume_id: VolumeId::random(),
            snapshot: Some("nightly".parse().expect("a valid name")),
            snapshot_id: Some(SnapshotId::random()),
            consistency: Consistency::PerFile,
            mode: Mode::Incremental,
            bytes_read: 42,
            host: "alpha".to_owned(),
            host_id: "0123".to_owned(),
            pool: "default".to_owned(),
            policy: Some("a".parse().expect("a valid name")),
        };
        assert_eq!(Label::from_tags(&label.to_tags(), "alpha"), Some(label.clone()));
        let hand = Label { policy: None, ..label.clone() };
        assert_eq!(Label::from_tags(&hand.to_tags(), "alpha"), Some(hand.clone()));
        for more in [&["policy=a", "policy=ab"][..], &["policy=a b"], &["policy="], &["policyx=a"]]
        {
            let mut tags = hand.to_tags();
            tags.extend(more.iter().map(ToString::to_string));
            assert_eq!(Label::from_tags(&tags, "alpha"), Some(hand.clone()), "{more:?}");
        }
        let strange = ["berth".to_owned(), "volume=../x".to_owned()];
        assert_eq!(Label::from_tags(&strange, "alpha"), None, "names are checked again");
        assert_eq!(Label::from_tags(&label.to_tags()[1..], "alpha"), None, "not of Berth");
    }
}
