//! dockerd ends, on one host of two.

use crate::{
    site::site_alone,
    support::poll::{self, SOON},
};

/// Each Docker has labels of its own; killed, it has them still, and the volume is in
/// use by as many as before.
#[test]
fn a_killed_dockerd_keeps_what_it_knew_and_what_it_has() {
    let site = site_alone();
    let (one, two) = (&site.one, &site.two);
    for (node, team) in [(one, "team=red"), (two, "team=blue")] {
        node.docker(&[
            "volume",
            "create",
            "-d",
            "berth",
            "-o",
            "pool=shared",
            "--label",
            team,
            "labelled",
        ]);
    }
    two.sleeper("labelled-user", "labelled");
    {
        let mut engine = two.engine_to_change();
        engine.kill();
        engine.start_again();
    }
    let known = "{{.Labels.team}} {{.Options.pool}}";
    assert_eq!(one.engine().inspect("volume", "labelled", known), "red shared");
    assert_eq!(two.engine().inspect("volume", "labelled", known), "blue shared");

    two.docker(&["start", "labelled-user"]);
    two.exec("labelled-user", "echo after >>/data/log");
    assert_eq!(one.run("labelled", "cat /data/log"), "after");
    let said = one.refused(&["volume", "rm", "labelled"]);
    assert!(said.contains("`node-2`"), "{said}");
    two.docker(&["rm", "-f", "labelled-user"]);
    poll::holds("nobody has it", SOON, || {
        one.engine().run(&["volume", "rm", "labelled"]).status.success()
    });
}
