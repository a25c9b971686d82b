//! The fake does what it is told.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use berth_api::{
    Backend, Change, Consistency, ErrorKind, Handle, Health, HostId, Layout, Observed, Op, Options,
    Progress, Sidecar, SnapshotId, SnapshotSidecar, Target, VolumeId, VolumeSpec,
};
use berth_fake::Fake;
use tempfile::TempDir;

struct Stage {
    _folder: TempDir,
    orders: PathBuf,
    fake: Fake,
}

impl Stage {
    fn new(settings: &[(&str, &str)]) -> Self {
        let stage = tempfile::tempdir().unwrap();
        let path = stage.path().join("pool");
        let settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let fake = Fake::open("tried", &path, &settings).unwrap();
        fake.identify(&op(), None, HostId::random()).unwrap();
        Self { orders: stage.path().join("pool.fake"), _folder: stage, fake }
    }

    fn tell(&self, orders: &str) {
        let new = self.orders.with_extension("new");
        fs::write(&new, orders).unwrap();
        fs::rename(new, &self.orders).unwrap();
    }

    fn volume(&self) -> (Handle, Sidecar) {
        let sidecar = Sidecar {
            spec: VolumeSpec {
                id: VolumeId::random(),
                name: "db".parse().unwrap(),
                created: "2026-01-02T03:04:05Z".parse().unwrap(),
                given: BTreeMap::new(),
                options: Options::default(),
            },
            layout: Layout::Subdirectory,
        };
        (self.fake.plan(&op(), &sidecar.spec).unwrap(), sidecar)
    }

    fn create(&self, volume: &(Handle, Sidecar)) -> berth_api::Result<Progress<Change>> {
        self.fake.create(&op(), &volume.0, &volume.1)
    }

    fn inspect(&self, volume: &(Handle, Sidecar)) -> Observed {
        self.fake.inspect(&op(), &volume.0).unwrap()
    }
}

fn op() -> Op {
    Op::new(Duration::from_mins(1))
}

#[test]
fn it_waits_and_then_works_for_each_volume() {
    let stage = Stage::new(&[("create", "pending:2")]);
    for _ in 0..2 {
        let volume = stage.volume();
        for _ in 0..2 {
            assert!(matches!(stage.create(&volume).unwrap(), Progress::Pending { .. }));
            assert_eq!(stage.inspect(&volume), Observed::Absent);
        }
        assert_eq!(stage.create(&volume).unwrap(), Progress::Ready(Change::Done));
    }
}

#[test]
fn it_fails_before_and_after_the_effect() {
    let stage = Stage::new(&[]);
    let volume = stage.volume();
    stage.tell("create=error:exhausted");
    assert_eq!(stage.create(&volume).unwrap_err().kind(), ErrorKind::Exhausted);
    assert_eq!(stage.inspect(&volume), Observed::Absent);
    stage.tell("create = fail-after");
    assert_eq!(stage.create(&volume).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(stage.inspect(&volume), Observed::Present { empty: true });
    stage.tell("*=error:unavailable\ninspect=say:absent\n");
    assert_eq!(stage.inspect(&volume), Observed::Absent);
    let error = stage.fake.attach(&op(), &volume.0, &Options::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(matches!(stage.fake.health(), Health::Unavailable(_)));
    stage.tell("");
    assert_eq!(stage.fake.health(), Health::Ready);
}

/// Content that is put there and read, as all else.
#[test]
fn it_fails_where_content_goes_in_and_out() {
    let stage = Stage::new(&[]);
    let volume = stage.volume();
    let never = |_: &Op, _: Target<'_>| -> berth_api::Result<()> { panic!("told to fail") };
    let nothing = |_: &Op, _: Target<'_>| Ok(());
    stage.tell("create-from=error:exhausted\ncontent=error:unavailable");
    let refused = stage.fake.create_from(&op(), &volume.0, &volume.1, &never);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exhausted);
    assert_eq!(stage.inspect(&volume), Observed::Absent);
    let content = stage.fake.content(&op(), &volume.0, None);
    assert_eq!(content.unwrap_err().kind(), ErrorKind::Unavailable);
    stage.tell("create-from=pending:1\nreplace=fail-after");
    let make = || stage.fake.create_from(&op(), &volume.0, &volume.1, &nothing).unwrap();
    assert!(matches!(make(), Progress::Pending { .. }));
    assert_eq!(make(), Progress::Ready(Change::Done));
    stage.fake.content(&op(), &volume.0, None).unwrap();
    let snapshots = stage.fake.snapshots().unwrap();
    let description = SnapshotSidecar {
        id: SnapshotId::random(),
        volume: volume.1.spec.id,
        name: "kept".parse().unwrap(),
        created: volume.1.spec.created,
        consistency: Consistency::Live,
        policy: None,
    };
    let kept = snapshots.plan(&op(), &volume.0, description.id).unwrap();
    let exchanged = snapshots.replace(&op(), &volume.0, &kept, &description, &nothing);
    assert_eq!(exchanged.unwrap_err().kind(), ErrorKind::Internal);
    let observed = snapshots.inspect(&op(), &volume.0, &kept).unwrap();
    assert!(matches!(observed, Observed::Present { .. }), "it had its effect: {observed:?}");
}

#[test]
fn it_lies() {
    let stage = Stage::new(&[("create", "lie")]);
    let volume = stage.volume();
    assert_eq!(stage.create(&volume).unwrap(), Progress::Ready(Change::Done));
    assert_eq!(stage.inspect(&volume), Observed::Absent);
}

#[test]
fn it_hangs_until_it_is_let_go() {
    let stage = Stage::new(&[]);
    let volume = stage.volume();
    stage.create(&volume).unwrap();
    stage.tell("attach=hang");
    thread::scope(|scope| {
        let attached =
            scope.spawn(|| stage.fake.attach(&op(), &volume.0, &Options::default()).is_ok());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(100) {
            assert!(!attached.is_finished());
            thread::yield_now();
        }
        stage.tell("");
        assert!(attached.join().unwrap());
    });
}

#[test]
fn a_misspelt_order_is_an_error() {
    let stage = Stage::new(&[]);
    let volume = stage.volume();
    stage.tell("create=explode");
    assert_eq!(stage.create(&volume).unwrap_err().kind(), ErrorKind::Invalid);
}
