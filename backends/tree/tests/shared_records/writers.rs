//! Two writers of one record.

use std::sync::{Arc, Mutex};

use berth_api::{ErrorKind, Result, VolumeId, records::Version};

use crate::{
    place::Place,
    pool::{Host, Pool, is},
    schedule::{self, Act, Run, Trouble},
};

/// What the actors of a run answered.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<Result<Version>>>>);

impl Answers {
    fn add(&self, answer: Result<Version>) {
        self.0.lock().expect("no panic").push(answer);
    }

    /// Each success is a version, and each version a success; what failed says
    /// that somebody else was first.
    fn check(&self, host: &Host, id: VolumeId) -> Version {
        let answers = self.0.lock().expect("no panic");
        let there = host.read(id).expect("readable").expect("there");
        let won = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
        assert_eq!(there.number, 1 + won, "{answers:?}");
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        }
        there
    }
}

fn steps(_: usize, name: &str) -> bool {
    ["beneath.link", "beneath.unlink", "records.list", "records.read"].contains(&name)
}

#[test]
fn of_two_writers_on_one_version_exactly_one_wins() {
    let pool = Pool::new();
    let hosts = ["one", "two"].map(|name| pool.host(name));
    let runs = schedule::every(Trouble::default(), steps, || {
        let (id, first) = hosts[0].volume("ready");
        let answers = Answers::default();
        let actors = hosts.clone().map(|host| {
            let (answers, basis) = (answers.clone(), first.basis());
            Box::new(move || {
                let text = host.author.name.clone();
                answers.add(host.write(id, Some(&basis), &text));
            }) as Act
        });
        let host = hosts[0].clone();
        let check = move || {
            let there = answers.check(&host, id);
            assert_eq!(there.number, 2);
            assert!(is(&there, &there.author.name), "{there:?}");
        };
        Run { actors: actors.into(), check: Box::new(check) }
    });
    runs.exceed(200);
    assert!(pool.names("scratch").is_empty());
}

/// The second writes three versions, and prunes, while the first is about to
/// link the number that is free again.
#[test]
fn who_links_in_the_gap_that_pruning_left_did_not_write() {
    let pool = Pool::new();
    let hosts = ["slow", "quick"].map(|name| pool.host(name));
    let points: schedule::IsPoint = |actor, name| {
        let slow = ["beneath.link", "records.list"].contains(&name);
        if actor == 0 { slow } else { ["beneath.link", "beneath.unlink"].contains(&name) }
    };
    let runs = schedule::every(Trouble::default(), points, || {
        let (id, first) = hosts[0].volume("ready");
        let answers = Answers::default();
        let (slow, quick) = (hosts[0].clone(), hosts[1].clone());
        let (of_slow, of_quick) = (answers.clone(), answers.clone());
        let (basis, mut next) = (first.basis(), first.basis());
        let actors: Vec<Act> = vec![
            Box::new(move || of_slow.add(slow.write(id, Some(&basis), "slow"))),
            Box::new(move || {
                for _ in 0..3 {
                    let written = quick.write(id, Some(&next), "quick");
                    let Ok(version) = &written else { return of_quick.add(written) };
                    next = version.basis();
                    of_quick.add(written);
                }
            }),
        ];
        let host = hosts[0].clone();
        let check = move || {
            let there = answers.check(&host, id);
            assert_eq!(there.number, if is(&there, "slow") { 2 } else { 4 });
        };
        Run { actors, check: Box::new(check) }
    });
    runs.exceed(200);
}

/// Both write upon what they read, so that one often builds upon the other
/// before that one has looked.
#[test]
fn who_was_built_upon_knows_that_it_wrote() {
    let pool = Pool::new();
    let hosts = ["one", "two"].map(|name| pool.host(name));
    let points: schedule::IsPoint = |actor, name| {
        let all = ["beneath.link", "records.list", "records.read"].contains(&name);
        if actor == 0 { all } else { name == "beneath.link" }
    };
    let runs = schedule::every(Trouble::default(), points, || {
        let (id, first) = hosts[0].volume("ready");
        let answers = Answers::default();
        let (one, two) = (hosts[0].clone(), hosts[1].clone());
        let (of_one, of_two) = (answers.clone(), answers.clone());
        let basis = first.basis();
        let actors: Vec<Act> = vec![
            Box::new(move || of_one.add(one.write(id, Some(&basis), "one"))),
            Box::new(move || (0..4).for_each(|_| of_two.add(two.write_on(id, "two")))),
        ];
        let host = hosts[0].clone();
        let check = move || drop(answers.check(&host, id));
        Run { actors, check: Box::new(check) }
    });
    runs.exceed(100);
}

/// The server did it and its answer was lost: the client asks again and is told
/// EEXIST, or gives up with EIO.
#[test]
fn a_lost_answer_is_settled_by_the_operation() {
    for errno in [17, 5] {
        let pool = Pool::new();
        let host = pool.host("one");
        let (id, first) = host.volume("ready");
        let writer = host.clone();
        std::thread::spawn(move || {
            schedule::losing_the_answer(errno, |_| {});
            let basis = first.basis();
            let written = writer.write(id, Some(&basis), "written").expect("it was linked");
            assert_eq!(written.number, 2);
            let (id, first) = writer.volume("ready");
            assert_eq!(first.number, 1, "{id}");
        })
        .join()
        .expect("no panic");
        assert!(is(&host.read(id).expect("readable").expect("there"), "written"));
    }
}

/// The same, with others that write upon it before it has looked: as often as a
/// version remembers.
#[test]
fn a_lost_answer_is_settled_by_those_who_built_upon_it() {
    for errno in [17, 5] {
        for others in (0..=Version::REMEMBERED).step_by(Place::STEP) {
            let pool = Pool::new();
            let hosts = ["one", "two"].map(|name| pool.host(name));
            let (id, first) = hosts[0].volume("ready");
            let (writer, other) = (hosts[0].clone(), hosts[1].clone());
            std::thread::spawn(move || {
                // The scratch file goes after the link and before the look.
                schedule::losing_the_answer(errno, move |name| {
                    if name == "beneath.unlink" {
                        let other = other.clone();
                        std::thread::spawn(move || {
                            (0..others).for_each(|_| drop(other.write_on(id, "two")));
                        })
                        .join()
                        .expect("no panic");
                    }
                });
                writer.write(id, Some(&first.basis()), "one").expect("it was linked");
            })
            .join()
            .expect("no panic");
            let there = hosts[0].read(id).expect("readable").expect("there");
            assert!(there.number >= 2 + others as u64, "{there:?}");
        }
    }
}

#[test]
fn only_what_lies_below_the_highest_two_is_pruned() {
    let pool = Pool::new();
    let host = pool.host("one");
    let (id, _) = host.volume("1");
    for number in 2..=12_u64 {
        host.write_on(id, &number.to_string()).expect("alone");
        let expected = if number == 2 { vec![1, 2] } else { vec![number - 1, number] };
        let mut there: Vec<u64> = crate::pool::names(&pool.record(id))
            .iter()
            .map(|name| name.parse().expect("a version"))
            .collect();
        there.sort_unstable();
        assert_eq!(there, expected);
    }
}
