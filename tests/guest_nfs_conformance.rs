//! The suite that every backend must pass, on exports of a real NFS server: all but
//! the cases in which a second host is refused, or the pool's folder is moved away,
//! which no client can see.
//!
//! By the newest version, or the one that `BERTH_NFS_VERSION` names (4.1, 4.0, 3).
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

mod support;

use std::{
    env,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use berth_api::{
    Backend,
    conformance::{DirectoryStage, Stage},
};
use berth_nfs::{Export, Share, Version};
use nix::fcntl::OFlag;
use support::nfs::{Server, Setup};
use tempfile::TempDir;

/// One server for all. A host ends with the thread that started it, so this one has a
/// thread that never ends.
static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let stage = support::stage::Stage::new("nfs-conformance");
        let setup = Setup::new().megabytes(2048);
        let setup = if version() == Some(Version::V3) { setup.version_3() } else { setup };
        let started = sender.send(setup.start(&stage));
        started.expect("somebody waits for it");
        loop {
            thread::park();
        }
    });
    receiver.recv().expect("the server started")
});

fn version() -> Option<Version> {
    env::var("BERTH_NFS_VERSION").ok().map(|text| text.parse().expect("a version of NFS"))
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// An export of its own, mounted below a folder of its own.
struct Exported {
    place: TempDir,
    /// The pool as the server has it.
    pool: PathBuf,
    export: Export,
}

impl Stage for Exported {
    fn fresh() -> Self {
        let (server, number) = (&*SERVER, NEXT.fetch_add(1, Ordering::Relaxed));
        let pool = server.disk().join(format!("pool-{number}"));
        fs::create_dir(&pool).expect("made");
        let path = format!("{}/pool-{number}", server.export());
        let address = server.address().v4.to_string();
        let options = if version() == Some(Version::V3) { "nolock" } else { "" };
        let options = options.parse().expect("valid options");
        let export = Export::new(&address, &path, version(), options);
        let export = export.map_err(|(_, error)| error).expect("a valid export");
        Self { place: tempfile::tempdir().expect("a temporary directory"), pool, export }
    }

    fn open(&self) -> Box<dyn Backend> {
        Box::new(Share::open("tried", self.export.clone(), self.place.path()))
    }

    // As `berth_host::beneath` opens content on NFS.
    fn read(path: &Path) -> io::Result<String> {
        let mut text = String::new();
        let direct = OFlag::O_DIRECT.bits();
        File::options().read(true).custom_flags(direct).open(path)?.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl DirectoryStage for Exported {
    fn path(&self) -> &Path {
        &self.pool
    }
}

impl Drop for Exported {
    fn drop(&mut self) {
        for mount in ["control", "data"] {
            let _ = nix::mount::umount2(
                &self.place.path().join(mount),
                nix::mount::MntFlags::MNT_DETACH,
            );
        }
    }
}

berth_api::conformance_cases! { Exported;
    lifecycle: a_volume_lives_and_dies, repetition_changes_nothing, what_is_absent_is_told_so,
        a_plan_has_no_effect, a_restart_finds_everything, a_removal_moves_and_never_copies,
        many_volumes_at_once, the_pool_says_how_full_it_is, cancelled_calls_do_nothing;
    content: the_trash_keeps_content, a_name_used_again_shows_nothing_old,
        owner_and_mode_are_in_force, changed_options_are_in_force,
        options_are_in_force_before_they_are_described, what_a_container_changed_stays,
        describe_writes_the_sidecar;
    filled: a_volume_is_made_of_what_is_put_there, what_is_put_there_has_owner_and_mode,
        a_failed_fill_leaves_a_half, a_cancelled_fill_leaves_a_half,
        what_is_in_the_trash_is_not_filled, the_content_is_what_a_volume_holds;
    identity: an_identity_stays, another_pool_is_refused, a_known_pool_is_never_made_anew,
        nothing_works_before_the_identity_is_known;
    hostile: forged_handles_are_refused, handles_of_others_are_refused;
    directory: a_new_file_system_is_empty, an_interrupted_beginning_goes_on,
        incomplete_creates_are_completed, incomplete_creates_are_purged,
        a_half_deleted_volume_does_not_come_back, a_damaged_sidecar_is_listed,
        a_sidecar_of_another_is_damage, folders_are_private;
    planted: a_link_in_a_volumes_place, a_link_in_the_contents_place, links_in_the_content,
        pipes_devices_and_sockets, a_cancelled_purge_goes_on, entries_that_are_no_volumes;
    strays: a_link_in_the_snapshots_place, entries_that_are_no_snapshots,
        a_half_snapshot_is_never_whole, the_description_of_another_snapshot,
        an_interrupted_rollback_goes_on, an_exchanged_rollback_is_not_undone,
        a_rollback_that_nobody_remembers, a_half_replacement_begins_anew,
        a_whole_replacement_is_not_filled_again, links_and_pipes_in_the_content;
    foreign: a_sidecar_that_is_no_file, a_sidecar_behind_a_link, an_identity_behind_a_link,
        the_content_of_another_volume, two_of_one_id;
}
berth_api::snapshot_conformance!(Exported);
