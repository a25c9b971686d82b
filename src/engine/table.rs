//! The table of recovery: a record's state × what is really there → what to do.
//!
//! Pure, exhaustive, and tested for every pair. It is only asked with evidence:
//! a pool that is away has no row here, and its records stay as they are.

use berth_api::Observed;

use crate::catalog::{Record, State};

/// What recovery does with one volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// As it should be.
    Keep,
    /// The effect is complete: once synced, the outcome is `ready`.
    Settle,
    /// Accepted, not complete: goes on as a job.
    Create,
    /// Not accepted, not complete: leaves no trace.
    Undo,
    /// Nothing is left of it: the record goes.
    Forget,
    /// Out of the trash again, then the options.
    Restore,
    /// Options and sidecar may be those of before.
    Describe,
    /// Into the trash.
    Remove,
    /// In the trash: once synced, the outcome is `removed`.
    MarkRemoved,
    /// Deleting goes on.
    Purge,
    /// The data is not there though nobody removed it.
    Missing,
}

/// Decides.
#[expect(clippy::match_same_arms, reason = "read as a table, state by state")]
pub(super) fn decide(record: &Record, observed: Observed) -> Action {
    use Action as A;
    use Observed as O;
    match (&record.state, observed) {
        // Not accepted, and nothing or a half of it is there.
        (State::Creating { accepted: false }, O::Absent) => A::Forget,
        (State::Creating { accepted: false }, O::Incomplete | O::Trashed) => A::Undo,
        // A complete effect is durable, and may have been answered.
        (State::Creating { .. }, O::Present { .. }) => A::Settle,
        (State::Creating { accepted: true }, O::Absent | O::Incomplete) => A::Create,
        // Nobody trashes what is being created; the record wins.
        (State::Creating { accepted: true } | State::Ready, O::Trashed) => A::Restore,

        (State::Ready, O::Present { .. }) if record.unsettled => A::Describe,
        (State::Ready, O::Present { .. }) => A::Keep,
        // The record wins over a damaged sidecar; `describe` finds out whether the
        // content is there.
        (State::Ready, O::Incomplete) => A::Describe,
        (State::Ready, O::Absent) => A::Missing,

        (State::Removing { .. }, O::Absent) => A::Forget,
        (State::Removing { .. }, O::Present { .. } | O::Incomplete) => A::Remove,
        (State::Removing { .. }, O::Trashed) => A::MarkRemoved,

        (State::Removed { .. }, O::Absent) => A::Forget,
        (State::Removed { purging: true, .. }, _) => A::Purge,
        (State::Removed { purging: false, .. }, O::Present { .. }) => A::Remove,
        // Incomplete though no purge began: damage, which is no reason to delete
        // content before its time.
        (State::Removed { purging: false, .. }, O::Trashed | O::Incomplete) => A::Keep,

        // Only Remove and `pool rebuild` end this state.
        (State::Faulty { .. }, _) => A::Keep,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use berth_api::{Handle, Layout, Options, Sidecar, VolumeId, VolumeSpec};
    use jiff::Timestamp;

    use super::*;
    use crate::catalog::Place;

    fn record(state: State, unsettled: bool) -> Record {
        let spec = VolumeSpec {
            id: VolumeId::random(),
            name: "db".parse().expect("a valid name"),
            created: Timestamp::UNIX_EPOCH,
            given: BTreeMap::new(),
            options: Options::default(),
        };
        let sidecar = Sidecar { spec, layout: Layout::Subdirectory };
        let place = Place { pool: "default", pool_id: None, backend: "vfs" };
        let handle = Handle(serde_json::Value::Null);
        Record { unsettled, ..Record::of(sidecar, place, handle, state) }
    }

    /// Every state × absent, incomplete, present, trashed.
    #[test]
    fn the_whole_table() {
        use Action as A;
        let at = Timestamp::UNIX_EPOCH;
        let removed = |purging| State::Removed { at, expires: None, purging };
        let faulty = State::Faulty { during: "create".to_owned(), error: "e".to_owned() };
        let rows = [
            (State::Creating { accepted: false }, false, [A::Forget, A::Undo, A::Settle, A::Undo]),
            (
                State::Creating { accepted: true },
                false,
                [A::Create, A::Create, A::Settle, A::Restore],
            ),
            (State::Ready, false, [A::Missing, A::Describe, A::Keep, A::Restore]),
            (State::Ready, true, [A::Missing, A::Describe, A::Describe, A::Restore]),
            (
                State::Removing { at, expires: None },
                false,
                [A::Forget, A::Remove, A::Remove, A::MarkRemoved],
            ),
            (removed(false), false, [A::Forget, A::Keep, A::Remove, A::Keep]),
            (removed(true), false, [A::Forget, A::Purge, A::Purge, A::Purge]),
            (faulty, false, [A::Keep, A::Keep, A::Keep, A::Keep]),
        ];
        let seen = [
            Observed::Absent,
            Observed::Incomplete,
            Observed::Present { empty: false },
            Observed::Trashed,
        ];
        for (state, unsettled, actions) in rows {
            let record = record(state, unsettled);
            for (observed, action) in seen.iter().zip(actions) {
                assert_eq!(decide(&record, *observed), action, "{:?} × {observed:?}", record.state);
            }
        }
    }

    /// No answer that was given is taken back, and nothing that may be in use
    /// is deleted.
    #[test]
    fn what_was_answered_survives() {
        for observed in [Observed::Present { empty: true }, Observed::Present { empty: false }] {
            for state in [State::Creating { accepted: true }, State::Ready] {
                let action = decide(&record(state, false), observed);
                assert!(matches!(action, Action::Keep | Action::Settle), "{action:?}");
            }
        }
    }
}
