//! What `scripts/vm` promises to its callers: the command runs in this machine's
//! file system, and output and status come out as they are.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use support::{
    stage::Stage,
    vm::{self, ended, err, out},
};

#[test]
fn output_and_status_come_out_as_they_are() {
    // A binary, more than any buffer holds; both names of each stream.
    let output = vm::run(&[], "cat /bin/bash; printf one >&2; printf two >/dev/stderr; exit 7");
    ended(&output, 7);
    let same = output.stdout == fs::read("/bin/bash").expect("bash is there");
    assert!(same, "{} bytes came out", output.stdout.len());
    assert_eq!(err(&output), "onetwo");
}

#[test]
fn the_guest_is_this_machine_with_another_kernel_and_changes_nothing_outside() {
    let stage = Stage::new("vm-root");
    let folder = stage.path().to_str().expect("a plain name");
    stage.file("kept", "before\n");
    stage.file("removed", "before\n");
    let mark = format!("/etc/berth-test-mark-{}", process::id());
    let script = format!(
        r#"
        echo changed >{folder}/kept
        rm {folder}/removed
        echo new | tee {folder}/new >{mark}
        echo "files $(cat {folder}/* {mark} | xargs)"
        echo "kernel $(uname -r)"
        echo "folder $PWD"
        echo "greeting $GREETING"
        echo "word $(grep -o 'berth.tried=[^ ]*' /proc/cmdline)"
        echo "disks $(blockdev --getsize64 $VM_DISK_0 $VM_DISK_1 | xargs)"
        echo "user $(id -u)"
        echo "temporary $(stat --file-system --format %T /tmp /var/tmp | xargs)"
        echo "loopback $(cat /sys/class/net/lo/flags)"
        echo "time $(date +%s)"
        "#
    );
    let options = ["--share", folder, "--env", "GREETING=two  words"];
    let more = ["--append", "berth.tried=yes", "--disk", "64M", "--disk", "96M"];
    let output = vm::run(&[&options[..], &more[..]].concat(), &script);
    ended(&output, 0);
    assert_eq!(err(&output), "");

    let text = out(&output);
    let facts: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(facts["files"], "changed new new");
    let here = fs::read_to_string("/proc/sys/kernel/osrelease").expect("readable");
    assert_ne!(facts["kernel"], here.trim());
    assert_eq!(facts["folder"], env!("CARGO_MANIFEST_DIR"));
    assert_eq!(facts["greeting"], "two  words");
    assert_eq!(facts["word"], "berth.tried=yes");
    assert_eq!(facts["disks"], format!("{} {}", 64 << 20, 96 << 20));
    assert_eq!(facts["user"], "0");
    assert_eq!(facts["temporary"], "tmpfs ext2/ext3");
    assert_eq!(facts["loopback"], "0x9", "up");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let there: u64 = facts["time"].parse().expect("a number");
    assert!(now.abs_diff(there) < 60, "{there} in the guest, {now} here");

    let read = |name: &str| fs::read_to_string(stage.join(name)).expect("still there");
    assert_eq!((read("kept").as_str(), read("removed").as_str()), ("before\n", "before\n"));
    assert!(!stage.join("new").exists() && !Path::new(&mark).exists());
}

#[test]
fn wrong_use_is_told_before_anything_starts() {
    for (options, word) in [(["--disc", "1G"], "--disc"), (["--cpus", "many"], "numbers")] {
        let output = vm::run(&options, "true");
        ended(&output, 2);
        assert!(err(&output).contains(word), "{}", err(&output));
    }
}
