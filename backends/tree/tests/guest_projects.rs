//! Projects on the disk: who has which, and what becomes of limits.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use berth_api::{
    Bytes, Consistency, ErrorKind, HostId, Layout, Op, Options, Sidecar, SnapshotId,
    SnapshotSidecar, VolumeId, VolumeSpec,
};
use berth_host::{
    beneath::Dir,
    quota::{self, Project},
};
use berth_tree::Tree;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const LITTLE: u64 = 256 << 10;

/// A pool on a file system of its own.
struct Disk {
    stage: TempDir,
    tree: Tree,
}

impl Disk {
    fn new(mkfs: &[&str], options: &str) -> Self {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let image = stage.path().join("image");
        fs::File::create(&image).expect("made").set_len(320 << 20).expect("sparse");
        run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image));
        fs::create_dir(stage.path().join("mounted")).expect("made");
        let tree = Tree::new("tried", &stage.path().join("mounted/pool"));
        let disk = Self { stage, tree };
        disk.mount(options);
        disk.tree.identify(None, HostId::random()).expect("a pool");
        disk
    }

    fn mount(&self, options: &str) {
        let (image, place) = (self.stage.path().join("image"), self.stage.path().join("mounted"));
        let options = format!("loop,{options}");
        run(Command::new("mount").args(["-o", &options]).args([image, place]));
    }

    fn unmount(&self) {
        run(Command::new("umount").arg(self.stage.path().join("mounted")));
    }

    /// A power cut: what was not written out is lost.
    fn cut(&self) {
        let place = self.stage.path().join("mounted");
        run(Command::new("xfs_io").args(["-x", "-r", "-c", "shutdown"]).arg(place));
        self.unmount();
        self.mount("prjquota");
    }

    fn pool(&self) -> PathBuf {
        self.stage.path().join("mounted/pool")
    }

    fn folder(&self, id: VolumeId) -> PathBuf {
        self.pool().join("volumes").join(id.to_string())
    }

    fn volume(&self, given: &[(&str, &str)]) -> (VolumeId, Sidecar) {
        let sidecar = sidecar(given);
        self.tree.create(sidecar.spec.id, &sidecar).expect("created");
        (sidecar.spec.id, sidecar)
    }

    fn used(&self, id: VolumeId) -> u64 {
        self.tree.usage(id).expect("known").used.expect("counted").0
    }

    fn limit_of(&self, project: u32) -> Option<Bytes> {
        quota::account(open(&self.pool()), project).expect("readable").limit
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.stage.path().join("mounted")).status();
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("the command is there");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {errors} (this test runs in the guest: `scripts/test vm`)"
    );
}

fn sidecar(given: &[(&str, &str)]) -> Sidecar {
    let given: BTreeMap<_, _> =
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = VolumeSpec {
        id: VolumeId::random(),
        name: "db".parse().expect("a valid name"),
        created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
        options: Options::parse(&given).expect("valid options"),
        given,
    };
    Sidecar { spec, layout: Layout::Subdirectory }
}

fn snapshot(volume: VolumeId, name: &str) -> SnapshotSidecar {
    SnapshotSidecar {
        id: SnapshotId::random(),
        volume,
        name: name.parse().expect("a valid name"),
        created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
        consistency: Consistency::Live,
        policy: None,
    }
}

fn open(path: &Path) -> Dir {
    Dir::open(path).expect("a directory")
}

fn project(path: &Path) -> Project {
    quota::project(open(path)).expect("readable")
}

fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

fn fill(path: &Path, mebibytes: u64) {
    let length = usize::try_from(mebibytes * MIB).expect("it fits");
    fs::write(path, vec![7; length]).expect("written");
    fs::File::open(path).and_then(|file| file.sync_all()).expect("synced");
}

const EXT4: [&str; 4] = ["mkfs.ext4", "-q", "-F", "-Oproject,quota"];
const XFS: [&str; 2] = ["mkfs.xfs", "-q"];

fn on_both(case: impl Fn(&Disk)) {
    for mkfs in [&EXT4[..], &XFS[..]] {
        let _ = writeln!(std::io::stderr(), "{}", mkfs[0]);
        case(&Disk::new(mkfs, "prjquota"));
    }
}

/// Only the content hands its project down; snapshots beside it do not count.
#[test]
fn the_folder_says_whose_it_is_and_the_content_hands_it_down() {
    on_both(|disk| {
        let (id, _) = disk.volume(&[]);
        let folder = disk.folder(id);
        let of_folder = project(&folder);
        assert!(of_folder.id >= 1 << 24 && !of_folder.inherit, "{of_folder:?}");
        assert_eq!(project(&folder.join("data")), Project { inherit: true, ..of_folder });
        fs::create_dir_all(folder.join("snapshots/one")).expect("made");
        assert_eq!(project(&folder.join("snapshots/one")).id, 0);
        fs::create_dir_all(folder.join("data/a/b")).expect("made");
        assert_eq!(project(&folder.join("data/a/b")).id, of_folder.id);
    });
}

#[test]
fn a_purge_leaves_no_limit_behind() {
    on_both(|disk| {
        let (id, _) = disk.volume(&[("size", "4M")]);
        let project = project(&disk.folder(id)).id;
        assert_eq!(disk.limit_of(project), Some(Bytes(4 * MIB)));
        disk.tree.remove(id).expect("removed");
        assert_eq!(disk.limit_of(project), Some(Bytes(4 * MIB)), "it can come back");
        disk.tree.purge(&op(), id).expect("purged");
        assert_eq!(disk.limit_of(project), None);
    });
}

/// The owner of a file may give it any project. What the content says is not
/// believed: neither its resize nor its removal reaches another volume's limit.
#[test]
fn content_that_claims_anothers_project_reaches_nothing() {
    on_both(|disk| {
        let (victim, _) = disk.volume(&[("size", "4M")]);
        let (liar, mut sidecar) = disk.volume(&[("size", "4M")]);
        let of_victim = project(&disk.folder(victim)).id;
        let claim = Project { id: of_victim, inherit: true };
        quota::set_project(open(&disk.folder(liar).join("data")), claim).expect("its owner may");
        sidecar.spec.options.size = Some(Bytes(64 * MIB));
        disk.tree.describe(liar, &sidecar).expect("described");
        assert_eq!(disk.limit_of(of_victim), Some(Bytes(4 * MIB)));
        disk.tree.remove(liar).expect("removed");
        disk.tree.purge(&op(), liar).expect("purged");
        assert_eq!(disk.limit_of(of_victim), Some(Bytes(4 * MIB)));
    });
}

/// The snapshot does not count; the content that a rollback puts in its place has
/// the limit, and what was there before is kept without.
#[test]
fn the_limit_moves_to_what_a_rollback_brings() {
    on_both(|disk| {
        let (id, _) = disk.volume(&[("size", "8M")]);
        let folder = disk.folder(id);
        fill(&folder.join("data/old"), 1);
        let taken = snapshot(id, "taken");
        disk.tree.create_snapshot(&op(), id, &taken, &|| true).expect("taken");
        let within = 5 * MIB..5 * MIB + LITTLE;
        fill(&folder.join("data/more"), 4);
        assert!(within.contains(&disk.used(id)), "{} with a snapshot beside it", disk.used(id));
        let old = project(&folder).id;

        let kept = snapshot(id, "kept");
        for _ in 0..2 {
            disk.tree.roll_back(&op(), taken.id, &kept).expect("rolled back");
            let usage = disk.tree.usage(id).expect("known");
            assert_eq!(usage.limit, Some(Bytes(8 * MIB)));
            assert!((MIB..MIB + LITTLE).contains(&disk.used(id)), "{usage:?}");
            assert_eq!(disk.limit_of(old), None, "what is kept has no limit");
        }
        let new = project(&folder);
        assert_ne!(new.id, old);
        assert_eq!(project(&folder.join("data")), Project { inherit: true, ..new });
        // There and back again: what was kept is as good as any.
        disk.tree.roll_back(&op(), kept.id, &snapshot(id, "again")).expect("rolled back");
        assert!(within.contains(&disk.used(id)), "{}", disk.used(id));
        assert_eq!(disk.limit_of(new.id), None);
        disk.tree.remove_snapshot(id, kept.id).expect("removed");
    });
}

/// A clone has a limit of its own, whatever its origin has.
#[test]
fn a_clone_is_limited_by_itself() {
    on_both(|disk| {
        let (origin, _) = disk.volume(&[("size", "4M")]);
        fill(&disk.folder(origin).join("data/file"), 2);
        let clone = sidecar(&[("size", "16M")]);
        let id = clone.spec.id;
        disk.tree.clone_volume(&op(), origin, None, &clone).expect("cloned");
        assert_eq!(disk.tree.usage(id).expect("known").limit, Some(Bytes(16 * MIB)));
        assert!((2 * MIB..2 * MIB + LITTLE).contains(&disk.used(id)), "{}", disk.used(id));
        assert_ne!(project(&disk.folder(id)).id, project(&disk.folder(origin)).id);
        assert_eq!(disk.tree.usage(origin).expect("known").limit, Some(Bytes(4 * MIB)));
    });
}

/// Made while the file system counted nothing; deep, wide, with links and pipes.
#[test]
fn an_old_volume_is_enrolled_by_a_walk() {
    let disk = Disk::new(&XFS, "noquota");
    let (id, mut sidecar) = disk.volume(&[]);
    let data = disk.folder(id).join("data");
    let mut deep = data.join("deep");
    for _ in 0..100 {
        deep = deep.join("er");
    }
    fs::create_dir_all(&deep).expect("made");
    fill(&deep.join("file"), 2);
    fill(&data.join("top"), 1);
    fs::hard_link(data.join("top"), data.join("again")).expect("linked");
    let outside = disk.stage.path().join("outside");
    fs::write(&outside, "precious").expect("written");
    std::os::unix::fs::symlink(&outside, data.join("link")).expect("linked");
    run(Command::new("mkfifo").arg(data.join("pipe")));
    assert_eq!(disk.tree.usage(id).expect("nothing").used, None);
    let error = disk.tree.enrol(&op(), id).expect_err("nothing is counted");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("prjquota")), "{error:?}");

    disk.unmount();
    disk.mount("prjquota");
    assert_eq!(disk.tree.usage(id).expect("not yet").used, None);
    sidecar.spec.options.size = Some(Bytes(8 * MIB));
    let error = disk.tree.apply(id, &sidecar).expect_err("it is not counted");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    let used = disk.tree.enrol(&op(), id).expect("enrolled").used.expect("counted").0;
    assert!((3 * MIB..3 * MIB + LITTLE).contains(&used), "{used}");
    assert!(project(&deep).inherit, "to the bottom");
    disk.tree.apply(id, &sidecar).expect("limited");
    assert_eq!(disk.tree.usage(id).expect("known").limit, Some(Bytes(8 * MIB)));
    // What was moved about stays movable.
    fs::rename(deep.join("file"), data.join("moved")).expect("one project");
}

/// The pool's own directory can be in a project of the administrator's.
#[test]
fn a_pool_in_a_project_is_left_in_it() {
    on_both(|disk| {
        quota::set_project(open(&disk.pool()), Project { id: 42, inherit: true }).expect("root");
        let error = disk.tree.can_limit().expect_err("a directory is in one project");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let (id, _) = disk.volume(&[]);
        assert_eq!(disk.tree.usage(id).expect("nothing").used, None);
    });
}

/// Mounted without quotas, later: said, and nothing else breaks.
#[test]
fn a_lost_option_is_told_and_does_no_harm() {
    on_both(|disk| {
        let (id, mut sidecar) = disk.volume(&[("size", "4M")]);
        disk.unmount();
        disk.mount("noquota");
        let error = disk.tree.can_limit().expect_err("not any more");
        assert!(error.chain().contains("without `prjquota`"), "{error:?}");
        assert_eq!(disk.tree.usage(id).expect("an answer").limit, None);
        sidecar.spec.options.uid = Some(7);
        disk.tree.describe(id, &sidecar).expect("what has nothing to do with limits");
        sidecar.spec.options.size = Some(Bytes(8 * MIB));
        let error = disk.tree.apply(id, &sidecar).expect_err("a new limit");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        disk.unmount();
        disk.mount("prjquota");
        assert_eq!(disk.tree.usage(id).expect("known").limit, Some(Bytes(4 * MIB)));
    });
}

/// The power goes right after the answer: the volume has its limit.
#[test]
fn a_limit_survives_a_power_cut() {
    on_both(|disk| {
        let (id, mut sidecar) = disk.volume(&[("size", "4M")]);
        let project = project(&disk.folder(id));
        disk.cut();
        assert_eq!(disk.tree.usage(id).expect("known").limit, Some(Bytes(4 * MIB)));
        let of_content = self::project(&disk.folder(id).join("data"));
        assert_eq!(of_content, Project { inherit: true, ..project });

        sidecar.spec.options.size = Some(Bytes(8 * MIB));
        disk.tree.describe(id, &sidecar).expect("described");
        disk.cut();
        assert_eq!(disk.tree.usage(id).expect("known").limit, Some(Bytes(8 * MIB)));

        disk.tree.remove(id).expect("removed");
        disk.tree.purge(&op(), id).expect("purged");
        disk.cut();
        assert_eq!(disk.limit_of(project.id), None);
    });
}
