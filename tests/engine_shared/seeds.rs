//! What an image and `docker cp` bring into a volume of two hosts.

use std::fs;

use crate::{
    site::site,
    support::{
        docker::IMAGE,
        poll::{self, SOON},
    },
};

/// What the image has at the path is copied into the volume by the first host, and by no
/// other; what is copied in by hand is there for all.
#[test]
fn an_image_fills_a_volume_once_for_all_hosts() {
    let site = site();
    let (one, two) = (&site.one, &site.two);
    one.docker(&["volume", "create", "-d", "berth", "-o", "pool=shared", "seeded"]);
    let head = ["run", "-d", "--init", "--network=none", "--name=seeded", "-v", "seeded:/seed"];
    one.docker(&[&head, &[IMAGE, "sleep", "100000"][..]].concat());
    one.exec("seeded", "echo mine >>/seed/hello");
    let file = one.stage.file("carried", "carried\n").display().to_string();
    one.docker(&["cp", &file, "seeded:/seed/carried"]);
    one.docker(&["restart", "-t", "1", "seeded"]);
    assert_eq!(one.exec("seeded", "cat /seed/carried"), "carried");

    two.docker(&[&head, &[IMAGE, "sleep", "100000"][..]].concat());
    assert_eq!(two.exec("seeded", "cat /seed/hello /seed/carried"), "seed\nmine\ncarried");
    let back = two.stage.join("back").display().to_string();
    two.docker(&["cp", "seeded:/seed/carried", &back]);
    assert_eq!(fs::read_to_string(&back).expect("copied out"), "carried\n");
    for node in [one, two] {
        poll::equal("its references", SOON, &1, || node.berth.control().references("seeded"));
    }
    site.both(|node| node.docker(&["rm", "-f", "seeded"]));
}
