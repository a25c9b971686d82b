//! The suite that every backend must pass, on a pool that several hosts share:
//! all but the cases in which a second host is refused.

use std::path::PathBuf;

use berth_api::{Backend, conformance::Stage};
use berth_vfs::{Local, Sharing};
use tempfile::TempDir;

struct Folder {
    _stage: TempDir,
    pool: PathBuf,
}

impl Stage for Folder {
    fn fresh() -> Self {
        let stage = tempfile::tempdir().expect("a temporary directory");
        let pool = stage.path().join("pool");
        Self { pool, _stage: stage }
    }

    fn open(&self) -> Box<dyn Backend> {
        Box::new(Local::shared("tried", &self.pool, Sharing { coherent: false }))
    }
}

berth_api::conformance_cases! { Folder;
    lifecycle: a_volume_lives_and_dies, repetition_changes_nothing, what_is_absent_is_told_so,
        a_plan_has_no_effect, a_restart_finds_everything, many_volumes_at_once,
        the_pool_says_how_full_it_is, cancelled_calls_do_nothing;
    content: the_trash_keeps_content, a_name_used_again_shows_nothing_old;
    identity: an_identity_stays, another_pool_is_refused, a_known_pool_is_never_made_anew,
        nothing_works_before_the_identity_is_known;
    hostile: forged_handles_are_refused, handles_of_others_are_refused;
}
berth_api::snapshot_conformance!(Folder);

mod identities {
    use std::{fs, thread, time::Duration};

    use berth_api::{ErrorKind, HostId, Op, Owner};

    use super::*;

    fn op() -> Op {
        Op::new(Duration::from_mins(1))
    }

    #[test]
    fn hosts_that_begin_at_once_make_one_pool() {
        for _ in 0..20 {
            let stage = Folder::fresh();
            let made: Vec<_> = thread::scope(|scope| {
                let hosts = [(); 4].map(|()| {
                    let backend = stage.open();
                    scope.spawn(move || backend.identify(&op(), None, HostId::random()))
                });
                hosts.map(|host| host.join().expect("no panic").expect("a pool")).to_vec()
            });
            assert!(made.iter().all(|identity| *identity == made[0]), "{made:?}");
            assert_eq!(made[0].host, Owner::Shared);
            let own = fs::read_dir(stage.pool.join(".berth")).expect("readable");
            let files: Vec<_> = own
                .map(|entry| entry.expect("readable"))
                .filter(|entry| entry.file_type().expect("readable").is_file())
                .map(|entry| entry.file_name())
                .collect();
            assert_eq!(files, ["pool.json"]);
        }
    }

    #[test]
    fn shared_and_unshared_are_told_apart() {
        let stage = Folder::fresh();
        let host = HostId::random();
        let alone: Box<dyn Backend> = Box::new(Local::open("tried", &stage.pool));
        let first = alone.identify(&op(), None, host).expect("a pool");
        let refused = |backend: &dyn Backend, words: &str| {
            let error = backend.identify(&op(), None, host).expect_err("the other kind");
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert!(error.hint().is_some_and(|hint| hint.contains(words)), "{error:?}");
        };
        refused(&*stage.open(), "--take-over");
        // Records of an earlier time say nothing.
        let before = stage.pool.join(".berth/records/00112233445566778899aabbccddeeff");
        fs::create_dir_all(&before).expect("planted");
        fs::write(before.join("1"), "of before").expect("planted");
        let shared = stage.open();
        let taken = shared.take_over(&op(), host, true).expect("shared from now on");
        assert_eq!((taken.pool, taken.host), (first.pool, Owner::Shared));
        assert!(!before.exists());
        let records = shared.records().expect("a shared pool");
        assert!(records.list(&op()).expect("complete").is_empty());
        assert!(alone.records().is_none());
        refused(&*alone, "shared = true");
    }
}
