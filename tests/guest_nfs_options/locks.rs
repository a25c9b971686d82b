//! Locks of programs on two hosts.

use std::process::Stdio;

use crate::{
    site::{pool, ready},
    support::{
        daemon::{Daemon, Setup as Start},
        host::Host,
        nfs::Setup,
        poll::{self, SOON},
        stage::Stage,
    },
};

/// A host with the volume mounted, and its mountpoint there.
struct Side {
    daemon: Daemon,
    host: Host,
    at: String,
    _stage: Stage,
}

/// By flock(2), which NFS makes a lock of all bytes, and by fcntl(2).
const KINDS: [&str; 2] = ["flock", "lockf"];

impl Side {
    /// Locks the file `kind` of the volume, says so in a file on the host, and keeps the
    /// lock; ends with the host's processes.
    fn lock(&self, kind: &str) -> std::process::Child {
        let script = format!(
            "import fcntl, time\nf = open('{}/{kind}', 'a+')\nfcntl.{kind}(f, fcntl.LOCK_EX)\n\
             open('/run/{kind}', 'w')\ntime.sleep(600)",
            self.at
        );
        let mut command = self.host.door().command("/usr/bin/python3");
        command.args(["-c", &script]).stdin(Stdio::null()).spawn().expect("nsenter")
    }

    /// Whether the lock is free for this host.
    fn is_free(&self, kind: &str) -> bool {
        let script = format!(
            "import fcntl\nf = open('{}/{kind}', 'a+')\n\
             fcntl.{kind}(f, fcntl.LOCK_EX | fcntl.LOCK_NB)",
            self.at
        );
        let mut command = self.host.door().command("/usr/bin/python3");
        command.args(["-c", &script]).stderr(Stdio::null()).status().expect("nsenter").success()
    }
}

#[test]
fn a_lock_that_one_host_has_no_other_gets() {
    let share = Stage::new("nfs-locks");
    let mut server = Setup::new().start(&share);
    let mut side = |name: &str| {
        let stage = Stage::new(name);
        let host = Host::boot(&stage);
        host.name(name);
        server.join(&host);
        let config = pool("default", &server.address().v4.to_string(), server.export(), "");
        let daemon = Start::on(&stage, &host).config(&stage, &config).start();
        ready(&daemon, "default");
        daemon.ok(&["volume", "create", "db"]);
        let at = daemon.ok(&["volume", "mount", "db"]);
        Side { daemon, host, at, _stage: stage }
    };
    let (one, two) = (side("locks-one"), side("locks-two"));
    for kind in KINDS {
        let mut holder = one.lock(kind);
        poll::holds("one host has the lock", SOON, || one.host.run().join(kind).exists());
        assert!(!two.is_free(kind), "{kind}: both hosts have it");
        one.host.sh(&format!("pkill -KILL -f '[f]cntl.{kind}'"));
        holder.wait().expect("our child");
        poll::holds("the other gets it", SOON, || two.is_free(kind));
    }
    two.daemon.ok(&["volume", "unmount", "db"]);
    one.daemon.ok(&["volume", "unmount", "db"]);
}
