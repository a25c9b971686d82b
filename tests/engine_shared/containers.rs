//! Containers of two hosts on one volume.

use crate::{
    site::site,
    support::poll::{self, SOON},
};

/// From its creation on one host to its removal on the other.
#[test]
fn containers_of_two_hosts_share_a_volume() {
    let site = site();
    let (one, two) = (&site.one, &site.two);
    one.docker(&["volume", "create", "-d", "berth", "-o", "pool=shared", "-o", "mode=0750", "web"]);
    poll::holds("the other host lists it", SOON, || {
        two.docker(&["volume", "ls", "-q"]).lines().any(|name| name == "web")
    });
    assert_eq!(two.berth.control().volume("web")["given"]["mode"], "0750");

    site.both(|node| node.sleeper("web-user", "web"));
    site.both(|node| {
        let file = format!("/data/{}", node.name);
        node.exec("web-user", &format!("for n in 1 2 3; do echo $n >>{file}; done"))
    });
    one.exec("web-user", "echo one >>/data/log");
    two.exec("web-user", "echo two >>/data/log");
    for read in site.both(|node| node.exec("web-user", "cat /data/log /data/node-*")) {
        assert_eq!(read, "one\ntwo\n1\n2\n3\n1\n2\n3", "what was closed is read everywhere");
    }

    one.docker(&["rm", "-f", "web-user"]);
    let said = one.refused(&["volume", "rm", "web"]);
    assert!(said.contains("is in use on the host `node-2`"), "{said}");
    two.docker(&["rm", "-f", "web-user"]);
    poll::holds("it is let go of", SOON, || {
        one.engine().run(&["volume", "rm", "web"]).status.success()
    });
    poll::holds("the other host knows it no more", SOON, || {
        let output = two.engine().run(&["volume", "inspect", "web"]);
        String::from_utf8_lossy(&output.stderr).contains("No such volume")
    });
}
