//! Two hosts that want one name.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use berth_api::ErrorKind;

use crate::{
    pool::{Pool, is, op},
    schedule::{self, Act, Run, Trouble},
};

fn steps(_: usize, name: &str) -> bool {
    ["beneath.link", "records.list", "records.read"].contains(&name)
}

#[test]
fn simultaneous_creates_of_one_name_make_one_volume() {
    let pool = Pool::new();
    let hosts = ["one", "two"].map(|name| pool.host(name));
    let mut round = 0;
    let runs = schedule::every(Trouble::default(), steps, || {
        round += 1;
        let name = format!("db{round}");
        let won = Arc::new(AtomicUsize::new(0));
        let ids = hosts.clone().map(|host| host.volume("creating").0);
        let actors = [0, 1].map(|number| {
            let (host, name, won) = (hosts[number].clone(), name.clone(), won.clone());
            Box::new(move || match host.claim(&name, ids[number]) {
                Ok(()) => drop(won.fetch_add(1 + number, SeqCst)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
            }) as Act
        });
        let host = hosts[0].clone();
        let check = move || {
            let winner = won.load(SeqCst);
            assert!(winner == 1 || winner == 2, "both or none: {winner}");
            assert_eq!(host.resolve(&name).expect("readable"), Some(ids[winner - 1]));
        };
        Run { actors: actors.into(), check: Box::new(check) }
    });
    runs.exceed(200);
}

/// The first host brings a removed volume back while the second makes a new one
/// of its name.
#[test]
fn undelete_against_create_leaves_the_name_to_one() {
    let pool = Pool::new();
    let hosts = ["one", "two"].map(|name| pool.host(name));
    let points: schedule::IsPoint = |actor, name| {
        let few = ["beneath.link", "records.read"].contains(&name);
        if actor == 0 { few } else { few || name == "records.list" }
    };
    let mut round = 0;
    let runs = schedule::every(Trouble::default(), points, || {
        round += 1;
        let name = format!("db{round}");
        let old = hosts[0].volume("creating").0;
        hosts[0].claim(&name, old).expect("nobody else");
        hosts[0].write_on(old, "removed").expect("alone");
        let new = hosts[1].volume("creating").0;
        let won = Arc::new(AtomicUsize::new(0));
        let (one, two) = (hosts[0].clone(), hosts[1].clone());
        let (by_one, by_two) = (won.clone(), won.clone());
        let (for_one, for_two) = (name.clone(), name.clone());
        let actors: Vec<Act> = vec![
            Box::new(move || {
                // First what it will be, then the name.
                one.write_on(old, "ready").expect("alone");
                match one.claim(&for_one, old) {
                    Ok(()) => drop(by_one.fetch_add(1, SeqCst)),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
                        one.write_on(old, "removed").expect("alone");
                    }
                }
            }),
            Box::new(move || match two.claim(&for_two, new) {
                Ok(()) => drop(by_two.fetch_add(2, SeqCst)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
            }),
        ];
        let host = hosts[0].clone();
        let check = move || {
            let winner = won.load(SeqCst);
            assert!(winner == 1 || winner == 2, "both or none: {winner}");
            let id = if winner == 1 { old } else { new };
            assert_eq!(host.resolve(&name).expect("readable"), Some(id));
            let old = host.read(old).expect("readable").expect("there");
            assert!(is(&old, if winner == 1 { "ready" } else { "removed" }));
        };
        Run { actors, check: Box::new(check) }
    });
    runs.exceed(200);
}

#[test]
fn a_name_goes_with_a_removal_and_with_the_volume() {
    let pool = Pool::new();
    let host = pool.host("one");
    let (first, second) = (host.volume("creating").0, host.volume("creating").0);
    host.claim("db", first).expect("free");
    assert_eq!(host.claim("db", second).expect_err("taken").kind(), ErrorKind::Conflict);
    let removing = host.write_on(first, "removing").expect("alone");
    host.claim("db", second).expect("let go of");
    assert_eq!(host.resolve("db").expect("readable"), Some(second));
    // The first volume is gone; the name is no longer its to give away.
    let name = "db".parse().expect("a valid name");
    host.records().release(&op(), &host.author, &name, first).expect("not its own");
    assert_eq!(host.resolve("db").expect("readable"), Some(second));
    host.records().forget(&op(), &host.author, first, &removing.basis()).expect("gone");
    host.records().release(&op(), &host.author, &name, second).expect("its own");
    assert_eq!(host.resolve("db").expect("readable"), None);
    let third = host.volume("creating").0;
    host.claim("db", third).expect("free");
}
