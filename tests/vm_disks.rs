//! Disks of `scripts/vm` that come and go, and those whose power is cut.

mod support;

use std::collections::BTreeMap;

use support::{
    stage::Stage,
    vm::{self, ended, err, out},
};

/// The serial of an EBS volume: the longest there is.
const SERIAL: &str = "vol0123456789abcdef0";

#[test]
fn nvme_disks_come_and_go_with_their_serial_and_keep_their_content() {
    let script = format!(
        r#"
        disk=$(vm-plug {SERIAL} 32M)
        echo "serial $(cat /sys/class/nvme/*/serial | xargs)"
        echo "size $(blockdev --getsize64 "$disk")"
        echo content | dd of="$disk" oflag=direct conv=sync bs=4096 status=none
        other=$(vm-plug other 16M)
        echo "apart $([[ $other != "$disk" && -b $other ]] && echo yes)"
        echo "third $(vm-plug third 16M 2>&1)"
        echo "again $(vm-plug other 16M 2>&1)"
        echo "strange $(vm-plug 'a"b' 16M 2>&1)"
        vm-unplug {SERIAL}
        echo "gone $([[ ! -e $disk ]] && echo yes)"
        echo "left $(cat /sys/class/nvme/*/serial | xargs)"
        disk=$(vm-plug {SERIAL} 32M)
        echo "content $(dd if="$disk" bs=8 count=1 status=none | head -n 1)"
        "#
    );
    let output = vm::run(&["--nvme", "2"], &script);
    ended(&output, 0);
    let text = out(&output);
    let facts: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(facts["serial"], SERIAL);
    assert_eq!(facts["size"], (32 << 20).to_string());
    assert_eq!(facts["apart"], "yes");
    assert!(facts["third"].contains("all 2 slots are taken"), "{}", facts["third"]);
    assert!(facts["again"].contains("slots are taken"), "{}", facts["again"]);
    assert!(facts["strange"].contains("a serial has"), "{}", facts["strange"]);
    assert_eq!((facts["gone"], facts["left"]), ("yes", "other"));
    assert_eq!(facts["content"], "content");
}

#[test]
fn a_power_cut_loses_what_was_not_synced_and_keeps_what_was() {
    let stage = Stage::new("vm-cut");
    let folder = stage.path().to_str().expect("a plain name");
    let keep = ["--keep-disks", folder, "--disk", "128M"];
    let output = vm::run(
        &[&keep[..], &["--power-cut", "now or never"]].concat(),
        r#"
        mkfs.ext4 -q "$VM_DISK_0"
        mount -o commit=600 "$VM_DISK_0" /mnt
        echo synced >/mnt/synced
        sync --file-system /mnt
        echo lost >/mnt/lost
        echo "not now or never"
        echo "now or never"
        sleep infinity
        "#,
    );
    ended(&output, 99);
    assert_eq!(out(&output), "not now or never\nnow or never\n");
    assert!(stage.join("disk-0.img").exists(), "the disk stays");

    // The guest after it; and the cut that needs no marker, which does not wait
    // for output that is on its way.
    let output = vm::run(
        &keep,
        r#"
        mount "$VM_DISK_0" /mnt
        [[ $(</mnt/synced) == synced && ! -e /mnt/lost ]]
        vm-cut
        echo not reached
        "#,
    );
    ended(&output, 99);
    assert_eq!(out(&output), "");
}

#[test]
fn a_cut_that_was_asked_for_and_never_came_fails() {
    let output = vm::run(&["--power-cut", "never"], "echo nothing");
    ended(&output, 125);
    assert!(err(&output).contains("never printed `never`"), "{}", err(&output));
}
