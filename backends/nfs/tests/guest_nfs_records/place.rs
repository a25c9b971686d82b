//! Where the pools lie: on an export that two clients have mounted, each from a host of
//! its own, so that the server knows two and the kernel keeps their caches apart.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
};

use crate::support::{
    host::Host,
    nfs::{Address, Server, Setup},
    stage::Stage,
};

/// As the control mount of a pool has it.
pub(crate) const OPTIONS: &str =
    "softerr,timeo=30,retrans=1,actimeo=0,lookupcache=none,nosharecache";

/// The server of all tests but those that restart it.
static SHARED: LazyLock<Scene> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel();
    // A host ends with the thread that started it: this one never ends.
    thread::spawn(move || {
        let started = sender.send(Scene::new("records", Setup::new(), &["vers=4.2", "vers=4.2"]));
        started.expect("somebody waits for it");
        loop {
            thread::park();
        }
    });
    receiver.recv().expect("the server started")
});

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A server and its clients. The server goes first, since it may be dead.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) clients: Vec<Client>,
    _stages: Vec<Stage>,
}

/// A host that has the export mounted, where everybody here sees it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: Address,
    pub(crate) mounted: PathBuf,
    _host: Host,
}

impl Scene {
    /// With a client for each of these versions.
    #[track_caller]
    pub(crate) fn new(name: &str, setup: Setup, versions: &[&str]) -> Self {
        let stage = Stage::new(name);
        let mut server = setup.start(&stage);
        let mut stages = Vec::new();
        let clients = versions.iter().enumerate().map(|(number, version)| {
            let own = Stage::new(&format!("{name}-{number}"));
            let host = Host::boot(&own);
            host.name(&format!("client-{number}"));
            let address = server.join(&host);
            let mounted = stage.folder(format!("client-{number}"));
            mount(&server, &host, address, version, &mounted);
            stages.push(own);
            Client { address, mounted, _host: host }
        });
        let clients = clients.collect();
        stages.push(stage);
        Self { server, clients, _stages: stages }
    }
}

/// From the host's network and under its name, but into the mounts of this process.
#[track_caller]
fn mount(server: &Server, host: &Host, own: Address, version: &str, point: &Path) {
    let address = server.address().v4;
    let more = if version == "vers=3" {
        format!("nolock,mountaddr={address},mountproto=tcp")
    } else {
        format!("clientaddr={}", own.v4)
    };
    let options = format!("{version},{OPTIONS},addr={address},{more}");
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &host.door().init().to_string(), "--net", "--uts", "--"])
        .args(["mount", "-i", "-t", "nfs", "-o", &options])
        .arg(format!("{address}:{}", server.export()))
        .arg(point);
    let output = command.output().expect("nsenter");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A folder of the export.
pub(crate) struct Place {
    folder: String,
}

impl Place {
    /// So many schedules are drawn: a step is a dozen questions to the server.
    pub(crate) const SAMPLE: Option<u64> = Some(12);
    /// Of cases that differ in a number only, each one of so many is run.
    pub(crate) const STEP: usize = 8;

    pub(crate) fn new() -> Self {
        let folder = format!("pool-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let place = Self { folder };
        fs::create_dir(place.path()).expect("made");
        place
    }

    /// The pool, as the server has it.
    pub(crate) fn path(&self) -> PathBuf {
        SHARED.server.disk().join(&self.folder)
    }

    /// The pool, as the host of this name sees it: the first of a test on one client,
    /// all others on the other one.
    pub(crate) fn seen_by(&self, name: &str) -> PathBuf {
        let first = ["one", "slow", "gone"].contains(&name);
        SHARED.clients[usize::from(!first)].mounted.join(&self.folder)
    }
}
