//! A host that died.

use serde_json::json;

use crate::{
    pair::Pair,
    support::poll::{self, SOON},
};

#[test]
fn what_a_dead_host_has_is_let_go_of_by_hand_only() {
    let mut pair = Pair::new("dead");
    pair.one.daemon.plugin().create("db", &json!({})).expect("created");
    pair.one.daemon.plugin().mount("db", "c").expect("mounted");
    let dead = pair.one.id();
    pair.one.daemon.kill();
    let two = pair.two.daemon.plugin();
    for _ in 0..2 {
        let text = two.remove("db").expect_err("that host may still write");
        assert!(text.contains(&dead), "{text}");
        pair.two.daemon.restart();
    }
    let (status, error) = pair.two.forget_host("db", "somebody");
    assert_eq!(status, 404, "{error}");
    assert!(error.to_string().contains(&dead), "it says who has it: {error}");
    let (status, error) = pair.two.forget_host("db", &pair.two.id());
    assert_eq!(status, 400, "{error}");
    two.remove("db").expect_err("still");
    let out = pair.two.daemon.berth(&["volume", "repair", "db", "--forget-host", &dead]);
    assert!(out.status.success(), "{out:?}");
    two.remove("db").expect("nobody has it");
}

#[test]
fn a_reboot_clears_what_the_host_had_itself() {
    let mut pair = Pair::new("reboot");
    pair.one.daemon.plugin().create("db", &json!({})).expect("created");
    pair.one.daemon.plugin().mount("db", "c").expect("mounted");
    pair.two.daemon.plugin().remove("db").expect_err("in use there");
    // A crash of the daemon alone changes nothing: the container still has it.
    pair.one.daemon.restart();
    pair.two.daemon.plugin().remove("db").expect_err("in use there");
    pair.one.daemon.kill();
    let target = pair.one.daemon.setup.root.join("mounts/db");
    pair.one.host.sh(&format!("umount {}", target.display()));
    pair.one.revive(&[("BERTH_TEST_BOOT_ID", "another")]);
    poll::holds("removed", SOON, || pair.two.daemon.plugin().remove("db").is_ok());
}
