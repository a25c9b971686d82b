//! Limits, for pools that have them.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{
    Attached, Pool, Stage,
    filled::{aside, top},
    op, refused, settled,
    snapshots::{of, planned},
};
use crate::{
    Bytes, Context as _, ErrorKind, Handle, Observed, Op, Resize, Result, Sidecar, Target, Usage,
};

const MIB: u64 = 1 << 20;

/// What an empty volume or the book-keeping of a file may take.
const LITTLE: u64 = 256 << 10;

impl<S: Stage> Pool<S> {
    fn limits(&self) -> &dyn Resize {
        self.backend.resize().expect("a pool with limits")
    }

    fn usage(&self, volume: &Handle) -> Usage {
        self.limits().usage(&op(), volume).expect("known")
    }

    fn used(&self, volume: &Handle) -> u64 {
        self.usage(volume).used.expect("known without counting").0
    }

    /// Puts another limit in force, as `volume resize` does.
    fn resize(&self, handle: &Handle, sidecar: &mut Sidecar, limit: Option<u64>) {
        sidecar.spec.options.size = limit.map(Bytes);
        settled(|| self.backend.apply(&op(), handle, sidecar)).expect("applied");
        assert_eq!(self.usage(handle).limit, limit.map(Bytes), "in force at once");
        settled(|| self.backend.describe(&op(), handle, sidecar)).expect("described");
    }
}

/// Writes as the root of a container does: on ext4 limits do not hold for who has
/// `CAP_SYS_RESOURCE`, which a container has only if it is privileged.
fn write(attached: &Attached, name: &str, bytes: u64) -> bool {
    let status = Command::new("setpriv")
        .args(["--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "dd", "if=/dev/zero"])
        .args([&format!("of={name}"), "bs=64K", &format!("count={}", bytes >> 16), "conv=fsync"])
        .current_dir(attached.path("."))
        .stderr(Stdio::null())
        .status();
    status.expect("setpriv and dd are there").success()
}

/// What a writer gets to see who is past the limit, and how much fits before.
pub fn a_limit_holds<S: Stage>() {
    let pool = Pool::<S>::new();
    pool.limits().can_limit(&op()).expect("limits can be had");
    let (handle, _) = pool.volume("db", &[("size", "8M")]);
    assert_eq!(pool.usage(&handle).limit, Some(Bytes(8 * MIB)));
    let attached = pool.attach(&handle);
    assert!(write(&attached, "small", MIB), "there is room");
    assert!(!write(&attached, "large", 16 * MIB), "more than the limit");
    let written = fs::metadata(attached.path("large")).expect("there").len();
    assert!((6 * MIB..=7 * MIB).contains(&written), "{written} bytes fitted");
    let used = pool.used(&handle);
    assert!((7 * MIB..=8 * MIB).contains(&used), "{used} bytes are used");
}

/// What one volume takes, another does not see.
pub fn a_limit_is_of_one_volume<S: Stage>() {
    let pool = Pool::<S>::new();
    let [(one, _), (two, _)] = ["one", "two"].map(|name| pool.volume(name, &[("size", "4M")]));
    let (free, _) = pool.volume("free", &[]);
    assert!(!write(&pool.attach(&one), "file", 8 * MIB));
    assert!(pool.used(&two) < LITTLE, "nothing was written there");
    assert!(write(&pool.attach(&two), "file", 3 * MIB), "it has room of its own");
    assert!(write(&pool.attach(&free), "file", 8 * MIB), "it has no limit");
    assert_eq!(pool.usage(&free).limit, None);
}

/// Up, down, below what is there, away; over a restart too.
pub fn a_limit_changes<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, mut sidecar) = pool.volume("db", &[("size", "4M")]);
    assert!(!write(&pool.attach(&handle), "file", 8 * MIB));
    pool.resize(&handle, &mut sidecar, Some(16 * MIB));
    assert!(write(&pool.attach(&handle), "file", 8 * MIB), "there is room now");
    pool.resize(&handle, &mut sidecar, Some(2 * MIB));
    assert!(!write(&pool.attach(&handle), "more", MIB), "it is over-full");
    let pool = pool.restart();
    assert_eq!(pool.usage(&handle).limit, Some(Bytes(2 * MIB)));
    pool.resize(&handle, &mut sidecar, None);
    assert!(write(&pool.attach(&handle), "more", 16 * MIB), "it has no limit");
    pool.resize(&handle, &mut sidecar, Some(64 * MIB));
}

/// Without a limit, it is known all the same; and it is what counting finds.
pub fn what_a_volume_takes_is_known<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    assert!(pool.used(&handle) < LITTLE, "nothing is in it");
    let attached = pool.attach(&handle);
    fs::create_dir(attached.path("folder")).expect("made");
    assert!(write(&attached, "folder/file", 3 * MIB));
    fs::hard_link(attached.path("folder/file"), attached.path("again")).expect("linked");
    let used = pool.used(&handle);
    assert!((3 * MIB..3 * MIB + LITTLE).contains(&used), "{used}");
    let counted = pool.limits().count(&op(), &handle).expect("counted").0;
    assert!(counted.abs_diff(used) < LITTLE, "{used} known, {counted} counted");
    let enrolled = pool.limits().enrol(&op(), &handle).expect("it was known before");
    assert_eq!(enrolled.used, Some(Bytes(used)));
    for name in ["again", "folder/file"] {
        fs::remove_file(attached.path(name)).expect("removed");
    }
    // Some file systems free space a moment later.
    let deadline = Instant::now() + Duration::from_secs(20);
    while pool.used(&handle) >= LITTLE {
        assert!(Instant::now() < deadline, "{} are still taken", pool.used(&handle));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Into the trash and out of it, at one stroke and with the limit.
pub fn the_trash_keeps_the_limit<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[("size", "4M")]);
    assert!(write(&pool.attach(&handle), "file", 3 * MIB));
    let before = pool.usage(&handle);
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    assert_eq!(pool.usage(&handle), before, "in the trash");
    settled(|| pool.backend.restore(&op(), &handle)).expect("restored");
    assert_eq!(pool.usage(&handle), before, "and out of it");
    assert!(!write(&pool.attach(&handle), "more", 2 * MIB), "it holds again");
    settled(|| pool.backend.remove(&op(), &handle)).expect("removed");
    settled(|| pool.backend.purge(&op(), &handle)).expect("purged");
    assert!(pool.limits().usage(&op(), &handle).is_err(), "there is nothing to know");
}

/// A program moves its files about as it does without a limit.
pub fn renames_within_a_volume_work<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[("size", "8M")]);
    let attached = pool.attach(&handle);
    fs::create_dir_all(attached.path("a/b")).expect("made");
    fs::create_dir(attached.path("c")).expect("made");
    fs::write(attached.path("a/b/file"), "content").expect("written");
    fs::rename(attached.path("a/b"), attached.path("c/b")).expect("moved");
    fs::rename(attached.path("c/b/file"), attached.path("file")).expect("moved");
    assert_eq!(fs::read(attached.path("file")).expect("there"), b"content");
}

/// As a restore writes: as root, whom ext4 lets write past any limit.
fn filled(target: Target<'_>, mebibytes: u64) -> Result<()> {
    let content = vec![b'x'; usize::try_from(mebibytes * MIB).expect("it fits")];
    fs::write(top(target).join("file"), content).context(|| "write")
}

/// What does not fit is refused, whatever root may write; what fits is counted.
pub fn a_limit_holds_for_what_is_put_there<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.planned("db", &[("size", "4M")]);
    let fill = |_: &Op, target: Target<'_>| filled(target, 6);
    let made = settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &fill));
    let error = refused(made, "more than the limit");
    assert_eq!(error.kind(), ErrorKind::Exhausted, "{error:?}");
    let observed = pool.backend.inspect(&op(), &handle).expect("evidence");
    assert_eq!(observed, Observed::Incomplete);
    let fill = |_: &Op, target: Target<'_>| filled(target, 3);
    settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &fill)).expect("it fits");
    assert_eq!(pool.usage(&handle).limit, Some(Bytes(4 * MIB)));
    let used = pool.used(&handle);
    assert!((3 * MIB..3 * MIB + LITTLE).contains(&used), "{used}");
    assert!(!write(&pool.attach(&handle), "more", 2 * MIB), "it is nearly full");
}

/// What a restore needs meanwhile takes nothing of the limit, and goes when it is closed.
pub fn what_is_put_aside_does_not_count<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, sidecar) = pool.planned("db", &[("size", "4M")]);
    let fill = |_: &Op, target: Target<'_>| {
        let scratch = aside(target).join("scratch");
        let file = fs::File::create_new(&scratch).context(|| "make")?;
        fs::remove_file(&scratch).context(|| "take its name")?;
        let content = vec![b'x'; usize::try_from(6 * MIB).expect("it fits")];
        std::io::Write::write_all(&mut &file, &content).context(|| "write aside")?;
        file.sync_all().context(|| "sync")?;
        // Counted while both are there.
        filled(target, 3)?;
        let limits = pool.limits().usage(&op(), &handle)?;
        let used = limits.used.expect("known without counting").0;
        assert!((3 * MIB..3 * MIB + LITTLE).contains(&used), "{used} bytes count");
        Ok(())
    };
    settled(|| pool.backend.create_from(&op(), &handle, &sidecar, &fill)).expect("it fits");
    let used = pool.used(&handle);
    assert!((3 * MIB..3 * MIB + LITTLE).contains(&used), "{used}");
}

/// The limit goes over to the new content, and leaves what is kept.
pub fn replaced_content_is_counted<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, own) = pool.volume("db", &[("size", "4M")]);
    assert!(write(&pool.attach(&handle), "old", 3 * MIB));
    let (kept, description) = planned(&pool, &handle, own.spec.id, "kept");
    let fill = |_: &Op, target: Target<'_>| filled(target, 2);
    settled(|| of(&pool).replace(&op(), &handle, &kept, &description, &fill)).expect("replaced");
    assert_eq!(pool.usage(&handle).limit, Some(Bytes(4 * MIB)));
    let used = pool.used(&handle);
    assert!((2 * MIB..2 * MIB + LITTLE).contains(&used), "{used}");
    assert!(write(&pool.attach(&handle), "more", MIB), "there is room");
    assert!(!write(&pool.attach(&handle), "most", 2 * MIB), "and no more");
}
