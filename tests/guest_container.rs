//! What a limit is for: a container that would fill the disk.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

mod support;

use serde_json::Value;
use support::{
    poll::{self, SOON},
    rig::Rig,
};

const MIB: u64 = 1 << 20;

#[test]
fn a_container_does_not_get_past_the_limit() {
    let rig = Rig::new("limited");
    rig.engine.ok(&["volume", "create", "-d", "berth", "-o", "size=8M", "db"]);
    let refused = rig.try_sh(&["-v", "db:/data"], "dd if=/dev/zero of=/data/file bs=64k count=256");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("quota exceeded"), "{said}");
    // What it was refused is not lost on the next one, and `df` says why.
    let df = rig.sh(&["-v", "db:/data"], "df -k /data | tail -n 1 | awk '{ print $2 }'");
    assert_eq!(df, "8192");

    rig.engine.ok(&["volume", "create", "-d", "berth", "-o", "size=8192K", "db"]);
    let resized = rig.berth.berth(&["volume", "resize", "db", "64M"]);
    assert!(resized.status.success(), "{resized:?}");
    rig.sh(&["-v", "db:/data"], "dd if=/dev/zero of=/data/file bs=64k count=256");
    let shown = |key: &str| -> Option<u64> {
        let status = rig.engine.inspect("volume", "db", "{{json .Status}}");
        serde_json::from_str::<Value>(&status).expect("JSON")[key].as_u64()
    };
    poll::holds("what it takes is shown", SOON, || {
        shown("used").is_some_and(|used| (16 * MIB..17 * MIB).contains(&used))
    });
    assert_eq!(shown("size"), Some(64 * MIB));
}
