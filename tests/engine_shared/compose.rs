//! One Compose file on both hosts.

use crate::{
    site::site,
    support::{
        compose,
        docker::IMAGE,
        poll::{self, SOON},
    },
};

/// The volume is made by whoever is first. `down -v` takes it away when the other host
/// has let go of it, and leaves it alone before.
#[test]
fn one_compose_file_is_up_on_two_hosts() {
    let site = site();
    let (one, two) = (&site.one, &site.two);
    let text = format!(
        r#"
version: "2.4"
services:
  web:
    image: {IMAGE}
    init: true
    network_mode: none
    command: ["sh", "-c", "echo $$HOSTNAME_OF_NODE >>/data/log; exec sleep 100000"]
    environment: [HOSTNAME_OF_NODE]
    volumes: ["content:/data"]
volumes:
  content:
    name: composed
    driver: berth
    driver_opts: {{ pool: shared, mode: "0770" }}
"#
    );
    let files = [one, two].map(|node| {
        let text = text.replace("HOSTNAME_OF_NODE]", &format!("HOSTNAME_OF_NODE={}]", node.name));
        node.stage.file("app/docker-compose.yml", text)
    });
    compose::ok(&one.engine(), &files[0], &["up", "-d"]);
    // Compose 1 compares the options with those that this Docker knows, and it knows none
    // of a volume that another host made.
    two.docker(&[
        "volume",
        "create",
        "-d",
        "berth",
        "-o",
        "pool=shared",
        "-o",
        "mode=0770",
        "composed",
    ]);
    compose::ok(&two.engine(), &files[1], &["up", "-d"]);
    let read = || two.docker(&["exec", "app_web_1", "cat", "/data/log"]);
    poll::equal("both have written", SOON, &"node-1\nnode-2".to_owned(), read);
    assert_eq!(one.berth.control().volume("composed")["given"]["mode"], "0770");

    compose::run(&one.engine(), &files[0], &["down", "-v", "-t", "1"]);
    assert_eq!(read(), "node-1\nnode-2", "the other host has it");
    compose::ok(&two.engine(), &files[1], &["down", "-v", "-t", "1"]);
    poll::holds("it is gone on both", SOON, || {
        site.both(|node| node.engine().run(&["volume", "inspect", "composed"]).status.success())
            == [false, false]
    });
}
