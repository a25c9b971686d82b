//! The server: its export, its daemons, and how it goes away and comes back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    super::{
        host::{Door, Host},
        loopfs::{Kind, LoopFs},
        poll::{self, SOON},
        stage::Stage,
    },
    client,
    lan::{self, Address, Lan},
};

/// The first process: a root of its own, with the programs of this machine and the
/// export. Busybox, because it needs no `exec` for most of this.
const INIT: &str = r#"
set -e
run=$1 disk=$2 root=$1/root
mkdir "$root"
mount -t tmpfs -o mode=755 server "$root"
cd "$root"
mkdir -p usr etc dev proc sys tmp run/rpc_pipefs run/rpcbind srv/berth old \
    var/lib/nfs/sm var/lib/nfs/sm.bak var/lib/nfs/nfsdcld
ln -s usr/bin usr/sbin usr/lib usr/lib64 .
mount -o rbind /usr usr
mount -o rbind /dev dev
mount -o bind "$disk" srv/berth
for file in passwd group netconfig protocols services rpc ld.so.cache; do
    cp "/etc/$file" etc/
done
printf '127.0.0.1 localhost\n::1 localhost\n' >etc/hosts
printf 'passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\nrpc: files\n' >etc/nsswitch.conf
: >var/lib/nfs/etab
: >var/lib/nfs/rmtab
: >var/lib/nfs/state
chown -R statd var/lib/nfs/sm var/lib/nfs/sm.bak var/lib/nfs/state
mount -t proc proc proc
pivot_root . old
cd /
mount -t sysfs sysfs sys
mount -t nfsd nfsd proc/fs/nfsd
mount -t rpc_pipefs rpc_pipefs run/rpc_pipefs
ip link set lo up
: >"old$run/host.ready"
umount -l old
while :; do sleep 3600 & wait; done
"#;

/// Where the server has its export.
pub const EXPORT: &str = "/srv/berth";

/// How long clients may reclaim what they had, and how long what they have is
/// theirs, in seconds: the least that nfsd takes.
pub const GRACE: u64 = 10;

/// What the client's root is on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squash {
    /// Root.
    None,
    /// Nobody, as servers have it by default.
    Root,
    /// Nobody, and everybody else is too.
    All,
}

/// What server to start.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    kind: Kind,
    megabytes: u64,
    squash: Squash,
    fsid: u32,
    version_3: bool,
}

impl Setup {
    /// An export on XFS, which shares blocks between files; client's root is root;
    /// NFS 4.0 to 4.2.
    pub fn new() -> Self {
        Self { kind: Kind::Xfs, megabytes: 0, squash: Squash::None, fsid: 42, version_3: false }
    }

    /// On another file system: [`Kind::Ext4`] shares no blocks.
    pub fn on(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// With this much room; without it, the least that the file system takes.
    pub fn megabytes(self, megabytes: u64) -> Self {
        Self { megabytes, ..self }
    }

    /// With this for the client's root.
    pub fn squash(self, squash: Squash) -> Self {
        Self { squash, ..self }
    }

    /// With this number in every file handle.
    pub fn fsid(self, fsid: u32) -> Self {
        Self { fsid, ..self }
    }

    /// NFS 3 too, and what its clients ask: rpcbind, mountd, statd.
    pub fn version_3(self) -> Self {
        Self { version_3: true, ..self }
    }

    /// Starts it. One stage can have several.
    #[track_caller]
    pub fn start(self, stage: &Stage) -> Server {
        let lan = Lan::new();
        let name = format!("nfs-{}", lan.number());
        let megabytes = self.megabytes.max(self.kind.least());
        let disk = LoopFs::new(stage.path(), &format!("{name}-disk"), self.kind, megabytes);
        let run = stage.folder(&name);
        let host = Host::start(run, &["busybox", "sh", "-c", INIT], &[disk.path()]);
        let mut server = Server { setup: self, host, disk, lan };
        server.lan.join(server.host.door(), None);
        server.boot();
        server
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

/// A running server. Dropped, its mounts on this machine go, and all of it.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    host: Host,
    disk: LoopFs,
    lan: Lan,
}

impl Server {
    /// Its address.
    pub fn address(&self) -> Address {
        self.lan.server()
    }

    /// The address that this machine has for it.
    pub fn client(&self) -> Address {
        self.lan.client(0)
    }

    /// The name of the network device by which this machine reaches it.
    pub fn link(&self) -> String {
        self.lan.link()
    }

    /// What is exported.
    #[expect(clippy::unused_self, reason = "it is the server's")]
    pub fn export(&self) -> &'static str {
        EXPORT
    }

    /// What the server itself has there, as seen from here.
    pub fn disk(&self) -> &Path {
        self.disk.path()
    }

    /// Joins another host to the network; the address that it has there. It can be
    /// told apart by [`drop_packets_of`](Self::drop_packets_of).
    #[track_caller]
    pub fn join(&mut self, host: &Host) -> Address {
        let number = self.lan.join(self.host.door(), Some(host.door()));
        self.lan.client(number)
    }

    /// Ends nfsd: connections are closed, new ones refused. Clients that wait go on
    /// waiting.
    #[track_caller]
    pub fn stop(&self) {
        fs::write(self.control("threads"), "0\n").expect("nfsd listens to its file system");
    }

    /// Starts nfsd. Clients reclaim what they had; nobody opens or locks anything
    /// new until all have, at most [`GRACE`] seconds.
    #[track_caller]
    pub fn start(&self) {
        poll::until("nfsd remembers its clients", SOON, || {
            self.host.sh(&self.nfsd());
            // The kernel gives nfsdcld one second to take the pipe. Without it, what
            // clients had is lost at a restart.
            let remembers = self.remembers();
            if !remembers {
                self.stop();
            }
            remembers.then_some(())
        });
    }

    /// After a start: no longer waits for clients that reclaim what they had.
    #[track_caller]
    pub fn end_grace(&self) {
        fs::write(self.control("v4_end_grace"), "Y\n").expect("nfsd listens to its file system");
    }

    /// Both: a server that was restarted.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// A restart after which all handles that clients have are stale.
    #[track_caller]
    pub fn restart_with_fsid(&mut self, fsid: u32) {
        self.stop();
        self.setup.fsid = fsid;
        self.host.sh(&format!("exportfs -u '*:{EXPORT}' && {}", self.exportfs()));
        self.start();
    }

    /// From now on nothing that clients send arrives, and nobody tells them.
    #[track_caller]
    pub fn drop_packets(&self) {
        self.filter(&["iif lan drop", "oif lan drop"]);
    }

    /// Cuts off one client alone; those who were cut off before come back.
    #[track_caller]
    pub fn drop_packets_of(&self, client: Address) {
        let Address { v4, v6 } = client;
        let from = [format!("ip saddr {v4} drop"), format!("ip6 saddr {v6} drop")];
        let to = [format!("ip daddr {v4} drop"), format!("ip6 daddr {v6} drop")];
        let rules: Vec<_> = from.iter().chain(&to).map(String::as_str).collect();
        self.filter(&rules);
    }

    /// This client's questions arrive, and the answers do not.
    #[track_caller]
    pub fn drop_answers_to(&self, client: Address) {
        let Address { v4, v6 } = client;
        let rules = [format!("oif lan ip daddr {v4} drop"), format!("oif lan ip6 daddr {v6} drop")];
        self.filter(&rules.each_ref().map(String::as_str));
    }

    /// Everything arrives again.
    #[track_caller]
    pub fn pass_packets(&self) {
        self.filter(&[]);
    }

    /// Each answer takes this many milliseconds longer; 0 ends it.
    #[track_caller]
    pub fn delay(&self, milliseconds: u32) {
        lan::delay(self.host.door(), milliseconds);
    }

    /// The way onto the server.
    pub fn door(&self) -> &Door {
        self.host.door()
    }

    #[track_caller]
    fn filter(&self, rules: &[&str]) {
        lan::filter(self.host.door(), rules).unwrap_or_else(|said| panic!("{said}"));
    }

    /// What a server starts with.
    fn boot(&self) {
        let (before, mountd) = if self.setup.version_3 {
            ("rpcbind; rpc.statd --no-notify; ", "rpc.mountd -t 4")
        } else {
            ("", "rpc.mountd -t 4 -N 3")
        };
        self.host.sh(&format!(
            "set -e; {before}nfsdcld -p /run/rpc_pipefs -s /var/lib/nfs/nfsdcld; {}; {mountd}",
            self.exportfs()
        ));
        self.start();
    }

    fn nfsd(&self) -> String {
        let versions = if self.setup.version_3 { "-V 3" } else { "-N 3" };
        format!("exec rpc.nfsd {versions} -G {GRACE} -L {GRACE} 16")
    }

    fn exportfs(&self) -> String {
        let squash = match self.setup.squash {
            Squash::None => "no_root_squash",
            Squash::Root => "root_squash",
            Squash::All => "all_squash",
        };
        let options = format!("rw,sync,no_subtree_check,{squash},fsid={}", self.setup.fsid);
        format!("exportfs -i -o {options} '*:{EXPORT}'")
    }

    /// Whether nfsdcld, which keeps the names of clients, has its pipe to the kernel.
    fn remembers(&self) -> bool {
        let network = |process: &Path| fs::read_link(process.join("ns/net")).ok();
        let own = network(&PathBuf::from(format!("/proc/{}", self.host.door().init())));
        let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
        let mut files = processes
            .map(|process| process.path())
            .filter(|process| network(process).is_some_and(|found| Some(found) == own))
            .flat_map(|process| fs::read_dir(process.join("fd")).into_iter().flatten().flatten());
        files.any(|file| fs::read_link(file.path()).is_ok_and(|path| path.ends_with("nfsd/cld")))
    }

    /// A file of nfsd's own file system, whose mount is the server's wherever it is
    /// seen from.
    fn control(&self, name: &str) -> PathBuf {
        let init = self.host.door().init();
        PathBuf::from(format!("/proc/{init}/root/proc/fs/nfsd/{name}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An unmount asks the server, and waits for minutes if it does not answer; the
        // kernel keeps a network whose connections were cut off until they time out.
        let _ = lan::filter(self.host.door(), &[]);
        if fs::read_to_string(self.control("threads")).is_ok_and(|threads| threads == "0\n") {
            let nfsd = self.nfsd();
            let _ = self.host.door().command("sh").args(["-c", &nfsd]).output();
        }
        client::detach_all(self.address());
        // It holds the disk.
        let _ = fs::write(self.control("threads"), "0\n");
        self.lan.leave();
    }
}
