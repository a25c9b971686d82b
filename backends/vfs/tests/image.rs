//! The suite on a pool in an image.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use berth_api::{
    Backend, Bytes,
    conformance::{DirectoryStage, Stage},
};
use berth_vfs::{ImageFile, Local};
use tempfile::TempDir;

/// The least that `mkfs.xfs` makes.
const SIZE: Bytes = Bytes(300 << 20);

struct Imaged {
    stage: TempDir,
    mountpoint: PathBuf,
}

impl Stage for Imaged {
    fn fresh() -> Self {
        let stage = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
        let mountpoint = stage.path().join("mountpoint");
        Self { stage, mountpoint }
    }

    fn open(&self) -> Box<dyn Backend> {
        let file = ImageFile { file: self.stage.path().join("image"), size: Some(SIZE) };
        Box::new(Local::on_image("tried", &self.mountpoint, file))
    }
}

impl DirectoryStage for Imaged {
    fn path(&self) -> &Path {
        &self.mountpoint
    }
}

impl Drop for Imaged {
    fn drop(&mut self) {
        // With what a case mounted in it and holds open; in some nothing is mounted.
        let _ = Command::new("umount").args(["-qlR"]).arg(&self.mountpoint).status();
    }
}

berth_api::conformance!(Imaged);

// Not those that move the pool's folder, which is a mountpoint here, or fill it
// before the pool is there.
berth_api::conformance_cases! { Imaged;
    directory: a_damaged_identity_is_no_new_pool, incomplete_creates_are_completed,
        incomplete_creates_are_purged, a_half_deleted_volume_does_not_come_back,
        a_damaged_sidecar_is_listed, a_sidecar_of_another_is_damage,
        folders_are_private, a_lost_folder_of_volumes_is_no_absence;
    planted: a_link_in_a_volumes_place, a_link_in_the_contents_place,
        links_in_the_content, a_mount_in_the_content, a_deep_tree,
        pipes_devices_and_sockets, a_cancelled_purge_goes_on,
        entries_that_are_no_volumes;
    foreign: a_sidecar_that_is_no_file, a_sidecar_behind_a_link,
        an_identity_behind_a_link, the_content_of_another_volume, two_of_one_id,
        odd_names_and_closed_folders, a_tree_deeper_than_the_stack;
}
