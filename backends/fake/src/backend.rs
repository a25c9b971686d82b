//! The pool, as a [`Backend`]: a vfs pool between two looks at the script.

use std::{collections::BTreeMap, path::Path, thread, time::Duration};

use berth_api::{
    Backend, Capacity, Change, Content, Error, ErrorKind, Fill, Found, Handle, Health, HostId,
    Observed, Op, Options, PoolId, PoolIdentity, Progress, Result, Sidecar, Source, VolumeSpec,
};
use berth_vfs::{Local, Vfs};

use crate::script::{Behaviour, Script};

/// How often a hanging call looks whether it still has to.
const LOOK: Duration = Duration::from_millis(10);

/// A pool that does what it is told.
#[derive(Debug)]
pub struct Fake {
    pub(crate) vfs: Vfs,
    script: Script,
}

impl Fake {
    /// The pool `name` at `path` with the orders in `settings`. No I/O.
    ///
    /// # Errors
    /// `Invalid` for what is no order.
    pub fn open(name: &str, path: &Path, settings: &BTreeMap<String, String>) -> Result<Self> {
        Ok(Self { vfs: Local::open(name, path), script: Script::new(path, settings)? })
    }

    /// A call that cannot say "not yet".
    pub(crate) fn at_once<T>(
        &self,
        call: &'static str,
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        match self.before(call)? {
            Some(Behaviour::FailAfter(kind)) => {
                act()?;
                Err(told(call, kind))
            }
            Some(other @ (Behaviour::Pending(_) | Behaviour::Lie | Behaviour::Say(_))) => {
                Err(cannot(call, other))
            }
            _ => act(),
        }
    }

    /// A call that may have to wait for a state of the world.
    pub(crate) fn in_time<T>(
        &self,
        call: &'static str,
        volume: &Handle,
        lie: Option<T>,
        act: impl FnOnce() -> Result<Progress<T>>,
    ) -> Result<Progress<T>> {
        match self.before(call)? {
            Some(Behaviour::Pending(times))
                if self.script.wait_again(call, &volume.0.to_string(), times) =>
            {
                let because = format!("the fake pool was told to keep `{call}` waiting");
                Ok(Progress::Pending { after: LOOK, because })
            }
            Some(Behaviour::FailAfter(kind)) => {
                act()?;
                Err(told(call, kind))
            }
            Some(Behaviour::Lie) => {
                lie.map(Progress::Ready).ok_or_else(|| cannot(call, Behaviour::Lie))
            }
            Some(other @ Behaviour::Say(_)) => Err(cannot(call, other)),
            _ => act(),
        }
    }

    /// What has to happen before any effect; the rest of the order is returned.
    fn before(&self, call: &'static str) -> Result<Option<Behaviour>> {
        let behaviour = self.script.behaviour(call)?;
        match behaviour {
            Some(Behaviour::Error(kind)) => return Err(told(call, kind)),
            Some(Behaviour::Delay(time)) => thread::sleep(time),
            Some(Behaviour::Hang) => {
                while self.script.behaviour(call)? == Some(Behaviour::Hang) {
                    thread::sleep(LOOK);
                }
            }
            _ => {}
        }
        Ok(behaviour)
    }
}

impl Backend for Fake {
    fn identify(&self, op: &Op, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity> {
        self.at_once("identify", || self.vfs.identify(op, expected, host))
    }

    fn take_over(&self, op: &Op, host: HostId, known: bool) -> Result<PoolIdentity> {
        self.at_once("take-over", || self.vfs.take_over(op, host, known))
    }

    fn plan(&self, op: &Op, spec: &VolumeSpec) -> Result<Handle> {
        self.at_once("plan", || self.vfs.plan(op, spec))
    }

    fn create(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("create", volume, lie, || self.vfs.create(op, volume, sidecar))
    }

    fn create_from(
        &self,
        op: &Op,
        volume: &Handle,
        sidecar: &Sidecar,
        fill: Fill<'_>,
    ) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("create-from", volume, lie, || self.vfs.create_from(op, volume, sidecar, fill))
    }

    fn content(&self, op: &Op, volume: &Handle, snapshot: Option<&Handle>) -> Result<Content> {
        self.at_once("content", || self.vfs.content(op, volume, snapshot))
    }

    fn apply(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("apply", volume, lie, || self.vfs.apply(op, volume, sidecar))
    }

    fn describe(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        let lie = Some(Change::Done);
        self.in_time("describe", volume, lie, || self.vfs.describe(op, volume, sidecar))
    }

    fn remove(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        self.in_time("remove", volume, Some(Change::Done), || self.vfs.remove(op, volume))
    }

    fn restore(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        self.in_time("restore", volume, Some(Change::Done), || self.vfs.restore(op, volume))
    }

    fn purge(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        self.in_time("purge", volume, Some(Change::Done), || self.vfs.purge(op, volume))
    }

    fn attach(&self, op: &Op, volume: &Handle, options: &Options) -> Result<Progress<Source>> {
        self.in_time("attach", volume, None, || self.vfs.attach(op, volume, options))
    }

    fn detach(&self, op: &Op, volume: &Handle) -> Result<Progress<Change>> {
        self.in_time("detach", volume, Some(Change::Done), || self.vfs.detach(op, volume))
    }

    fn inspect(&self, op: &Op, volume: &Handle) -> Result<Observed> {
        match self.script.behaviour("inspect")? {
            Some(Behaviour::Say(observed)) => Ok(observed),
            _ => self.at_once("inspect", || self.vfs.inspect(op, volume)),
        }
    }

    fn list(&self, op: &Op) -> Result<Vec<Found>> {
        self.at_once("list", || self.vfs.list(op))
    }

    fn health(&self) -> Health {
        // It must not block, whatever `*` says.
        match self.script.behaviour("health") {
            Ok(Some(Behaviour::Error(kind))) => Health::Unavailable(told("health", kind).chain()),
            Err(error) => Health::Unavailable(error.chain()),
            Ok(_) => self.vfs.health(),
        }
    }

    fn capacity(&self, op: &Op) -> Result<Capacity> {
        self.at_once("capacity", || self.vfs.capacity(op))
    }

    fn snapshots(&self) -> Option<&dyn berth_api::Snapshots> {
        Some(self)
    }
}

fn told(call: &str, kind: ErrorKind) -> Error {
    Error::new(kind, format!("the fake pool was told to fail `{call}`"))
}

fn cannot(call: &str, behaviour: Behaviour) -> Error {
    Error::invalid(format!("the fake's `{call}` cannot do {behaviour:?}"))
}
