//! The stage of the tests of NFS itself: that its servers, and the kernel's client,
//! do what those tests stand on.
//!
//! Runs inside the guest of `scripts/vm` (see `scripts/lib/lanes.sh`).

mod support;

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use nix::{errno::Errno, sys::statvfs::statvfs};
use support::{
    host::Host,
    loopfs::Kind,
    mounts,
    nfs::{Mounted, Server, Setup, Squash, mount_command},
    poll::{self, SOON},
    stage::Stage,
};

const MIB: usize = 1 << 20;

/// How long a process that waits for a server is looked at before it counts as
/// waiting.
const WHILE: Duration = Duration::from_secs(2);

/// How long a restarted server may keep its clients waiting, and a busy machine.
const RECLAIM: Duration = Duration::from_secs(60);

/// A server and this machine's mount of it. The server is dropped first, since it
/// may be dead.
struct Scene {
    server: Server,
    mounted: Mounted,
    stage: Stage,
}

impl Scene {
    fn new(setup: Setup, options: &str) -> Self {
        let stage = Stage::new("nfs");
        let server = setup.start(&stage);
        let mounted = Mounted::new(&server, options, &stage.join("mounted"));
        Self { server, mounted, stage }
    }

    /// A mount of the same server at another place, which shows what happens.
    fn try_mount(&self, options: &str) -> Command {
        let (server, own) = (self.server.address().v4, self.server.client().v4);
        mount_command(server.into(), own.into(), options, &self.stage.join("other"))
    }
}

#[test]
fn a_clone_over_nfs_4_2_takes_no_space_where_the_server_shares_blocks() {
    for kind in [Kind::Xfs, Kind::Btrfs] {
        let scene = Scene::new(Setup::new().on(kind).megabytes(400), "vers=4.2,hard");
        let file = scene.mounted.join("file");
        fs::write(&file, vec![7; 8 * MIB]).expect("written");
        let before = used(&scene.server);
        assert!(before > 8 << 20, "{kind:?}: it is on the server: {before}");
        let output = clone(&file, &scene.mounted.join("clone"));
        assert!(output.status.success(), "{kind:?}: {output:?}");
        let taken = used(&scene.server).saturating_sub(before);
        assert!(taken < 1 << 20, "{kind:?}: the clone took {taken}");
        let same = fs::read(scene.server.disk().join("clone")).expect("it is there");
        assert!(same == vec![7; 8 * MIB], "{kind:?}: the clone has the content");
    }
}

#[test]
fn a_clone_is_refused_where_the_server_cannot_or_the_version_has_none() {
    for (setup, options) in [
        (Setup::new().on(Kind::Ext4), "vers=4.2,hard"),
        (Setup::new().on(Kind::Xfs), "vers=4.1,hard"),
    ] {
        let scene = Scene::new(setup, options);
        fs::write(scene.mounted.join("file"), "content").expect("written");
        let output = clone(&scene.mounted.join("file"), &scene.mounted.join("clone"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("Operation not supported"), "{options}: {output:?}");
    }
}

/// What is on the server's disk, in bytes, after everything has got there.
fn used(server: &Server) -> u64 {
    let disk = File::open(server.disk()).expect("it is mounted here too");
    nix::unistd::syncfs(&disk).expect("it syncs");
    let space = statvfs(server.disk()).expect("readable");
    (space.blocks() - space.blocks_free()) * space.fragment_size()
}

fn clone(from: &Path, to: &Path) -> Output {
    Command::new("cp").arg("--reflink=always").args([from, to]).output().expect("cp")
}

#[test]
fn every_version_is_mounted_without_mount_nfs_over_both_protocols() {
    let stage = Stage::new("nfs");
    let server = Setup::new().version_3().start(&stage);
    fs::write(server.disk().join("file"), "content").expect("written");
    let read = |mounted: Mounted, options: &str| {
        let content = fs::read(mounted.join("file"));
        assert_eq!(content.expect(options), b"content", "{options}");
        assert!(mounted.options().contains(options), "{}", mounted.options());
    };
    let point = stage.join("mounted");
    for options in ["vers=4.2", "vers=4.1", "vers=4.0"] {
        read(Mounted::new(&server, options, &point), options);
        read(Mounted::over_ipv6(&server, options, &point), options);
    }
    // Here the kernel asks rpcbind and mountd, and wants to be told how.
    let version_3 = |proto| format!("vers=3,nolock,proto={proto},mountproto={proto}");
    read(Mounted::new(&server, &version_3("tcp"), &point), "vers=3");
    read(Mounted::over_ipv6(&server, &version_3("tcp6"), &point), "vers=3");
}

#[test]
fn options_are_in_force_and_root_is_squashed_on_request() {
    let options = "vers=4.2,softerr,timeo=30,lookupcache=none,actimeo=0";
    let scene = Scene::new(Setup::new().squash(Squash::Root), options);
    let shown = scene.mounted.options();
    for word in ["softerr", "timeo=30", "lookupcache=none", "acregmin=0", "acdirmax=0"] {
        assert!(shown.split(',').any(|shown| shown == word), "{word} in {shown}");
    }
    let refused = fs::write(scene.mounted.join("file"), "").expect_err("nobody may not");
    assert_eq!(refused.raw_os_error(), Some(Errno::EACCES as i32));
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(scene.server.disk(), open).expect("ours");
    fs::write(scene.mounted.join("file"), "").expect("now nobody may");
    let owner = fs::metadata(scene.server.disk().join("file")).expect("there").uid();
    assert_eq!(owner, 65534, "nobody's");
}

#[test]
fn who_writes_waits_for_a_stopped_server_and_keeps_files_and_locks() {
    let scene = Scene::new(Setup::new(), "vers=4.2,hard");
    let path = scene.mounted.join("file");
    let mut file = File::create(&path).expect("made");
    file.lock().expect("locked");
    scene.server.stop();
    let mut writer = Command::new("dd")
        .args(["if=/dev/zero", "bs=64K", "count=16", "conv=fsync", "status=none"])
        .arg(format!("of={}", scene.mounted.join("waits").display()))
        .spawn()
        .expect("dd");
    waits(&mut writer);
    scene.server.start();
    let status = poll::until("it goes on", RECLAIM, || writer.try_wait().expect("our child"));
    assert!(status.success());
    assert_eq!(fs::read(scene.server.disk().join("waits")).expect("there").len(), MIB);
    // What was open is open, what was locked is locked.
    file.write_all(b"after").expect("written");
    file.sync_all().expect("synced");
    let output = Command::new("flock").args(["-n"]).arg(&path).arg("true").output().expect("flock");
    assert!(!output.status.success(), "the lock was lost");
    assert_eq!(fs::read(scene.server.disk().join("file")).expect("there"), b"after");
}

/// A first mount, that is: on one that is there, the first failure comes after twice
/// the server's lease time, whatever `timeo` says.
#[test]
fn a_soft_mount_fails_in_time_when_packets_are_dropped() {
    let stage = Stage::new("nfs");
    let server = Setup::new().start(&stage);
    server.drop_packets();
    let (address, own) = (server.address().v4.into(), server.client().v4.into());
    let point = stage.join("mounted");
    let output = mount_command(address, own, "vers=4.2,soft,timeo=10,retrans=1", &point).output();
    let said = String::from_utf8(output.expect("mount").stderr).expect("UTF-8");
    assert!(said.contains("timed out"), "{said}");
    server.stop();
    server.pass_packets();
    let output = mount_command(address, own, "vers=4.2,hard", &point).output();
    let said = String::from_utf8(output.expect("mount").stderr).expect("UTF-8");
    assert!(said.contains("refused"), "{said}");
    server.start();
    Mounted::new(&server, "vers=4.2,hard", &point);
}

/// A new mount of a server that does not answer waits in the kernel; it ends when
/// it is killed.
#[test]
fn who_waits_on_a_hard_mount_is_killed_at_once() {
    let scene = Scene::new(Setup::new(), "vers=4.2,hard,actimeo=0");
    scene.server.drop_packets();
    let mut look = Command::new("stat");
    look.arg(scene.mounted.path());
    let mount = scene.try_mount("vers=4.2,hard,nosharecache");
    for mut command in [look, mount] {
        let mut child = command.spawn().expect("it starts");
        waits(&mut child);
        child.kill().expect("our child");
        poll::until("killed", SOON, || child.try_wait().expect("our child"));
    }
    scene.server.pass_packets();
    fs::metadata(scene.mounted.path()).expect("it goes on");
}

/// Looked at for a while, it has not ended.
#[track_caller]
fn waits(child: &mut Child) {
    let ended = poll::within(WHILE, || child.try_wait().expect("our child"));
    assert_eq!(ended, None, "it did not wait");
}

#[test]
fn another_fsid_makes_handles_stale() {
    let mut scene = Scene::new(Setup::new(), "vers=4.2,hard,actimeo=0");
    fs::write(scene.mounted.join("file"), "content").expect("written");
    scene.server.restart_with_fsid(43);
    let refused = fs::metadata(scene.mounted.join("file")).expect_err("stale");
    assert_eq!(refused.raw_os_error(), Some(Errno::ESTALE as i32), "{refused}");
    let place = scene.stage.join("again");
    let again = Mounted::new(&scene.server, "vers=4.2,hard", &place);
    assert_eq!(fs::read(again.join("file")).expect("a new mount sees it"), b"content");
}

#[test]
fn a_slow_server_is_slow() {
    let scene = Scene::new(Setup::new(), "vers=4.2,hard,actimeo=0");
    let look = || {
        let begun = Instant::now();
        fs::metadata(scene.mounted.path()).expect("readable");
        begun.elapsed()
    };
    scene.server.delay(700);
    assert!(look() >= Duration::from_millis(700));
    scene.server.delay(0);
    poll::holds("it is fast again", SOON, || look() < Duration::from_millis(700));
}

/// Two hosts, of which one is cut off: the other sees its file, and goes on.
#[test]
fn one_client_is_cut_off_and_another_is_not() {
    let stage = Stage::new("nfs");
    let hosts = Stage::new("nfs-host");
    let host = Host::boot(&hosts);
    let mut server = Setup::new().start(&stage);
    let own = server.join(&host);
    let (address, export) = (server.address().v4, server.export());
    let place = stage.folder("there").display().to_string();
    host.sh(&format!(
        "mount -i -t nfs -o vers=4.2,hard,addr={address},clientaddr={} {address}:{export} {place}
         echo theirs >{place}/file",
        own.v4
    ));
    let mounted = Mounted::new(&server, "vers=4.2,hard,actimeo=0", &stage.join("here"));
    assert_eq!(fs::read(mounted.join("file")).expect("shared"), b"theirs\n");
    server.drop_packets_of(own);
    let mut script = host.door().command("sh");
    let mut writer = script.args(["-c", &format!("echo more >>{place}/file")]).spawn().expect("sh");
    waits(&mut writer);
    fs::write(mounted.join("own"), "ours").expect("this one is not cut off");
    server.pass_packets();
    let status = poll::until("it goes on", RECLAIM, || writer.try_wait().expect("our child"));
    assert!(status.success());
    poll::holds("its writing is seen", SOON, || {
        fs::read(mounted.join("file")).is_ok_and(|content| content == b"theirs\nmore\n")
    });
}

/// Also when nobody hears it any more. (While it is silent nobody could unmount
/// it: that asks the server, and so does the end of a process with a file open there.)
#[test]
fn nothing_is_left_of_a_dropped_server() {
    let scene = Scene::new(Setup::new(), "vers=4.2,hard");
    let link = Path::new("/sys/class/net").join(scene.server.link());
    assert!(link.exists());
    let (path, disk) = (scene.stage.path().to_owned(), scene.server.disk().to_owned());
    let device = mounts::here().into_iter().find(|mount| mount.point == disk);
    let device = device.expect("the disk is mounted").device;
    let image = format!("/sys/dev/block/{device}/loop/backing_file");
    assert!(Path::new(&image).exists());
    scene.server.drop_packets();
    drop(scene);
    assert!(mounts::below(mounts::here(), &path).is_empty(), "mounts stay");
    assert!(!path.exists(), "files stay");
    poll::holds("the disk is free", SOON, || !Path::new(&image).exists());
    poll::holds("its network is gone", SOON, || !link.exists());
}
