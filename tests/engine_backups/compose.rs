//! Compose files whose volumes come out of backups.

use std::{process::Output, thread};

use crate::{
    Ground, PATIENCE,
    support::{
        compose,
        poll::{self, SOON},
    },
};

const COMPOSE: &str = r#"
version: "2.4"
services:
  app:
    image: bb:1
    network_mode: none
    command: sh -c "cd /data && sha256sum * && sleep 100000"
    stop_grace_period: 1s
    volumes: ["data:/data"]
volumes:
  data:
    name: new
    driver: berth
    driver_opts: {from: "backup:latest:db"}
    labels: {a: b}
"#;

impl Ground {
    #[track_caller]
    fn compose(&self, words: &[&str]) -> Output {
        compose::run(&self.rig.engine, &self.rig.stage.file("compose/compose.yml", COMPOSE), words)
    }

    /// The container of the Compose file runs and has read the whole backup.
    #[track_caller]
    fn is_up(&self) -> String {
        let container = String::from_utf8(self.compose(&["ps", "-q"]).stdout).expect("UTF-8");
        let container = container.trim().to_owned();
        assert!(self.rig.engine.is_running(&container));
        poll::equal("what it read", SOON, &self.sums, || self.rig.engine.ok(&["logs", &container]));
        self.rig.references("new", 1);
        container
    }
}

#[test]
fn compose_goes_up_once_the_volume_is_filled_and_changes_nothing_then() {
    let mut ground = Ground::new(3, Some(PATIENCE));
    let pause = ground.pause("restore.file.write");

    let output = ground.compose(&["up", "-d"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{said}");
    ground.tells(&said);
    let labels = || ground.rig.engine.inspect("volume", "new", "{{.Labels.a}}");
    assert_eq!(labels(), "b");

    pause.release();
    let output = ground.compose(&["up", "-d"]);
    assert!(output.status.success(), "{output:?}");
    let container = ground.is_up();
    let id = ground.rig.berth.control().volume("new")["id"].clone();
    // A newer backup is none of its business.
    ground.rig.berth.ok(&["backup", "create", "db"]);
    let output = ground.compose(&["up", "-d"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(ground.is_up(), container, "the same container");
    assert_eq!(ground.rig.berth.control().volume("new")["id"], id, "the same volume");
    assert_eq!(labels(), "b");
    assert!(ground.compose(&["down", "--volumes"]).status.success());
    assert_eq!(ground.rig.names(), ["db"]);
}

#[test]
fn compose_goes_up_in_one_go_if_a_mount_can_wait_for_the_content() {
    let mut ground = Ground::new(3, None);
    let pause = ground.pause("restore.file.write");
    thread::scope(|scope| {
        let up = scope.spawn(|| ground.compose(&["up", "-d"]));
        poll::holds("the container waits for its volume", SOON, || {
            !ground.rig.engine.ok(&["ps", "-aq", "--filter", "status=created"]).is_empty()
        });
        assert_eq!(ground.rig.berth.control().volume("new")["state"], "creating");
        pause.release();
        let output = up.join().expect("no panic");
        assert!(output.status.success(), "{output:?}");
    });
    ground.is_up();
}
