//! The suite that every backend must pass.
//!
//! A backend's `tests/conformance.rs` describes its [`Stage`] and lists the
//! cases with one macro, so that each is a test of its own:
//!
//! ```text
//! berth_api::conformance!(MyStage);              // what every backend promises
//! berth_api::snapshot_conformance!(MyStage);     // pools with snapshots
//! berth_api::directory_conformance!(MyStage);    // pools that are directories
//! berth_api::limited_conformance!(MyStage);      // pools that limit volumes
//! ```
//!
//! The cases only use [`Backend`], except for those on directories, which prepare
//! what a crash, an operator or an attacker may have left in the pool. A case
//! that needs root fails without it; none is skipped.

pub mod content;
pub mod directory;
pub mod filled;
pub mod foreign;
pub mod hostile;
pub mod identity;
pub mod lifecycle;
pub mod limited;
pub mod planted;
pub mod replaced;
pub mod snapshots;
pub mod strays;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{
    Backend, Change, Error, Handle, HostId, Layout, Op, Options, PoolIdentity, Progress, Result,
    Sidecar, Source, VolumeId, VolumeSpec,
};

/// Where a backend is tried. Dropping it takes everything away.
pub trait Stage: Send + 'static {
    /// A place that was never used.
    fn fresh() -> Self;

    /// The backend on that place, as after a start of the daemon.
    fn open(&self) -> Box<dyn Backend>;

    /// Reads a file of opened content as a backup does, where that is not simply by
    /// opening it.
    ///
    /// # Errors
    /// The kernel's.
    fn read(path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }
}

/// A stage whose pool is a directory.
pub trait DirectoryStage: Stage {
    /// The pool's root. It need not exist; its parent does.
    fn path(&self) -> &Path;
}

/// Lists the cases that every backend must pass, as tests.
#[macro_export]
macro_rules! conformance {
    ($stage:ty) => {
        $crate::conformance_cases! { $stage;
            lifecycle: a_volume_lives_and_dies, repetition_changes_nothing,
                what_is_absent_is_told_so, a_plan_has_no_effect, a_restart_finds_everything,
                a_removal_moves_and_never_copies, many_volumes_at_once, the_pool_says_how_full_it_is, cancelled_calls_do_nothing;
            content: the_trash_keeps_content, a_name_used_again_shows_nothing_old,
                owner_and_mode_are_in_force, changed_options_are_in_force,
                options_are_in_force_before_they_are_described,
                what_a_container_changed_stays, describe_writes_the_sidecar;
            filled: a_volume_is_made_of_what_is_put_there, what_is_put_there_has_owner_and_mode,
                a_failed_fill_leaves_a_half, a_cancelled_fill_leaves_a_half,
                what_is_in_the_trash_is_not_filled, the_content_is_what_a_volume_holds;
            identity: a_new_place_becomes_a_pool, an_identity_stays,
                another_host_is_refused_until_it_takes_over, another_pool_is_refused,
                a_known_pool_is_never_made_anew, nothing_works_before_the_identity_is_known;
            hostile: forged_handles_are_refused, handles_of_others_are_refused;
        }
    };
}

/// Lists the cases for pools that limit volumes, as tests.
#[macro_export]
macro_rules! limited_conformance {
    ($stage:ty) => {
        $crate::conformance_cases! { $stage;
            limited: a_limit_holds, a_limit_is_of_one_volume, a_limit_changes,
                what_a_volume_takes_is_known, the_trash_keeps_the_limit,
                renames_within_a_volume_work, a_limit_holds_for_what_is_put_there,
                what_is_put_aside_does_not_count,
                replaced_content_is_counted;
        }
    };
}

/// Lists the cases for pools with snapshots, as tests.
#[macro_export]
macro_rules! snapshot_conformance {
    ($stage:ty) => {
        $crate::conformance_cases! { $stage;
            snapshots: a_snapshot_lives_and_dies, a_sweep_deletes_what_was_removed, a_snapshot_shows_its_moment,
                a_repeated_snapshot_is_the_same, quiet_volumes_are_quiesced,
                a_clone_equals_its_origin, a_clone_takes_options_of_its_own,
                a_clone_of_what_is_gone_is_refused, going_back_keeps_what_was_there,
                an_unbegun_rollback_is_undone, snapshots_go_into_the_trash_and_back,
                snapshots_of_what_is_absent, forged_snapshot_handles_are_refused,
                a_cancelled_snapshot_is_a_half;
            replaced: the_content_of_a_snapshot_stays, no_content_of_what_is_no_snapshot,
                a_replacement_keeps_what_was_there, a_replacement_has_owner_and_mode,
                a_failed_replacement_changes_nothing, nothing_is_replaced_where_nothing_is;
        }
    };
}

/// Lists the cases for pools that are directories, as tests.
#[macro_export]
macro_rules! directory_conformance {
    ($stage:ty) => {
        $crate::conformance_cases! { $stage;
            directory: only_the_last_component_is_made, a_foreign_folder_is_refused,
                a_new_file_system_is_empty, an_interrupted_beginning_goes_on,
                a_vanished_pool_is_no_absence, a_swapped_pool_is_refused,
                a_damaged_identity_is_no_new_pool, incomplete_creates_are_completed,
                incomplete_creates_are_purged, a_half_deleted_volume_does_not_come_back,
                a_damaged_sidecar_is_listed, a_sidecar_of_another_is_damage,
                folders_are_private, a_lost_folder_of_volumes_is_no_absence;
            planted: a_link_in_a_volumes_place, a_link_in_the_contents_place,
                links_in_the_content, a_mount_in_the_content, a_deep_tree,
                pipes_devices_and_sockets, a_cancelled_purge_goes_on,
                entries_that_are_no_volumes;
            strays: a_link_in_the_snapshots_place, entries_that_are_no_snapshots,
                a_half_snapshot_is_never_whole, the_description_of_another_snapshot,
                an_interrupted_rollback_goes_on, an_exchanged_rollback_is_not_undone,
                a_rollback_that_nobody_remembers, a_half_replacement_begins_anew,
                a_whole_replacement_is_not_filled_again, links_and_pipes_in_the_content;
            foreign: a_sidecar_that_is_no_file, a_sidecar_behind_a_link,
                an_identity_behind_a_link, the_content_of_another_volume, two_of_one_id,
                odd_names_and_closed_folders, a_tree_deeper_than_the_stack;
        }
    };
}

/// Makes one test of each case; not for use by itself.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($stage:ty; $($group:ident: $($case:ident),+;)+) => {
        $(mod $group {
            use super::*;
            $(#[test]
            fn $case() {
                $crate::conformance::$group::$case::<$stage>();
            })+
        })+
    };
}

/// A pool in use: the stage, its backend, and who uses it.
pub(crate) struct Pool<S> {
    pub(crate) stage: S,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) host: HostId,
    pub(crate) identity: PoolIdentity,
}

impl<S: Stage> Pool<S> {
    /// A new pool, identified.
    pub(crate) fn new() -> Self {
        let (stage, host) = (S::fresh(), HostId::random());
        let backend = stage.open();
        let identity = backend.identify(&op(), None, host).expect("a fresh place becomes a pool");
        Self { stage, backend, host, identity }
    }

    /// The same place after a restart of the daemon.
    pub(crate) fn restart(self) -> Self {
        let backend = self.stage.open();
        let expected = Some(self.identity.pool);
        let identity = backend.identify(&op(), expected, self.host).expect("the known pool");
        assert_eq!(identity, self.identity);
        Self { backend, ..self }
    }

    /// A new volume with these options.
    pub(crate) fn volume(&self, name: &str, given: &[(&str, &str)]) -> (Handle, Sidecar) {
        let (handle, sidecar) = self.planned(name, given);
        let created = settled(|| self.backend.create(&op(), &handle, &sidecar));
        assert_eq!(created.expect("created"), Change::Done);
        (handle, sidecar)
    }

    /// A volume that was only planned.
    pub(crate) fn planned(&self, name: &str, given: &[(&str, &str)]) -> (Handle, Sidecar) {
        let sidecar = sidecar(name, given);
        let handle = self.backend.plan(&op(), &sidecar.spec).expect("planned");
        (handle, sidecar)
    }

    /// The volume's content, as a path that goes with `Attached`.
    pub(crate) fn attach(&self, handle: &Handle) -> Attached {
        let source =
            settled(|| self.backend.attach(&op(), handle, &Options::default())).expect("attached");
        let Source::Directory { directory, .. } = source;
        Attached(File::from(directory))
    }

    /// What the listing says of the volume `id`.
    pub(crate) fn listed(&self, id: VolumeId) -> Option<crate::Found> {
        let found = self.backend.list(&op()).expect("listed");
        let mut of_id = found.into_iter().filter(|found| found.entry == id.to_string());
        let first = of_id.next();
        assert!(of_id.next().is_none(), "{id} is listed twice");
        first
    }
}

/// The open directory of an attached volume.
pub(crate) struct Attached(File);

impl Attached {
    /// A path to an entry of it, without mounting.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd())).join(name)
    }

    /// Owner, group and mode of its top.
    pub(crate) fn access(&self) -> (u32, u32, u32) {
        let metadata = self.0.metadata().expect("an open directory");
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
    }
}

/// An operation with time enough.
pub(crate) fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

/// The description of a new volume.
pub(crate) fn sidecar(name: &str, given: &[(&str, &str)]) -> Sidecar {
    let given: BTreeMap<_, _> =
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Sidecar {
        spec: VolumeSpec {
            id: VolumeId::random(),
            name: name.parse().expect("a valid name"),
            created: Timestamp::UNIX_EPOCH,
            options: Options::parse(&given).expect("valid options"),
            given,
        },
        layout: Layout::Subdirectory,
    }
}

/// Repeats a call while it waits for a state of the world.
pub(crate) fn settled<T>(mut call: impl FnMut() -> Result<Progress<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match call()? {
            Progress::Ready(value) => return Ok(value),
            Progress::Pending { after, because } => {
                assert!(Instant::now() < deadline, "still waiting: {because}");
                std::thread::sleep(after.min(Duration::from_millis(50)));
            }
        }
    }
}

/// The error of a call that must be refused.
pub(crate) fn refused<T>(result: Result<T>, why: &str) -> Error {
    match result {
        Ok(_) => panic!("{why}: this must be refused"),
        Err(error) => error,
    }
}

/// A directory outside the pool that must stay as it is.
pub(crate) struct Sentinel(tempfile::TempDir);

impl Sentinel {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("below")).expect("made");
        fs::write(directory.path().join("below/precious"), "content").expect("written");
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn check(&self) {
        let content = fs::read(self.path().join("below/precious"));
        assert_eq!(content.expect("the sentinel is there"), b"content");
        let entries = |path: &Path| fs::read_dir(path).expect("readable").count();
        assert_eq!((entries(self.path()), entries(&self.path().join("below"))), (1, 1));
    }
}
