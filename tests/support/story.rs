//! One scripted life of volumes, which may be cut anywhere.

use std::{fs, path::PathBuf, time::Duration};

use super::{
    daemon::{Daemon, Setup},
    load::{Answer, Client},
    loopfs::{Kind, LoopFs},
    model::Slot,
    namespace,
    operation::Op,
    poll::{self, SOON},
    script::{NAMES, Script},
    stage::Stage,
    world::World,
};

/// How long kernel and disk may lag behind an answer, on a busy machine.
const SETTLED: Duration = Duration::from_secs(10);

/// How a story ended.
#[derive(Debug)]
pub enum End {
    /// It was told to its end.
    Told,
    /// The daemon died; the operation whose answer was lost, if there was one.
    Died(Option<Op>),
}

/// A daemon, one client, and what was acknowledged so far.
#[derive(Debug)]
pub struct Story {
    /// What must be true.
    pub slot: Slot,
    /// The daemon.
    pub daemon: Daemon,
    /// How often an operation was refused.
    pub refusals: Vec<String>,
    script: Script,
    client: Client,
    pool: PathBuf,
    _disk: Option<LoopFs>,
    stage: Stage,
}

/// What is told, and where the pool lies.
#[derive(Clone, Copy, Debug)]
pub struct Tale {
    /// The steps.
    pub script: Script,
    /// A file system of its own, instead of the stage's.
    pub disk: Option<Kind>,
}

impl Story {
    /// A fresh stage whose first daemon will have this environment. Nothing is
    /// started that the environment could not stop.
    pub fn begin(tale: Tale, env: &[(&str, String)]) -> Self {
        namespace::apart();
        let stage = Stage::new("story");
        let mut setup = Setup::new(&stage).env("BERTH_LOG", "warn");
        let mut pool = setup.root.join("pools/default");
        let disk = tale.disk.map(|kind| LoopFs::new(stage.path(), "disk", kind, kind.least()));
        if let Some(disk) = &disk {
            pool = disk.path().join("pool");
            fs::create_dir(&pool).expect("an empty file system");
            let config =
                format!("[pools.default]\nbackend = \"vfs\"\npath = \"{}\"\n", pool.display());
            setup = setup.config(&stage, &config);
        }
        for (name, value) in env {
            setup = setup.env(name, value.clone());
        }
        let client = Client::new(&setup.plugin_socket, &setup.control_socket);
        let slot = Slot::new(NAMES.map(ToOwned::to_owned));
        Self {
            slot,
            daemon: setup.spawn(),
            refusals: Vec::new(),
            script: tale.script,
            client,
            pool,
            _disk: disk,
            stage,
        }
    }

    /// Waits for the daemon; false if it ended instead, or does not serve.
    pub fn is_up(&mut self) -> bool {
        let control = self.daemon.control();
        poll::until("the daemon is up or gone", SOON, || {
            if !self.daemon.is_alive() {
                return Some(false);
            }
            let (_, info) = control.attempt("GET", "/v1/info", None).ok()?;
            let served =
                || std::os::unix::net::UnixStream::connect(&self.daemon.setup.plugin_socket);
            match info["state"].as_str() {
                Some("untrusted") => Some(false),
                Some("ready") => served().is_ok().then_some(true),
                _ => None,
            }
        })
    }

    /// Every step, each settled before the next begins. `between` hears the name
    /// of each step when it is over.
    pub fn tell(&mut self, mut between: impl FnMut(&str)) -> End {
        if !self.is_up() {
            return End::Died(None);
        }
        between("start");
        for step in (self.script)() {
            let op = step(&self.slot);
            if let Some(end) = self.step(&op) {
                return end;
            }
            between(op.verb());
        }
        self.daemon.stop();
        between("stop");
        End::Told
    }

    fn step(&mut self, op: &Op) -> Option<End> {
        let mut attempts = 0;
        loop {
            let allowed = self.slot.allows(op);
            match op.perform(&mut self.client, &self.daemon.setup.root.join("mounts")) {
                Answer::Done(_) => {
                    assert!(allowed, "{op:?} must be refused");
                    self.slot.apply(op);
                    return self.settle(op);
                }
                Answer::Refused(text) if !allowed => {
                    assert!(!text.trim().is_empty() && !text.contains('\n'), "{op:?}: {text:?}");
                    return self.settle(op);
                }
                Answer::Refused(text) => {
                    // A fault was injected: one clear error, nothing changed, and
                    // the same request works when the fault is gone.
                    assert!(!text.trim().is_empty() && !text.contains('\n'), "{op:?}: {text:?}");
                    self.refusals.push(format!("{op:?}: {text}"));
                    if let Some(end) = self.settle(op) {
                        return Some(end);
                    }
                    attempts += 1;
                    assert!(attempts < 3, "{op:?} is refused for good: {text}");
                }
                Answer::Lost => return Some(End::Died(Some(op.clone()))),
                Answer::Unsent => return Some(End::Died(None)),
            }
        }
    }

    /// Waits until kernel and disk show the model; the answers must at once.
    fn settle(&mut self, op: &Op) -> Option<End> {
        let Some(world) = self.look() else { return Some(End::Died(None)) };
        let differences = self.slot.differences(&world);
        assert!(differences.is_empty(), "after {op:?}: {differences:#?}");
        self.slot.learn_ids(&world);
        let mut last = Vec::new();
        let settled = poll::within(SETTLED, || {
            let Some(world) = self.look() else { return Some(Some(End::Died(None))) };
            last = self.slot.traces(&world);
            last.extend(world.leftovers());
            last.is_empty().then_some(None)
        });
        settled.unwrap_or_else(|| panic!("after {op:?}: {last:#?}"))
    }

    fn look(&mut self) -> Option<World> {
        World::try_look(&mut self.client, &self.stage.join("root"), &self.pool)
    }

    /// Starts the daemon without faults (but `env`) and waits for nothing.
    pub fn revive(&mut self, env: &[(&str, String)]) {
        let setup = &mut self.daemon.setup;
        setup.env.retain(|(name, _)| name == "BERTH_LOG");
        setup.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        self.client.reconnect();
        self.daemon.respawn();
    }

    /// Compares the recovered daemon, the kernel and the disk with what was
    /// acknowledged.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn check(&mut self, lost: Option<&Op>) -> Result<(), String> {
        if !self.is_up() {
            return Err(format!("the daemon does not come up: {}", self.daemon.log()));
        }
        let world = self.look().ok_or("the daemon died after its start")?;
        self.slot.settle(lost, &world)?;
        self.slot.restarted();
        let mut found = Vec::new();
        let settled = poll::within(SETTLED, || {
            let world = self.look()?;
            found = self.slot.traces(&world);
            found.extend(world.leftovers());
            found.is_empty().then_some(())
        });
        settled.ok_or_else(|| format!("{found:#?}"))
    }
}
