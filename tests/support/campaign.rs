//! Kills and errors at the failpoints that a story passes, enumerated at run time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write as _},
    panic::{self, AssertUnwindSafe},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    operation::Op,
    random,
    stage::Stage,
    story::{End, Story, Tale},
};

/// Stories told at the same time; they mostly wait for the disk.
const TELLERS: usize = 3;

/// What failpoints that are passed for each file begin with.
const LOOPS: [&str; 2] = ["copy.", "beneath.remove-"];

/// One pass of one failpoint, and the verb under way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pass {
    /// The failpoint.
    pub name: String,
    /// How manieth pass of it.
    pub nth: u64,
    /// The verb, `start` or `stop`.
    pub verb: String,
    /// How manieth step of the story.
    pub step: usize,
}

/// Whether a long run was asked for: `BERTH_LONG=1`.
pub fn is_long() -> bool {
    random::number("BERTH_LONG", 0) > 0
}

/// The passes of that step of each verb that has most of them; of failpoints in
/// loops the first and the last. All passes in a long run.
pub fn fullest(passes: Vec<Pass>) -> Vec<Pass> {
    if is_long() {
        return passes;
    }
    let mut steps = BTreeMap::<(&str, usize), usize>::new();
    for pass in &passes {
        *steps.entry((&pass.verb, pass.step)).or_default() += 1;
    }
    let mut fullest = BTreeMap::<&str, (usize, usize)>::new();
    for ((verb, step), count) in steps {
        let most = fullest.entry(verb).or_default();
        *most = (*most).max((count, step));
    }
    let chosen: BTreeSet<usize> = fullest.into_values().map(|(_, step)| step).collect();
    let mut ends = BTreeMap::<(usize, &str), (u64, u64)>::new();
    for pass in &passes {
        ends.entry((pass.step, &pass.name)).or_insert((pass.nth, pass.nth)).1 = pass.nth;
    }
    let is_chosen = |pass: &&Pass| {
        let (first, last) = ends[&(pass.step, pass.name.as_str())];
        let in_loop = LOOPS.iter().any(|prefix| pass.name.starts_with(prefix));
        chosen.contains(&pass.step) && (!in_loop || pass.nth == first || pass.nth == last)
    };
    passes.iter().filter(is_chosen).cloned().collect()
}

/// The first pass of each failpoint in each verb.
pub fn firsts(passes: Vec<Pass>) -> Vec<Pass> {
    let mut seen = BTreeSet::new();
    passes.into_iter().filter(|pass| seen.insert((pass.name.clone(), pass.verb.clone()))).collect()
}

/// Kills the daemon at each of these passes; afterwards everything that was
/// acknowledged must be there, the operation in flight wholly or not at all, and
/// nothing left over. The recovery is killed too, once at each failpoint for each
/// failpoint that led to it, if `again`.
#[track_caller]
pub fn kill(tale: Tale, passes: &[Pass], again: bool) {
    let recovered: Mutex<BTreeSet<(String, String)>> = Mutex::default();
    let missed: Mutex<BTreeSet<Pass>> = Mutex::default();
    let report = each(passes, |pass| {
        let traces = Stage::new("trace");
        let trace = traces.join("recovery");
        let Some(lost) = crash(tale, pass) else {
            missed.lock().expect("no teller panics with it").insert(pass.clone());
            return Ok(());
        };
        let (mut story, lost) = lost;
        story.revive(&[("BERTH_FAILPOINTS_TRACE", trace.display().to_string())]);
        story.check(lost.as_ref())?;
        // Recovery itself is killed at each failpoint that it passes, once for
        // each failpoint that led to it.
        let text = fs::read_to_string(&trace).unwrap_or_default();
        for name in names(&text).into_iter().filter(|_| again) {
            let new = recovered
                .lock()
                .expect("no teller panics with it")
                .insert((pass.name.clone(), name.clone()));
            if new && let Some((mut story, lost)) = crash(tale, pass) {
                story.revive(&[("BERTH_FAILPOINTS", format!("{name}=kill@1"))]);
                story.is_up();
                story.daemon.kill();
                story.revive(&[]);
                story.check(lost.as_ref()).map_err(|e| format!("killed again at {name}: {e}"))?;
            }
        }
        Ok(())
    });
    assert!(
        report.is_empty(),
        "{} of {} passes:\n{}",
        report.len(),
        passes.len(),
        report.join("\n")
    );
    let missed = missed.into_inner().expect("no teller panics with it");
    let reached: BTreeSet<_> =
        passes.iter().filter(|pass| !missed.contains(pass)).map(|pass| &pass.name).collect();
    let all: BTreeSet<_> = passes.iter().map(|pass| &pass.name).collect();
    assert_eq!(reached, all, "failpoints that no kill reached");
    say(&format!(
        "{} failpoints, {} passes killed at ({} not reached again), {} kills in recovery",
        all.len(),
        passes.len() - missed.len(),
        missed.len(),
        recovered.into_inner().expect("no teller panics with it").len(),
    ));
}

/// Has each of these passes fail, for want of space and for an I/O error: one clear
/// error, and nothing changed.
#[track_caller]
pub fn fail(tale: Tale, passes: &[Pass]) {
    let cases: Vec<_> = passes
        .iter()
        .cloned()
        .flat_map(|pass| [(pass.clone(), nix::libc::ENOSPC), (pass, nix::libc::EIO)])
        .collect();
    let report = each(&cases, |(pass, errno)| {
        let rule = format!("{}=error:{errno}@{}", pass.name, pass.nth);
        // What failed in the background is tried again soon.
        let haste = ("BERTH_TEST_SWEEP_SECONDS", "1".to_owned());
        let mut story = Story::begin(tale, &[("BERTH_FAILPOINTS", rule), haste]);
        match story.tell(|_| ()) {
            End::Told => {}
            // A start may be refused, with a reason.
            End::Died(None) if pass.verb == "start" => {
                let log = story.daemon.log();
                let answers = story.daemon.is_alive();
                if log.trim().is_empty() && !answers {
                    return Err("the daemon ended without a word".to_owned());
                }
            }
            End::Died(lost) => return Err(format!("the daemon died; lost: {lost:?}")),
        }
        story.revive(&[]);
        story.check(None).map_err(|e| format!("{e}\nrefused before: {:?}", story.refusals))
    });
    assert!(report.is_empty(), "{} of {} cases:\n{}", report.len(), cases.len(), report.join("\n"));
    say(&format!("{} errors at failpoints", cases.len()));
}

/// Tells the story until the daemon dies at `pass`; `None` if it never came
/// there (background work does not pass in the same order every time).
pub fn crash(tale: Tale, pass: &Pass) -> Option<(Story, Option<Op>)> {
    for _ in 0..2 {
        let rule = format!("{}=kill@{}", pass.name, pass.nth);
        let mut story = Story::begin(tale, &[("BERTH_FAILPOINTS", rule)]);
        match story.tell(|_| ()) {
            End::Died(lost) => return Some((story, lost)),
            End::Told => {}
        }
    }
    None
}

/// All passes of all failpoints in one story.
pub fn enumerate(tale: Tale) -> Vec<Pass> {
    let stage = Stage::new("trace");
    let trace = stage.join("trace");
    let mut story = Story::begin(tale, &[("BERTH_FAILPOINTS_TRACE", trace.display().to_string())]);
    let (mut passes, mut counts) = (Vec::new(), BTreeMap::<String, u64>::new());
    let (mut seen, mut step) = (0, 0);
    let end = story.tell(|verb| {
        let text = fs::read_to_string(&trace).unwrap_or_default();
        for name in text.lines().skip(seen) {
            let nth = counts.entry(name.to_owned()).or_default();
            *nth += 1;
            passes.push(Pass { name: name.to_owned(), nth: *nth, verb: verb.to_owned(), step });
        }
        seen = text.lines().count();
        step += 1;
    });
    assert!(matches!(end, End::Told), "{end:?}");
    assert!(counts.len() > 5, "hardly a failpoint was passed: {counts:?}");
    passes
}

/// Runs `tell` for all cases, some at a time; the failures, each with its case.
pub fn each<T: Sync + std::fmt::Debug>(
    cases: &[T],
    tell: impl Fn(&T) -> Result<(), String> + Sync,
) -> Vec<String> {
    let (next, report) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..TELLERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let told = panic::catch_unwind(AssertUnwindSafe(|| tell(case)));
                    let failure = match told {
                        Ok(Ok(())) => continue,
                        Ok(Err(text)) => text,
                        Err(cause) => message(cause.as_ref()),
                    };
                    if std::env::var_os("BERTH_SABOTEUR").is_some() {
                        // One failure catches a saboteur.
                        next.store(cases.len(), Ordering::Relaxed);
                    }
                    let mut report = report.lock().expect("pushing does not panic");
                    report.push(format!("{case:?}: {failure}"));
                }
            });
        }
    });
    report.into_inner().expect("pushing does not panic")
}

fn message(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<String>().cloned();
    text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn names(trace: &str) -> BTreeSet<String> {
    trace.lines().map(ToOwned::to_owned).collect()
}

/// To the terminal, also when the test passes.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
