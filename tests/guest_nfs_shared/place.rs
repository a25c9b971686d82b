//! Where two hosts keep what they share: in a folder of an export of a server that
//! all stories have in common.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use crate::support::{
    host::Host,
    nfs::{Mounted, Server, Setup},
    stage::Stage,
};

/// A start takes seconds. A host ends with the thread that started it, so this one has
/// a thread that never ends.
static SERVER: LazyLock<Mutex<Server>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let stage = Stage::new("nfs-shared");
        let started = sender.send(Setup::new().megabytes(1024).start(&stage));
        started.expect("somebody waits for it");
        loop {
            thread::park();
        }
    });
    Mutex::new(receiver.recv().expect("the server started"))
});

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The folder, of the server's disk and of its export.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    server: String,
    export: String,
}

impl Place {
    /// Hosts take seconds to come up: one pair does all.
    pub(crate) const PAIRS: usize = 1;
    /// How often what one host may lose is raced for.
    pub(crate) const ROUNDS: usize = 6;
    /// How many kinds of files are planted: the first ones are those that a file server
    /// has a part in.
    pub(crate) const PLANTS: usize = 4;

    /// The kinds of steps at which a host is killed: where another host begins to see
    /// something. All of them with `BERTH_LONG=1`.
    pub(crate) fn kinds_of_steps() -> Option<&'static [&'static str]> {
        let long = env::var("BERTH_LONG").is_ok_and(|long| long != "0");
        (!long).then_some(&["beneath.link", "beneath.replace", "durable.rename", "beneath.rename"])
    }

    pub(crate) fn new(_: &Stage) -> Self {
        let server = server();
        let folder = format!("pool-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = server.disk().join(&folder);
        fs::create_dir(&path).expect("made");
        let export = format!("{}/{folder}", server.export());
        Self { path, server: server.address().v4.to_string(), export }
    }

    /// Gives a host the way to it.
    #[expect(clippy::unused_self, reason = "there is one server for all")]
    pub(crate) fn reach(&mut self, host: &Host) {
        server().join(host);
    }

    /// The pool, as the file server has it.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The configuration of a host that uses it; `more` is what the section of its
    /// pool says besides.
    pub(crate) fn config(&self, more: &str) -> String {
        let Self { server, export, .. } = self;
        format!(
            "[pools.default]\nbackend = \"nfs\"\nserver = \"{server}\"\nexport = \"{export}\"\n{more}"
        )
    }
}

/// Gives `measure` a folder that is not there yet, on a mount of the export as Berth
/// works on it.
pub(crate) fn on_a_plain_mount<T>(measure: impl FnOnce(&Path) -> T) -> T {
    let stage = Stage::new("plain");
    let options = "vers=4.2,softerr,actimeo=0,lookupcache=none";
    let mounted = Mounted::new(&server(), options, &stage.join("mounted"));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    measure(&mounted.join(format!("plain-{number}")))
}

/// A story that failed leaves the server as it is.
fn server() -> MutexGuard<'static, Server> {
    SERVER.lock().unwrap_or_else(PoisonError::into_inner)
}
