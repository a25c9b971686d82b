//! Every failpoint once, enumerated at run time.
//!
//! One story through every verb is told with a trace; then again for each pass
//! of each failpoint, with a `kill -9` just there, and for each failpoint and
//! verb with an error there. Afterwards everything that was acknowledged must be
//! there, the operation in flight wholly or not at all, and nothing left over.

mod support;

use support::{
    campaign::{self, crash, each, enumerate, firsts},
    script,
    story::Tale,
};

const TALE: Tale = Tale { script: script::volumes, disk: None };

#[test]
fn a_kill_at_any_pass_of_any_failpoint_loses_nothing() {
    campaign::kill(TALE, &enumerate(TALE), true);
}

/// The shortest form of the above, for an engine that acts before it records.
#[test]
fn a_kill_within_a_create_leaves_all_or_nothing() {
    let mut passes = enumerate(TALE);
    let create = passes.iter().position(|pass| pass.verb == "create").expect("the first verb");
    passes.drain(..create);
    let end = passes.iter().position(|pass| pass.verb != "create").expect("more verbs");
    passes.truncate(end);
    let report = each(&passes, |pass| {
        let (mut story, lost) =
            crash(TALE, pass).ok_or("the first Create passes in the same order")?;
        story.revive(&[]);
        story.check(lost.as_ref())
    });
    assert!(
        report.is_empty(),
        "{} of {} passes:\n{}",
        report.len(),
        passes.len(),
        report.join("\n")
    );
}

#[test]
fn an_error_at_any_failpoint_is_one_clear_error_and_changes_nothing() {
    campaign::fail(TALE, &firsts(enumerate(TALE)));
}
