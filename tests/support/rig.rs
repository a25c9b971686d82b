//! A little host with an Engine and Berth on it, and what their tests ask often.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use super::{
    daemon::{Daemon, Setup},
    docker::{Engine, IMAGE},
    host::Host,
    mounts::{self, Mount},
    poll::{self, SOON},
    proxy::Proxy,
    stage::Stage,
};

/// Fields go in this order when it is dropped: the stage last.
#[derive(Debug)]
pub struct Rig {
    /// The Engine.
    pub engine: Engine,
    /// The tee before the daemon, if there is one.
    proxy: Option<Proxy>,
    /// Berth.
    pub berth: Daemon,
    /// The host of both.
    pub host: Host,
    /// Where all of it lies.
    pub stage: Stage,
}

impl Rig {
    /// Berth first, then the Engine.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        Self::with(name, false, |setup| setup)
    }

    /// With live-restore or without, and a daemon started in a special way.
    #[track_caller]
    pub fn with(name: &str, live_restore: bool, change: impl Fn(Setup) -> Setup) -> Self {
        let stage = Stage::new(name);
        let host = Host::boot(&stage);
        let berth = change(Setup::on(&stage, &host)).start();
        let engine = Engine::start_with(&stage, &host, live_restore);
        Self { engine, proxy: None, berth, host, stage }
    }

    /// With a tee on the socket that Docker sees.
    #[track_caller]
    pub fn with_proxy(name: &str) -> Self {
        Self::behind(name, Proxy::start)
    }

    /// With whatever `start` makes of that socket and Berth's own.
    #[track_caller]
    pub fn behind(name: &str, start: impl Fn(&Path, PathBuf) -> Proxy) -> Self {
        let stage = Stage::new(name);
        let host = Host::boot(&stage);
        let upstream = stage.join("run/plugin.sock");
        let berth = Setup::on(&stage, &host).plugin_socket(&upstream).start();
        let proxy = Some(start(&host.plugin_socket("berth"), upstream));
        let engine = Engine::start(&stage, &host);
        Self { engine, proxy, berth, host, stage }
    }

    /// The tee.
    #[track_caller]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a rig with a proxy")
    }

    /// `docker run --network=none … IMAGE sh -c SCRIPT`, which must succeed.
    #[track_caller]
    pub fn sh(&self, arguments: &[&str], script: &str) -> String {
        let all = [&["run", "--rm", "--network=none"], arguments, &[IMAGE, "sh", "-c", script]];
        self.engine.ok(&all.concat())
    }

    /// As [`Self::sh`], whatever comes of it.
    pub fn try_sh(&self, arguments: &[&str], script: &str) -> Output {
        let all = [&["run", "--rm", "--network=none"], arguments, &[IMAGE, "sh", "-c", script]];
        self.engine.run(&all.concat())
    }

    /// A container that runs until it is stopped (at once: it has no shutdown).
    #[track_caller]
    pub fn sleeper(&self, container: &str, arguments: &[&str]) {
        let head = ["run", "-d", "--init", "--network=none", "--name", container];
        self.engine.ok(&[&head, arguments, &[IMAGE, "sleep", "100000"]].concat());
    }

    /// A container that appends a line to `/data/log` fifty times a second, and
    /// ends at the first line that could not be written.
    #[track_caller]
    pub fn writer(&self, container: &str, arguments: &[&str]) {
        let script = "trap 'exit 0' TERM; while echo x >>/data/log; do usleep 20000; done; exit 9";
        let head = ["run", "-d", "--network=none", "--name", container];
        self.engine.ok(&[&head, arguments, &[IMAGE, "sh", "-c", script]].concat());
    }

    /// Waits until Berth counts this many mounts of the volume.
    #[track_caller]
    pub fn references(&self, volume: &str, expected: u64) {
        let what = format!("references of `{volume}`");
        poll::equal(&what, SOON, &expected, || self.berth.control().references(volume));
    }

    /// The mounts of `volume` on the host: none or one, if all is well.
    pub fn mounts_of(&self, volume: &str) -> Vec<Mount> {
        mounts::below(self.host.mounts(), &self.mountpoint(volume))
    }

    /// Waits until the volume is not mounted on the host any more.
    #[track_caller]
    pub fn unmounted(&self, volume: &str) {
        poll::equal(&format!("mounts of `{volume}`"), SOON, &Vec::new(), || self.mounts_of(volume));
    }

    /// Where Docker is told that the volume is.
    pub fn mountpoint(&self, volume: &str) -> PathBuf {
        self.berth.setup.root.join("mounts").join(volume)
    }

    /// Names of all volumes, as Berth lists them.
    #[track_caller]
    pub fn names(&self) -> Vec<String> {
        let volumes = self.berth.control().volumes();
        volumes.iter().map(|volume| volume["name"].as_str().expect("a name").to_owned()).collect()
    }
}

/// Waits until a writer has written more into `data` (a volume's folder in its
/// pool).
#[track_caller]
pub fn writes_on(data: &Path) {
    let log = data.join("log");
    let size = || fs::metadata(&log).map_or(0, |metadata| metadata.len());
    let before = size();
    poll::holds("the writer writes on", SOON, || size() > before + 8);
}
