//! `kill -9` of one host at each of its steps: the other sees the whole or
//! nothing, and the first comes to an end with what it began.

use std::{collections::BTreeSet, fs, io, thread};

use serde_json::{Value, json};

use crate::{
    pair::{Pair, Side},
    place::Place,
    support::{
        pause::Pause,
        poll::{self, SOON},
        stage::Stage,
    },
};

/// What the host that dies does: prepared, then killed in the middle.
#[derive(Clone, Copy)]
struct Verb {
    name: &'static str,
    prepare: fn(&Pair),
    act: fn(&Side) -> io::Result<Result<Value, String>>,
    /// Waits until what follows the answer is done.
    ended: fn(&Pair) -> bool,
}

fn call(side: &Side, verb: &str, body: &Value) -> io::Result<Result<Value, String>> {
    side.daemon.plugin().attempt(&format!("VolumeDriver.{verb}"), body)
}

/// The state in the pool, as its highest version says it.
fn written(pair: &Pair) -> Option<String> {
    let records = pair.path().join(".berth/records");
    let folder = fs::read_dir(records).ok()?.next()?.ok()?.path();
    let highest = fs::read_dir(&folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok())
        .max()?;
    let text = fs::read(folder.join(highest.to_string())).ok()?;
    let version: Value = serde_json::from_slice(&text).ok()?;
    Some(version["content"]["body"]["state"]["is"].as_str()?.to_owned())
}

const VERBS: [Verb; 3] = [
    Verb {
        name: "create",
        prepare: |_| {},
        act: |side| call(side, "Create", &json!({"Name": "db", "Opts": {}})),
        ended: |pair| written(pair).as_deref() == Some("ready"),
    },
    Verb {
        name: "mount",
        prepare: |pair| pair.two.daemon.plugin().create("db", &json!({})).expect("created"),
        act: |side| call(side, "Mount", &json!({"Name": "db", "ID": "c"})),
        ended: |_| true,
    },
    Verb {
        name: "remove",
        prepare: |pair| pair.two.daemon.plugin().create("db", &json!({})).expect("created"),
        act: |side| call(side, "Remove", &json!({"Name": "db"})),
        ended: |pair| written(pair).as_deref().is_none_or(|state| state == "removed"),
    },
];

/// The failpoints that `verb` passes on the host that does it.
fn passes(verb: Verb, pair: &mut Pair) -> Vec<String> {
    let traces = Stage::new("trace");
    let file = traces.join("trace");
    prepared(verb, pair);
    pair.one.revive(&[("BERTH_FAILPOINTS_TRACE", &file.display().to_string())]);
    let _ = pair.one.state("db");
    let before = fs::read_to_string(&file).expect("traced").lines().count();
    (verb.act)(&pair.one).expect("alive").expect("a sound pool");
    poll::holds("it ended", SOON, || (verb.ended)(pair));
    let trace = fs::read_to_string(&file).expect("traced");
    // As `NAME@N`: the how-manieth pass of that name since the start.
    let mut counts = std::collections::BTreeMap::<&str, u64>::new();
    let mut passes = Vec::new();
    for (line, name) in trace.lines().enumerate() {
        let count = counts.entry(name).or_default();
        *count += 1;
        if line >= before {
            passes.push(format!("{name}=kill@{count}"));
        }
    }
    passes
}

fn prepared(verb: Verb, pair: &Pair) {
    (verb.prepare)(pair);
    poll::holds("settled", SOON, || {
        verb.name == "create" || written(pair).as_deref() == Some("ready")
    });
}

/// One pass for each kind of step that the place wants, or all.
fn chosen(passes: Vec<String>) -> Vec<String> {
    let Some(kinds) = Place::kinds_of_steps() else { return passes };
    let middle = |kind: &&str| {
        let kind = format!("{kind}=");
        let of_kind: Vec<_> = passes.iter().filter(|pass| pass.starts_with(&kind)).collect();
        of_kind.get(of_kind.len() / 2).map(|pass| (*pass).clone())
    };
    kinds.iter().filter_map(middle).collect()
}

/// The pair as if it were new, but for the name's folder and the time.
fn cleared(pair: &mut Pair) {
    pair.one.revive(&[]);
    let _ = pair.one.daemon.plugin().unmount("db", "c");
    poll::holds("removed", SOON, || {
        let removed = "/v1/volumes/db?now=true";
        pair.two.state("db").is_none()
            || pair.two.daemon.control().request("DELETE", removed, None).0 < 300
    });
    pair.assert_empty();
}

fn crash(verb: Verb, point: &str, pair: &mut Pair) -> Result<bool, String> {
    prepared(verb, pair);
    pair.one.revive(&[("BERTH_FAILPOINTS", point)]);
    let _ = pair.one.state("db");
    let answer = (verb.act)(&pair.one);
    let died = poll::within(std::time::Duration::from_secs(2), || {
        (!pair.one.daemon.is_alive()).then_some(())
    });
    let answered = matches!(answer, Ok(Ok(_)));
    // The other host: whole or nothing.
    let seen = pair.two.state("db");
    if !matches!(seen.as_deref(), None | Some("ready")) {
        return Err(format!("the other host sees {seen:?}"));
    }
    if verb.name == "mount" && seen.is_none() {
        return Err("a mount lost the volume".to_owned());
    }
    pair.one.revive(&[]);
    let expected = match (verb.name, answered) {
        ("create", true) | ("mount", _) => Some(true),
        ("remove", true) => Some(false),
        _ => None,
    };
    let both = || {
        let states = [pair.one.state("db"), pair.two.state("db")];
        let agree = states[0] == states[1]
            && matches!(states[0].as_deref(), None | Some("ready"))
            && expected.is_none_or(|there| there == states[0].is_some());
        // A removal or a create that was not answered has come to its end.
        let ended = matches!(written(pair).as_deref(), None | Some("ready" | "removed"));
        agree && ended
    };
    if poll::within(SOON, || both().then_some(())).is_none() {
        return Err(format!(
            "answered: {answered}; states {:?} {:?}, written {:?}",
            pair.one.state("db"),
            pair.two.state("db"),
            written(pair)
        ));
    }
    // What the first host had mounted goes with its last unmount, and then all of it.
    let there = pair.one.state("db").is_some();
    if verb.name == "mount" {
        let _ = pair.one.daemon.plugin().unmount("db", "c");
    }
    if there {
        let removed = poll::within(SOON, || pair.two.daemon.plugin().remove("db").ok());
        if removed.is_none() {
            let error = pair.two.daemon.plugin().remove("db");
            return Err(format!("it cannot be removed: {error:?}"));
        }
    }
    pair.two.daemon.plugin().create("db", &json!({})).map_err(|error| format!("name: {error}"))?;
    let left = || fs::read_dir(pair.path().join(".berth/scratch")).expect("readable").count();
    if poll::within(SOON, || (left() == 0).then_some(())).is_none() {
        return Err(format!("{} half written files are left", left()));
    }
    Ok(died.is_some())
}

fn killed_at_each_step(verb: Verb) {
    let mut first = Pair::new("trace");
    let passes = passes(verb, &mut first);
    assert!(passes.len() >= 8, "{passes:?}: this test has gone blind");
    let passes = chosen(passes);
    let kept = std::sync::Mutex::new(Vec::new());
    // A host ends with the thread that made it: only this one may be used again.
    if Place::PAIRS == 1 {
        cleared(&mut first);
        kept.lock().expect("no panic").push(first);
    }
    let next = std::sync::Mutex::new(passes.iter());
    let (report, reached) =
        (std::sync::Mutex::new(Vec::new()), std::sync::Mutex::new(BTreeSet::new()));
    let tell = || {
        loop {
            let Some(point) = next.lock().expect("no panic").next() else { return };
            let used = kept.lock().expect("no panic").pop();
            let mut pair = used.unwrap_or_else(|| Pair::new("crash"));
            match crash(verb, point, &mut pair) {
                Ok(true) => drop(reached.lock().expect("no panic").insert(point)),
                Ok(false) => {}
                Err(error) => {
                    report.lock().expect("no panic").push(format!("{point}: {error}"));
                    continue;
                }
            }
            if Place::PAIRS == 1 {
                cleared(&mut pair);
                kept.lock().expect("no panic").push(pair);
            }
        }
    };
    if Place::PAIRS == 1 {
        tell();
    } else {
        thread::scope(|scope| (0..Place::PAIRS).for_each(|_| drop(scope.spawn(tell))));
    }
    let report = report.into_inner().expect("no panic");
    assert!(
        report.is_empty(),
        "{}: {} of {}:\n{}",
        verb.name,
        report.len(),
        passes.len(),
        report.join("\n")
    );
    let reached = reached.into_inner().expect("no panic").len();
    assert!(reached * 2 > passes.len(), "only {reached} of {} were reached", passes.len());
}

#[test]
fn a_kill_within_a_create_is_whole_or_nothing_to_the_other_host() {
    killed_at_each_step(VERBS[0]);
}

#[test]
fn a_kill_within_a_mount_leaves_the_volume_to_the_other_host() {
    killed_at_each_step(VERBS[1]);
}

#[test]
fn a_kill_within_a_remove_is_whole_or_nothing_to_the_other_host() {
    killed_at_each_step(VERBS[2]);
}

/// What a dead host was in the middle of is taken over by hand only.
#[test]
fn a_create_that_died_is_taken_over_by_hand_only() {
    let mut pair = Pair::new("taken");
    let dead = pair.one.id();
    // The record and the name are there, the data is not: the third file is
    // `volume.json`.
    pair.one.revive(&[("BERTH_FAILPOINTS", "beneath.set-mode=kill@1")]);
    let _ = call(&pair.one, "Create", &json!({"Name": "db", "Opts": {}}));
    poll::holds("it died", SOON, || !pair.one.daemon.is_alive());
    let text = pair.two.daemon.plugin().create("db", &json!({})).expect_err("half made there");
    assert!(text.contains("exists") || text.contains("being made"), "{text}");
    let (status, answer) = pair.two.forget_host("db", &dead);
    assert_eq!(status, 200, "{answer}");
    poll::holds("its rest is gone", SOON, || {
        pair.two.daemon.plugin().create("db", &json!({})).is_ok()
    });
    // The dead come back: what was said of them rules.
    let id = pair.two.daemon.control().volume("db")["id"].clone();
    pair.one.revive(&[]);
    assert_eq!(pair.one.daemon.control().volume("db")["id"], id);
}

#[test]
fn a_removal_that_died_is_taken_over_by_hand_only() {
    let mut pair = Pair::new("removal");
    let two = pair.two.daemon.plugin();
    pair.one.daemon.plugin().create("db", &json!({})).expect("created");
    two.get("db").expect("seen");
    let dead = pair.one.id();
    let at = two.mount("db", "w").expect("mounted");
    // What was never written would be deleted at once.
    pair.two.host.sh(&format!("echo x >{}/file", at.display()));
    two.unmount("db", "w").expect("unmounted");
    poll::holds("let go of", SOON, || pair.two.daemon.mounts().is_empty());
    poll::holds("let go of", SOON, || {
        fs::read_dir(pair.path().join(".berth/attachments")).expect("readable").next().is_none()
    });
    // Killed between the answer, which may come late, and the move into the trash.
    let pause = Pause::at(pair.one.stage.path(), "beneath.rename", 1);
    pair.one.revive(&[("BERTH_FAILPOINTS", pause.rule())]);
    call(&pair.one, "Remove", &json!({"Name": "db"})).expect("answered before").expect("removed");
    pause.reached();
    pair.one.daemon.kill();
    poll::holds("removed there too", SOON, || two.get("db").is_err());
    // Its data still lies where it lay: nobody touches that until somebody says so.
    let text = two.create("db", &json!({})).expect_err("the name is not free yet");
    assert!(text.contains("exists"), "{text}");
    let control = pair.two.daemon.control();
    let (status, error) = control.request("POST", "/v1/volumes/db/undelete", Some(&json!({})));
    assert!(status >= 400 && error.to_string().contains(&dead), "{status} {error}");
    let (status, answer) = pair.two.forget_host("db", &dead);
    assert_eq!(status, 200, "{answer}");
    poll::holds("in the trash", SOON, || {
        control.ok("GET", "/v1/volumes?removed=true", None)[0]["state"] == "removed"
    });
    control.ok("POST", "/v1/volumes/db/undelete", Some(&json!({})));
    two.mount("db", "c").expect("it is back");
    // The dead come back, and leave it alone.
    pair.one.revive(&[]);
    assert_eq!(pair.one.state("db").as_deref(), Some("ready"));
    pair.one.daemon.plugin().remove("db").expect_err("the other host has it");
}
