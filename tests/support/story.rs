//! One scripted life of volumes through every verb, which may be cut anywhere.

use std::{path::PathBuf, time::Duration};

use super::{
    daemon::{Daemon, Setup},
    load::{Answer, Client},
    model::Slot,
    namespace,
    operation::{By, Op},
    poll::{self, SOON},
    stage::Stage,
    world::World,
};

/// A name as Docker makes them up.
const ANONYMOUS: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

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
    client: Client,
    pool: PathBuf,
    stage: Stage,
}

impl Story {
    /// A fresh stage whose first daemon will have this environment. Nothing is
    /// started that the environment could not stop.
    pub fn begin(env: &[(&str, String)]) -> Self {
        namespace::apart();
        let stage = Stage::new("story");
        let mut setup = Setup::new(&stage).env("BERTH_LOG", "warn");
        for (name, value) in env {
            setup = setup.env(name, value.clone());
        }
        let client = Client::new(&setup.plugin_socket, &setup.control_socket);
        let slot = Slot::new(["a", "b", "c", ANONYMOUS].map(ToOwned::to_owned));
        let pool = setup.root.join("pools/default");
        Self { slot, daemon: setup.spawn(), refusals: Vec::new(), client, pool, stage }
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
        for step in script() {
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

type Step = Box<dyn Fn(&Slot) -> Op>;

/// Every verb, on fresh, written, mounted, removed and anonymous volumes.
fn script() -> Vec<Step> {
    let mount = |name: &'static str, by: By, id: &'static str| -> Step {
        Box::new(move |_| Op::Mount { name: name.to_owned(), by, id: id.to_owned() })
    };
    let unmount = |name: &'static str, by: By, id: &'static str| -> Step {
        Box::new(move |_| Op::Unmount { name: name.to_owned(), by, id: id.to_owned() })
    };
    let create = |name: &'static str, options: &'static [(&str, &str)]| -> Step {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Box::new(move |_| Op::Create {
            name: name.to_owned(),
            options: options.iter().map(owned).collect(),
        })
    };
    let write = |name: &'static str, file: &'static str| -> Step {
        Box::new(move |_| Op::Write {
            name: name.to_owned(),
            file: file.to_owned(),
            text: format!("{file} of {name}\n").repeat(100),
        })
    };
    let set = |name: &'static str, key: &'static str, value: &'static str| -> Step {
        Box::new(move |_| Op::Set {
            name: name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        })
    };
    let remove =
        |name: &'static str| -> Step { Box::new(move |_| Op::Remove { name: name.to_owned() }) };
    let purge =
        |name: &'static str| -> Step { Box::new(move |_| Op::Purge { name: name.to_owned() }) };
    let undelete = |name: &'static str| -> Step {
        Box::new(move |slot| Op::Undelete {
            id: slot.latest_removed(name).expect("it was removed").to_owned(),
        })
    };
    vec![
        create("a", &[("mode", "0750"), ("uid", "5")]),
        mount("a", By::Docker, "x"),
        write("a", "one"),
        mount("a", By::Command, "cli"),
        mount("a", By::Docker, "x"),
        remove("a"),
        unmount("a", By::Command, "cli"),
        set("a", "mode", "1777"),
        unmount("a", By::Docker, "x"),
        unmount("a", By::Docker, "x"),
        create("b", &[]),
        set("b", "uid", "7"),
        remove("a"),
        undelete("a"),
        set("a", "on-remove", "retain"),
        remove("a"),
        create("a", &[]),
        undelete("a"),
        purge("a"),
        purge("a"),
        create("a", &[]),
        mount("b", By::Docker, "y"),
        write("b", "two"),
        unmount("b", By::Docker, "y"),
        purge("b"),
        create(ANONYMOUS, &[]),
        mount(ANONYMOUS, By::Docker, "z"),
        write(ANONYMOUS, "three"),
        unmount(ANONYMOUS, By::Docker, "z"),
        remove(ANONYMOUS),
        remove("a"),
        create("c", &[]),
        mount("c", By::Docker, "z"),
        write("c", "four"),
    ]
}
