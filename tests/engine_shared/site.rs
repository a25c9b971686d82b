//! Two nodes and what they share, started once for all tests: an Engine takes long to
//! start where the processor is emulated.

use std::{
    ops::Deref,
    process::Output,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc,
    },
    thread,
    time::Duration,
};

use crate::{
    place::Place,
    support::{
        daemon::{Daemon, Setup},
        docker::{Engine, IMAGE},
        host::Host,
        nfs::Address,
        poll,
        stage::Stage,
    },
};

/// How long a pool may take until it is used for the first time.
const START: Duration = Duration::from_secs(60);

/// A host with Docker and Berth.
#[derive(Debug)]
pub(crate) struct Node {
    /// What the host is called.
    pub(crate) name: &'static str,
    /// Where the other node finds it.
    #[allow(dead_code, reason = "each test takes what it needs")]
    pub(crate) address: Address,
    pub(crate) berth: Daemon,
    #[allow(dead_code, reason = "each test takes what it needs")]
    pub(crate) stage: Stage,
    engine: RwLock<Engine>,
    _host: Host,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) one: Node,
    pub(crate) two: Node,
    place: Mutex<Place>,
    calm: RwLock<()>,
}

/// A host ends with the thread that started it, so these have one that never ends.
static SITE: LazyLock<Site> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let stage = Stage::new("engines");
        sender.send(Site::start(&stage)).expect("somebody waits for it");
        loop {
            thread::park();
        }
    });
    receiver.recv().expect("the site started")
});

/// The site, for a test beside others that leave each other's Docker alone.
pub(crate) fn site() -> Part<RwLockReadGuard<'static, ()>> {
    Part { _turn: SITE.calm.read().unwrap_or_else(PoisonError::into_inner) }
}

/// The site, for a test that ends a Docker or a server.
pub(crate) fn site_alone() -> Part<RwLockWriteGuard<'static, ()>> {
    Part { _turn: SITE.calm.write().unwrap_or_else(PoisonError::into_inner) }
}

/// What a test has of the site, as long as it runs.
#[derive(Debug)]
pub(crate) struct Part<Turn> {
    _turn: Turn,
}

impl<Turn> Deref for Part<Turn> {
    type Target = Site;

    fn deref(&self) -> &Site {
        &SITE
    }
}

impl Site {
    /// Volumes are in the pool `local`, unless they say otherwise.
    #[track_caller]
    fn start(stage: &Stage) -> Self {
        let mut place = Place::new(stage);
        let hosts = ["node-1", "node-2"].map(|name| {
            let stage = Stage::new(name);
            let host = Host::boot(&stage);
            // A file server tells its clients apart by their names.
            host.name(name);
            let address = place.reach(&host);
            let local = stage.join("local").display().to_string();
            let config = format!(
                "default-pool = \"local\"\n[pools.local]\nbackend = \"vfs\"\npath = \"{local}\"\n{}",
                place.config()
            );
            let berth = Setup::on(&stage, &host).config(&stage, &config).start();
            (name, stage, host, address, berth)
        });
        let [one, two] = thread::scope(|scope| {
            let nodes = hosts.map(|(name, stage, host, address, berth)| {
                scope.spawn(move || {
                    let engine = RwLock::new(Engine::start(&stage, &host));
                    Node { name, address, berth, stage, engine, _host: host }
                })
            });
            nodes.map(|node| node.join().expect("an Engine started"))
        });
        for node in [&one, &two] {
            poll::holds("the pool is used", START, || {
                node.berth.control().ok("GET", "/v1/pools/shared", None)["state"] == "ready"
            });
        }
        Self { one, two, place: Mutex::new(place), calm: RwLock::new(()) }
    }

    /// What they share, for the one test that changes it now.
    #[allow(dead_code, reason = "a folder does not go away")]
    pub(crate) fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both nodes at the same time.
    pub(crate) fn both<T: Send>(&self, act: impl Fn(&Node) -> T + Sync) -> [T; 2] {
        thread::scope(|scope| {
            let act = &act;
            [&self.one, &self.two].map(|node| scope.spawn(move || act(node))).map(|running| {
                running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    }
}

impl Node {
    /// Its Engine, which others use too.
    pub(crate) fn engine(&self) -> RwLockReadGuard<'_, Engine> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its Engine, to be ended and started.
    pub(crate) fn engine_to_change(&self) -> RwLockWriteGuard<'_, Engine> {
        self.engine.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// `docker ARGUMENTS…`, which must succeed.
    #[track_caller]
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        self.engine().ok(arguments)
    }

    /// `docker ARGUMENTS…`, which must fail; what it says.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        self.engine().fails(arguments)
    }

    /// `docker run --rm` of a script in a container with `volume` at `/data`.
    pub(crate) fn try_run(&self, volume: &str, script: &str) -> Output {
        let volume = format!("{volume}:/data");
        self.engine().run(&[
            "run",
            "--rm",
            "--network=none",
            "-v",
            &volume,
            IMAGE,
            "sh",
            "-c",
            script,
        ])
    }

    /// As [`Self::try_run`], which must succeed; its output.
    #[track_caller]
    pub(crate) fn run(&self, volume: &str, script: &str) -> String {
        let output = self.try_run(volume, script);
        assert!(output.status.success(), "{volume}: {script}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// A container with `volume` at `/data` that runs until it is removed, for
    /// [`Self::exec`].
    #[track_caller]
    pub(crate) fn sleeper(&self, container: &str, volume: &str) {
        let volume = format!("{volume}:/data");
        self.docker(&[
            "run",
            "-d",
            "--init",
            "--network=none",
            "--name",
            container,
            "-v",
            &volume,
            IMAGE,
            "sleep",
            "100000",
        ]);
    }

    /// A script in a running container; its output.
    #[track_caller]
    pub(crate) fn exec(&self, container: &str, script: &str) -> String {
        self.docker(&["exec", container, "sh", "-c", script])
    }
}
