//! A host that dies between two of its steps.

use std::sync::{Arc, Mutex};

use berth_api::{ErrorKind, VolumeId, records::Attached};

use crate::{
    pool::{Host, Pool, is, op},
    schedule::{self, Act, Run, Trouble},
};

/// Lets `act` die at each of its steps; after each death another host looks, and
/// then the same host comes up again.
fn dying(
    act: fn(&Host, VolumeId),
    meanwhile: impl Fn(&Host, VolumeId),
    after: impl Fn(&Host, VolumeId),
) {
    let pool = Pool::new();
    let (host, other) = (pool.host("one"), pool.host("two"));
    let last = Arc::new(Mutex::new(None));
    let check = |id: VolumeId| {
        meanwhile(&other, id);
        let again = host.reboot();
        after(&again, id);
        assert!(pool.names("scratch").is_empty(), "{:?}", pool.names("scratch"));
    };
    let deaths = schedule::dying_at_each_step(|_| {
        if let Some(id) = last.lock().expect("no panic").take() {
            check(id);
        }
        let id = host.volume("ready").0;
        *last.lock().expect("no panic") = Some(id);
        let host = host.clone();
        Box::new(move || act(&host, id))
    });
    assert!(deaths >= 5, "{deaths} steps: this test has gone blind");
}

/// A record says one of `texts`.
fn one_of(host: &Host, id: VolumeId, texts: &[&str]) {
    let there = host.read(id).expect("readable").expect("there");
    assert!(texts.iter().any(|text| is(&there, text)), "{there:?}");
}

#[test]
fn a_write_is_whole_or_not_there_and_blocks_nobody() {
    dying(
        |host, id| {
            let Ok(Some(there)) = host.read(id) else { return };
            drop(host.write(id, Some(&there.basis()), "written"));
        },
        |other, id| {
            one_of(other, id, &["ready", "written"]);
            other.write_on(id, "other").expect("nothing is in the way");
        },
        |host, id| {
            one_of(host, id, &["other"]);
            host.write_on(id, "again").expect("nothing is in the way");
        },
    );
}

#[test]
fn a_first_write_is_whole_or_not_there() {
    let pool = Pool::new();
    let (host, other) = (pool.host("one"), pool.host("two"));
    let mut ids = Vec::new();
    schedule::dying_at_each_step(|_| {
        let id = VolumeId::random();
        ids.push(id);
        let host = host.clone();
        Box::new(move || drop(host.write(id, None, "creating")))
    });
    let listed = other.records().list(&op()).expect("complete");
    for id in &ids {
        let there = other.read(*id).expect("whole or not there");
        assert_eq!(there.is_some(), listed.iter().any(|listed| listed.id == *id));
    }
    host.reboot();
    assert!(pool.names("scratch").is_empty());
    host.records().list(&op()).expect("complete");
    assert_eq!(pool.names("records").len(), listed.len(), "empty folders go");
}

#[test]
fn a_claim_can_be_repeated() {
    dying(
        |host, id| drop(host.claim("db", id)),
        |other, id| {
            let holder = other.resolve("db").expect("readable");
            assert!(holder.is_none_or(|holder| holder == id), "{holder:?}");
        },
        |host, id| {
            host.claim("db", id).expect("its own");
            let name = "db".parse().expect("a valid name");
            host.records().release(&op(), &host.author, &name, id).expect("its own");
        },
    );
}

#[test]
fn an_attachment_stays_until_its_host_takes_it_away() {
    dying(
        |host, id| drop(host.attach(id)),
        |other, id| {
            let attachments = other.records().attachments(&op(), id).expect("readable");
            assert!(attachments.len() <= 1, "{attachments:?}");
        },
        |host, id| {
            let entry = host.author.host.to_string();
            for (held, _) in host.records().attached_by(&op(), host.author.host).expect("readable")
            {
                host.records().detach(&op(), held, &entry).expect("its own");
            }
            assert!(host.records().attachments(&op(), id).expect("readable").is_empty());
            assert!(matches!(host.attach(id).expect("readable"), Attached::Yes(_)));
            host.records().detach(&op(), id, &entry).expect("its own");
        },
    );
}

/// Until the one who removes has looked at the attachments, the removal may be
/// taken back; nobody can attach meanwhile.
#[test]
fn a_removal_that_died_can_be_taken_up() {
    dying(
        |host, id| {
            let Ok(Some(there)) = host.read(id) else { return };
            drop(host.remove(id, &there.basis()));
        },
        |other, id| match other.attach(id).expect("readable") {
            Attached::Yes(_) => one_of(other, id, &["ready"]),
            Attached::No(_) => one_of(other, id, &["removing"]),
        },
        |host, id| {
            let there = host.read(id).expect("readable").expect("there");
            let attached = !host.records().attachments(&op(), id).expect("readable").is_empty();
            if is(&there, "ready") {
                let error = host.remove(id, &there.basis()).expect_err("attached");
                assert_eq!(error.kind(), ErrorKind::Busy);
            } else {
                assert!(!attached, "refused, so it is not attached");
            }
        },
    );
}

#[test]
fn what_is_gone_stays_gone() {
    dying(
        |host, id| {
            let Ok(Some(there)) = host.read(id) else { return };
            drop(host.records().forget(&op(), &host.author, id, &there.basis()));
        },
        |_, _| {},
        |host, id| {
            if let Some(there) = host.read(id).expect("readable") {
                host.records().forget(&op(), &host.author, id, &there.basis()).expect("alone");
            } else {
                let basis = berth_api::records::Basis::unread(2);
                host.records().forget(&op(), &host.author, id, &basis).expect("already");
            }
            assert!(host.read(id).expect("readable").is_none());
            assert!(
                host.records().list(&op()).expect("complete").iter().all(|there| there.id != id)
            );
        },
    );
}

/// The first dies at any of its steps while the second goes on at any of its own.
#[test]
fn a_writer_that_dies_among_others_leaves_one_history() {
    let pool = Pool::new();
    let hosts = ["one", "two"].map(|name| pool.host(name));
    let points: schedule::IsPoint = |actor, name| {
        let all = ["beneath.link", "beneath.linked", "beneath.unlink", "records.list"];
        if actor == 0 { all.contains(&name) } else { name == "beneath.link" }
    };
    let runs = schedule::every(Trouble { dies: Some(0) }, points, || {
        let (id, first) = hosts[0].volume("ready");
        let won = Arc::new(Mutex::new(0));
        let (one, two) = (hosts[0].clone(), hosts[1].clone());
        let by_two = won.clone();
        let actors: Vec<Act> = vec![
            Box::new(move || drop(one.write(id, Some(&first.basis()), "one"))),
            Box::new(move || {
                if two.write_on(id, "two").is_ok() {
                    *by_two.lock().expect("no panic") += 1;
                }
            }),
        ];
        let host = hosts[0].clone();
        let check = move || {
            let there = host.read(id).expect("whole").expect("there");
            let (own, two) = (there.number - 1, *won.lock().expect("no panic"));
            assert!(own == two || own == two + 1, "{there:?}");
            host.reboot().write_on(id, "again").expect("nothing is in the way");
        };
        Run { actors, check: Box::new(check) }
    });
    runs.exceed(50);
    assert!(pool.names("scratch").is_empty());
}

/// A folder that its maker left empty may go at any moment.
#[test]
fn a_first_write_outlives_the_cleaning_of_its_empty_folder() {
    let pool = Pool::new();
    let hosts = ["one", "two"].map(|name| pool.host(name));
    let points: schedule::IsPoint = |_, name| {
        ["beneath.link", "beneath.make-directory", "beneath.remove-empty"].contains(&name)
    };
    let ids = Arc::new(Mutex::new(Vec::new()));
    schedule::every(Trouble::default(), points, || {
        let id = VolumeId::random();
        let (one, two) = (hosts[0].clone(), hosts[1].clone());
        let actors: Vec<Act> = vec![
            Box::new(move || drop(one.write(id, None, "creating").expect("made again"))),
            Box::new(move || drop(two.records().list(&op()).expect("complete"))),
        ];
        ids.lock().expect("no panic").push(id);
        let host = hosts[0].clone();
        let check = move || {
            let there = host.read(id).expect("whole").expect("there");
            host.records().forget(&op(), &host.author, id, &there.basis()).expect("alone");
        };
        Run { actors, check: Box::new(check) }
    });
    assert!(pool.names("records").is_empty());
}
