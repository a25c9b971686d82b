//! The store on S3, against servers of others.
#![allow(clippy::unwrap_used, reason = "a test stops at what it does not expect")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    sync::atomic::{AtomicU8, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use berth_api::{Error, ErrorKind, Op};
use berth_vault::{
    Id, Kind, Store,
    store::{
        directory::Directory,
        s3::{Credentials, S3, S3Settings, SharedFiles},
    },
};
use bytes::Bytes;
use support::{Canned, Line, Moto, S3Server};

const LONG: Duration = Duration::from_secs(120);
const KINDS: [Kind; 5] = [Kind::Key, Kind::Lock, Kind::Snapshot, Kind::Index, Kind::Pack];

fn op() -> Op {
    Op::new(LONG)
}

fn id(number: u16) -> Id {
    let mut id = Id::default();
    id.0[..2].copy_from_slice(&number.to_be_bytes());
    id
}

/// Content that no range of is like another.
fn content(seed: u64, length: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes = (0..length).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    });
    bytes.collect()
}

fn all_calls(store: &dyn Store) {
    store.create(&op()).unwrap();
    assert!(store.list(&op(), Kind::Config).unwrap().is_empty());
    let none = Id::default();
    let error = store.read(&op(), Kind::Config, &none).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    store.write(&op(), Kind::Config, &none, Bytes::from_static(b"one")).unwrap();
    let error = store.write(&op(), Kind::Config, &none, Bytes::from_static(b"two")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert_eq!(store.read(&op(), Kind::Config, &none).unwrap(), &b"one"[..]);
    assert_eq!(store.list(&op(), Kind::Config).unwrap()[0].size, 3);
    for kind in KINDS {
        assert!(store.list(&op(), kind).unwrap().is_empty(), "{kind:?}");
        let bytes = content(kind as u64, 100_000);
        store.write(&op(), kind, &id(7), bytes.clone()).unwrap();
        store.write(&op(), kind, &id(7), bytes.clone()).unwrap();
        let listed = store.list(&op(), kind).unwrap();
        assert_eq!(listed.len(), 1, "{kind:?}");
        assert_eq!((listed[0].id, listed[0].size), (id(7), 100_000));
        assert_eq!(store.read(&op(), kind, &id(7)).unwrap(), bytes);
        for range in [0..1, 5..5, 99_999..100_000, 0..100_000, 4_096..70_001] {
            let here = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            let read = store.read_range(&op(), kind, &id(7), range.clone()).unwrap();
            assert_eq!(read, bytes[here], "{range:?}");
        }
        for range in [99_999..100_001, 100_000..100_001, 200_000..200_010] {
            let error = store.read_range(&op(), kind, &id(7), range.clone()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{range:?}: {error:?}");
        }
        let error = store.read_range(&op(), kind, &id(8), 0..1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
        store.remove(&op(), kind, &id(7)).unwrap();
        store.remove(&op(), kind, &id(7)).unwrap();
        assert!(store.list(&op(), kind).unwrap().is_empty(), "{kind:?}");
    }
    store.sweep(&op()).unwrap();
}

#[test]
fn every_call_does_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    all_calls(&Directory::new(folder.path().join("repository")));
    let server = S3Server::start();
    for prefix in ["", "a/b"] {
        all_calls(&server.store(prefix));
    }
    assert!(server.bucket().join("config").exists());
    assert!(server.bucket().join("a/b/config").exists());
    let moto = Moto::start();
    for prefix in ["", "a/b"] {
        all_calls(&moto.store(prefix));
    }
}

#[test]
fn a_listing_is_complete_past_a_thousand_and_knows_its_own() {
    const FILES: u16 = 1_150;
    let (server, moto) = (S3Server::start(), Moto::start());
    for store in [server.store("repository"), moto.store("repository")] {
        let next = AtomicU8::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        let lane = u16::from(next.fetch_add(1, SeqCst));
                        let numbers = (lane * 50..FILES.min((lane + 1) * 50)).collect::<Vec<_>>();
                        if numbers.is_empty() {
                            break;
                        }
                        for number in numbers {
                            let bytes = Bytes::from(vec![0; usize::from(number % 7)]);
                            store.write(&op(), Kind::Pack, &id(number * 57), bytes).unwrap();
                        }
                    }
                });
            }
        });
        let listed = store.list(&op(), Kind::Pack).unwrap();
        let ids: BTreeSet<Id> = listed.iter().map(|file| file.id).collect();
        assert_eq!(listed.len(), usize::from(FILES), "none twice");
        assert_eq!(ids, (0..FILES).map(|number| id(number * 57)).collect());
    }
    // What others put beside is not ours.
    let data = server.bucket().join("repository/data");
    let foreign = id(1).to_string();
    fs::create_dir_all(data.join("ff/00")).unwrap();
    for name in ["note", &foreign, &format!("ff/{foreign}"), &format!("ff/00/{foreign}")] {
        fs::write(data.join(name), "x").unwrap();
    }
    let listed = server.store("repository").list(&op(), Kind::Pack).unwrap();
    assert_eq!(listed.len(), usize::from(FILES));
}

/// What opening such a place says, and after how long.
fn refused(settings: S3Settings) -> (Error, Duration) {
    let started = Instant::now();
    let result = S3::open(settings).and_then(|s3| s3.read(&op(), Kind::Config, &Id::default()));
    (result.unwrap_err(), started.elapsed())
}

#[test]
fn whoever_is_wrong_is_told_what_to_do() {
    let server = S3Server::start();
    let right = server.settings("");
    let given = |key_id: &str, secret: &str| Credentials::Given {
        key_id: key_id.to_owned(),
        secret: secret.to_owned(),
    };
    let secret = given("AKIABERTH", "wrong-secret");
    let (error, _) = refused(S3Settings { credentials: secret, ..right.clone() });
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.chain().contains("the credentials are refused"), "{error:?}");
    assert!(!error.chain().contains("wrong-secret"), "{error:?}");
    assert!(error.hint().unwrap().contains("credentials-profile"));

    let nobody = S3Settings { bucket: "nobody".into(), ..right.clone() };
    let error = S3::open(nobody).unwrap().create(&op()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.chain().contains("there is no bucket `nobody`"), "{error:?}");

    let moto = Moto::start();
    let (error, _) = refused(S3Settings { bucket: "nobody".into(), ..moto.settings("") });
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.chain().contains("there is no bucket `nobody`"), "{error:?}");

    for (status, code, kind, text) in [
        ("507 Insufficient Storage", "", ErrorKind::Exhausted, "no space is left in bucket"),
        ("403 Forbidden", "QuotaExceeded", ErrorKind::Exhausted, "no space is left in bucket"),
        ("403 Forbidden", "RequestTimeTooSkewed", ErrorKind::Unavailable, "clocks of this host"),
        ("301 Moved", "PermanentRedirect", ErrorKind::Unavailable, "is not in region `us-east-1`"),
        ("403 Forbidden", "AccessDenied", ErrorKind::Unavailable, "access to bucket `bucket`"),
    ] {
        let canned = Canned::saying(status, code);
        let settings = S3Settings { endpoint: Some(canned.endpoint()), ..right.clone() };
        let store = S3::open(settings).unwrap();
        let started = Instant::now();
        let error = store.write(&op(), Kind::Pack, &id(1), content(1, 1 << 20)).unwrap_err();
        assert_eq!(error.kind(), kind, "{code}: {error:?}");
        assert!(error.chain().contains(text), "{code}: {error:?}");
        assert!(error.hint().is_some(), "{code}");
        assert_eq!(canned.asked(), 1, "{code}: it would not be another answer");
        assert!(started.elapsed() < Duration::from_secs(3));
    }
    // A busy server is asked again, but not for long by who has not heard of it.
    let canned = Canned::saying("503 Slow Down", "SlowDown");
    let (error, took) = refused(S3Settings { endpoint: Some(canned.endpoint()), ..right.clone() });
    assert!(error.chain().contains("answered 503 (SlowDown)"), "{error:?}");
    assert!(canned.asked() > 1 && took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn a_profile_has_the_key() {
    let server = S3Server::start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name| folder.path().join(name);
    let files = SharedFiles { credentials: path("credentials"), config: path("config") };
    let [(_, key), (_, secret)] = S3Server::key();
    let text = format!("[ours]\naws_access_key_id={key}\naws_secret_access_key={secret}\n");
    fs::write(&files.credentials, text).unwrap();
    let named = |name: &str| S3Settings {
        credentials: Credentials::Profile { name: name.to_owned(), files: files.clone() },
        ..server.settings("")
    };
    S3::open(named("ours")).unwrap().create(&op()).unwrap();
    let error = S3::open(named("theirs")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.chain().contains("`theirs` is neither in"), "{error:?}");
    assert!(error.hint().is_some());
}

#[test]
fn nobody_there_is_said_at_once() {
    let right = S3Settings {
        bucket: "bucket".into(),
        credentials: Credentials::Given { key_id: "a".into(), secret: "b".into() },
        ..S3Settings::default()
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let (error, took) = refused(S3Settings { endpoint: Some(endpoint.clone()), ..right.clone() });
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let expected = format!(
        "repository `s3://bucket`: read config: endpoint `{endpoint}` is not there: the connection is refused"
    );
    assert_eq!(error.chain(), expected);
    assert!(error.hint().unwrap().contains("endpoint"));
    assert!(took < Duration::from_secs(3), "{took:?}");

    // Nor does it take longer where the connection would be encrypted.
    let endpoint = format!("https://{free}");
    let (error, took) = refused(S3Settings { endpoint: Some(endpoint), ..right.clone() });
    assert!(error.chain().ends_with("is not there: the connection is refused"), "{error:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");

    let endpoint = Some("http://berth.invalid:9".to_owned());
    let (error, took) = refused(S3Settings { endpoint, ..right.clone() });
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");

    let silent = Canned::silent();
    let (error, took) = refused(S3Settings { endpoint: Some(silent.endpoint()), ..right });
    assert!(error.chain().ends_with("did not answer in 10 s"), "{error:?}");
    assert!(took < Duration::from_secs(13), "{took:?}");
    assert_eq!(silent.asked(), 1);
}

#[test]
fn a_slow_line_is_waited_for_and_a_cut_one_used_again() {
    let server = S3Server::start();
    let line = Line::to(server.address(), Duration::from_millis(100));
    let settings = S3Settings { endpoint: Some(line.endpoint()), ..server.settings("slow") };
    let store = S3::open(settings).unwrap();
    let bytes = content(3, 16 << 20);
    store.write(&op(), Kind::Pack, &id(1), bytes.clone()).unwrap();
    assert_eq!(store.read(&op(), Kind::Pack, &id(1)).unwrap(), bytes);
    thread::scope(|scope| {
        let before = line.carried();
        let reading = scope.spawn(|| store.read(&op(), Kind::Pack, &id(1)));
        let writing = scope.spawn(|| store.write(&op(), Kind::Pack, &id(2), bytes.clone()));
        within("it flows", || line.carried() > before + (4 << 20));
        line.cut();
        assert_eq!(reading.join().unwrap().unwrap(), bytes);
        writing.join().unwrap().unwrap();
    });
    assert_eq!(store.read(&op(), Kind::Pack, &id(2)).unwrap(), bytes);
}

#[test]
fn a_server_that_is_killed_and_comes_back_is_waited_for() {
    let mut server = S3Server::start();
    let store = server.store("");
    store.create(&op()).unwrap();
    let written = AtomicU8::new(0);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4_u16)
            .map(|lane| {
                let (store, written) = (&store, &written);
                scope.spawn(move || {
                    for number in 0..40 {
                        let number = lane * 100 + number;
                        let bytes = content(number.into(), 256 << 10);
                        store.write(&op(), Kind::Pack, &id(number), bytes).unwrap();
                        written.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        for kill in 1..=3 {
            within("some are written", || written.load(SeqCst) >= kill * 30);
            server.kill();
            server.restart();
        }
        for writer in writers {
            writer.join().unwrap();
        }
    });
    assert_eq!(store.list(&op(), Kind::Pack).unwrap().len(), 160);
    for number in (0..4).flat_map(|lane| (0..40).map(move |number| lane * 100 + number)) {
        let there = store.read(&op(), Kind::Pack, &id(number)).unwrap();
        assert_eq!(there, content(number.into(), 256 << 10));
    }
}

#[test]
fn a_request_that_hangs_is_given_up_when_nobody_wants_it() {
    let server = S3Server::start();
    let line = Line::to(server.address(), Duration::ZERO);
    let settings = S3Settings { endpoint: Some(line.endpoint()), ..server.settings("") };
    let store = S3::open(settings).unwrap();
    store.write(&op(), Kind::Pack, &id(1), content(1, 1 << 20)).unwrap();
    line.die();
    let op = op();
    thread::scope(|scope| {
        let calls = [
            scope.spawn(|| store.read(&op, Kind::Pack, &id(1)).map(drop)),
            scope.spawn(|| store.list(&op, Kind::Pack).map(drop)),
            scope.spawn(|| store.write(&op, Kind::Pack, &id(2), content(2, 8 << 20))),
        ];
        // A deadline that passes ends it as well.
        let late = store.remove(&op.extended(Duration::from_millis(500)), Kind::Pack, &id(1));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(calls.iter().all(|call| !call.is_finished()), "they hang");
        let started = Instant::now();
        op.cancel();
        for call in calls {
            assert_eq!(call.join().unwrap().unwrap_err().kind(), ErrorKind::Conflict);
        }
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    });
}

/// Polls until `done`, or a minute is over.
fn within(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not in a minute");
        thread::sleep(Duration::from_millis(1));
    }
}
