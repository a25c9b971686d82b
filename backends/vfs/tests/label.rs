//! The SELinux label of a pool, on real file systems. Where the kernel has no
//! SELinux it is kept as a plain attribute, which is what is read here.

use std::{collections::BTreeMap, fs, fs::File, path::Path, process::Command, time::Duration};

use berth_api::{
    Backend, Change, Error, ErrorKind, Handle, Layout, Observed, Op, Options, Progress, Sidecar,
    VolumeId, VolumeSpec,
};
use berth_host::label;
use berth_vfs::{Local, Vfs};

const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

fn pool(path: &Path, label: Option<&str>) -> Vfs {
    let label = label.map(|label| label.parse().expect("a context"));
    let pool = Local::open("tried", path).labelled(label);
    pool.identify(&op(), None, HOST.parse().expect("an id")).expect("a pool");
    pool
}

/// Always the same host.
const HOST: &str = "0123456789abcdef0123456789abcdef";

fn sidecar() -> Sidecar {
    let spec = VolumeSpec {
        id: VolumeId::random(),
        name: "db".parse().expect("a valid name"),
        created: "2026-01-02T03:04:05Z".parse().expect("a valid time"),
        given: BTreeMap::new(),
        options: Options::default(),
    };
    Sidecar { spec, layout: Layout::Subdirectory }
}

fn create(pool: &Vfs, sidecar: &Sidecar) -> Result<Handle, Error> {
    let handle = pool.plan(&op(), &sidecar.spec).expect("planned");
    pool.create(&op(), &handle, sidecar).map(|_| handle)
}

fn read(path: &Path) -> Option<String> {
    let label = label::get(File::open(path).expect("opened")).expect("readable");
    label.map(|label| String::from_utf8(label).expect("text"))
}

#[test]
fn a_volumes_top_has_it_and_nothing_of_ours() {
    let stage = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    let path = stage.path().join("pool");
    let pool = pool(&path, Some(LABEL));
    let sidecar = sidecar();
    create(&pool, &sidecar).expect("created");
    let volume = path.join("volumes").join(sidecar.spec.id.to_string());
    assert_eq!(read(&volume.join("data")).as_deref(), Some(LABEL));
    let own = [&path, &path.join(".berth"), &path.join("volumes"), &volume];
    for folder in own {
        assert_ne!(read(folder).as_deref(), Some(LABEL), "{}", folder.display());
    }
}

#[test]
fn describing_a_volume_gives_it_the_label_of_today() {
    let stage = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    let path = stage.path().join("pool");
    let sidecar = sidecar();
    let handle = create(&pool(&path, None), &sidecar).expect("created");
    let data = path.join("volumes").join(sidecar.spec.id.to_string()).join("data");
    let before = read(&data);
    let labelled = pool(&path, Some(LABEL));
    assert_eq!(read(&data), before, "a start touches no volume");
    let described = |pool: &Vfs| pool.describe(&op(), &handle, &sidecar).expect("described");
    assert_eq!(described(&labelled), Progress::Ready(Change::Already), "the sidecar is as it was");
    assert_eq!(read(&data).as_deref(), Some(LABEL));
    described(&pool(&path, None));
    assert_eq!(read(&data).as_deref(), Some(LABEL), "without one nothing is taken away");
}

/// ramfs: nothing is kept, and no attributes.
struct Ramfs(tempfile::TempDir);

impl Drop for Ramfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_file_system_without_attributes_is_one_clear_error() {
    let stage = tempfile::tempdir().expect("a temporary directory");
    let mounted = Command::new("mount").args(["-t", "ramfs", "none"]).arg(stage.path()).status();
    assert!(mounted.expect("mount").success(), "run as root");
    let stage = Ramfs(stage);
    let path = stage.0.path().join("pool");
    let pool = pool(&path, Some(LABEL));
    let sidecar = sidecar();
    let error = create(&pool, &sidecar).expect_err("no attributes");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.chain().contains("`selinux-context`"), "{}", error.chain());
    let handle = pool.plan(&op(), &sidecar.spec).expect("planned");
    assert_eq!(pool.inspect(&op(), &handle).expect("evidence"), Observed::Incomplete);
    pool.purge(&op(), &handle).expect("undone");
    assert_eq!(fs::read_dir(path.join("volumes")).expect("readable").count(), 0);
}
