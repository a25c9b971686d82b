//! One host attaches while another removes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use berth_api::{ErrorKind, records::Attached};

use crate::{
    pool::{Pool, is, op},
    schedule::{self, Act, Run, Trouble},
};

fn steps(_: usize, name: &str) -> bool {
    [
        "beneath.link",
        "beneath.replace",
        "beneath.unlink",
        "records.list",
        "records.read",
        "records.list-attachments",
    ]
    .contains(&name)
}

#[test]
fn attach_against_remove_never_lets_both_succeed() {
    let pool = Pool::new();
    let hosts = ["one", "two"].map(|name| pool.host(name));
    let points: schedule::IsPoint =
        |actor, name| steps(actor, name) && (actor == 0 || name != "beneath.unlink");
    let (mut attached, mut removed, mut neither) = (0, 0, 0);
    let outcomes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let runs = schedule::every(Trouble::default(), points, || {
        let (id, first) = hosts[0].volume("ready");
        let (has, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (one, two) = (hosts[0].clone(), hosts[1].clone());
        let (by_one, by_two) = (has.clone(), gone.clone());
        let actors: Vec<Act> = vec![
            Box::new(move || {
                let answer = one.attach(id).expect("readable");
                by_one.store(matches!(answer, Attached::Yes(_)), SeqCst);
            }),
            Box::new(move || match two.remove(id, &first.basis()) {
                Ok(_) => by_two.store(true, SeqCst),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
                    assert!(error.chain().contains("`one`"), "{error:?}");
                }
            }),
        ];
        let (host, outcomes) = (hosts[0].clone(), outcomes.clone());
        let check = move || {
            let (has, gone) = (has.load(SeqCst), gone.load(SeqCst));
            assert!(!(has && gone), "a volume in use was removed");
            let there = host.read(id).expect("readable").expect("there");
            assert!(is(&there, if gone { "removing" } else { "ready" }), "{there:?}");
            let attachments = host.records().attachments(&op(), id).expect("readable");
            assert_eq!(attachments.len(), usize::from(has), "{attachments:?}");
            outcomes.lock().expect("no panic").push((has, gone));
        };
        Run { actors, check: Box::new(check) }
    });
    for outcome in outcomes.lock().expect("no panic").iter() {
        match outcome {
            (true, _) => attached += 1,
            (_, true) => removed += 1,
            _ => neither += 1,
        }
    }
    runs.exceed(500);
    assert!(attached > 0 && removed > 0, "{attached} {removed} {neither}");
}

#[test]
fn a_host_that_is_gone_is_cleared_by_hand_only() {
    let pool = Pool::new();
    let (gone, other) = (pool.host("gone"), pool.host("other"));
    let (id, first) = gone.volume("ready");
    assert!(matches!(gone.attach(id).expect("readable"), Attached::Yes(_)));
    let mut basis = first.basis();
    for _ in 0..3 {
        // Neither another host's start nor its time takes it away.
        let again = other.reboot();
        let error = again.remove(id, &basis).expect_err("it may still write");
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.chain().contains("`gone`"), "{error:?}");
        basis = other.read(id).expect("readable").expect("there").basis();
    }
    let entry = gone.author.host.to_string();
    other.records().detach(&op(), id, &entry).expect("by hand");
    other.remove(id, &basis).expect("nobody has it");
    assert!(pool.names("attachments").is_empty());
}

#[test]
fn a_host_finds_its_own_attachments() {
    let pool = Pool::new();
    let (one, two) = (pool.host("one"), pool.host("two"));
    let (first, second) = (one.volume("ready").0, one.volume("ready").0);
    for (host, id) in [(&one, first), (&two, first), (&one, second)] {
        assert!(matches!(host.attach(id).expect("readable"), Attached::Yes(_)));
    }
    let mut own = one.records().attached_by(&op(), one.author.host).expect("readable");
    own.sort();
    let mut expected = vec![(first, "this".to_owned()), (second, "this".to_owned())];
    expected.sort();
    assert_eq!(own, expected);
    let theirs = one.records().attached_by(&op(), two.author.host).expect("readable");
    assert_eq!(theirs, [(first, "this".to_owned())]);
}
