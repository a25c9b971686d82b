//! A daemon that is killed between what it made and what it wrote down of it: nothing is
//! made twice, nothing is left out.

use crate::{
    House, list,
    support::{
        daemon::Setup,
        poll::{self, SOON},
        stage::Stage,
    },
};

const BOTH: &str = "
[policies.h]
snapshot = \"0 * * * *\"
keep-snapshots = { last = 2 }
backup = \"0 * * * *\"
keep-backups = { last = 2 }
";

/// A house whose daemon is killed at the `nth` pass of a failpoint, from the second
/// start on.
fn killed_at(name: &'static str, nth: u64) -> House {
    let mut house = House::with(BOTH, |setup: Setup, _: &Stage| setup);
    house.volume("v", "h");
    for hour in 1..=2 {
        house.at(&format!("2026-03-02T{hour:02}:00:00Z"));
    }
    let rule = format!("{name}=kill@{nth}");
    house.daemon.setup = house.daemon.setup.clone().env("BERTH_FAILPOINTS", rule);
    house.daemon.restart();
    house.settled();
    house.clock.set("2026-03-02T03:00:00Z");
    poll::holds("it is killed", SOON, || !house.daemon.is_alive());
    house.daemon.setup = house.daemon.setup.clone().env("BERTH_FAILPOINTS", "");
    house.clock.set("2026-03-02T03:05:00Z");
    house.daemon.restart();
    house.settled();
    house
}

#[test]
fn a_kill_at_any_step_of_a_slot_makes_nothing_twice_and_leaves_nothing_out() {
    for (name, nth) in [
        ("engine.policy.made", 1),
        ("engine.policy.made", 2),
        ("engine.policy.tidied", 1),
        ("engine.policy.tidied", 2),
        ("backup.snapshot.write", 1),
        ("forget.snapshot.remove", 1),
    ] {
        let house = killed_at(name, nth);
        let at = format!("{name} {nth}");
        assert_eq!(house.snapshots("v"), list("v@h-20260302T020000Z v@h-20260302T030000Z"), "{at}");
        let mut backups = house.backups("v");
        // One that was not made before the kill is made after it.
        let last = backups.pop().expect("a backup");
        assert!(last == "2026-03-02T03:00:00Z" || last == "2026-03-02T03:05:00Z", "{at}: {last}");
        assert_eq!(backups, list("2026-03-02T02:00:00Z"), "{at}");
        for kind in ["snapshot", "backup"] {
            let task = house.task("v", kind);
            assert_eq!(task["last"], "2026-03-02T03:00:00Z", "{at}");
            assert!(task["removal-error"].is_null(), "{at}: {task}");
        }
    }
}
