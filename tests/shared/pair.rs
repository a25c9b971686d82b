//! Two hosts and the place that they share.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    place::Place,
    support::{
        daemon::{Daemon, Setup},
        host::Host,
        poll::{self, SOON},
        stage::Stage,
    },
};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// How long a host may take to reach a pool on a slow machine's server.
const SLOW: Duration = Duration::from_secs(60);

/// A host with a daemon. Fields go in this order when it is dropped.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) daemon: Daemon,
    pub(crate) host: Host,
    pub(crate) stage: Stage,
}

/// Two hosts on one place.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) one: Side,
    pub(crate) two: Side,
    place: Place,
    share: Stage,
}

impl Side {
    #[track_caller]
    pub(crate) fn configured(stage: Stage, host: Host, config: &str) -> Self {
        let daemon = Setup::on(&stage, &host).config(&stage, config).start();
        Self { daemon, host, stage }
    }

    fn pool_is_ready(&self) -> bool {
        let (status, pool) = self.daemon.control().request("GET", "/v1/pools/default", None);
        status == 200 && pool["state"] == "ready"
    }

    pub(crate) fn id(&self) -> String {
        self.daemon.control().info()["host-id"].as_str().expect("an id").to_owned()
    }

    /// Starts the daemon again with this environment, after a crash.
    #[track_caller]
    pub(crate) fn revive(&mut self, env: &[(&str, &str)]) {
        self.daemon.kill();
        self.daemon.setup.env.clear();
        for (name, value) in env {
            self.daemon.setup.env.push(((*name).to_owned(), (*value).to_owned()));
        }
        self.daemon.restart();
    }

    /// The state of a volume as `volume inspect` says it, if it is there.
    pub(crate) fn state(&self, name: &str) -> Option<String> {
        let (status, view) =
            self.daemon.control().request("GET", &format!("/v1/volumes/{name}"), None);
        match status {
            200 => Some(view["state"].as_str().expect("a state").to_owned()),
            404 => None,
            other => panic!("{other}: {view}"),
        }
    }

    /// `volume repair --forget-host`
    #[track_caller]
    pub(crate) fn forget_host(&self, name: &str, host: &str) -> (u16, Value) {
        let body = json!({ "forget-host": host });
        self.daemon.control().request("POST", &format!("/v1/volumes/{name}/repair"), Some(&body))
    }
}

impl Pair {
    #[track_caller]
    pub(crate) fn new(name: &str) -> Self {
        let pair = NEXT.fetch_add(1, Ordering::Relaxed);
        let share = Stage::new(name);
        let mut place = Place::new(&share);
        let [one, two] = ["1", "2"].map(|number| {
            let stage = Stage::new(&format!("{name}-{number}"));
            let host = Host::boot(&stage);
            // A file server tells its clients apart by their names, also those that have
            // just died.
            host.name(&format!("host-{number}-{pair}"));
            place.reach(&host);
            let side = Side::configured(stage, host, &place.config(""));
            poll::holds("its pool is ready", SLOW, || side.pool_is_ready());
            side
        });
        Self { one, two, place, share }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// A place on the same stage that is not the pool's.
    pub(crate) fn outside(&self) -> PathBuf {
        self.share.folder("outside")
    }

    /// The pool's own folder of a volume's records.
    pub(crate) fn record(&self, id: &str) -> PathBuf {
        self.path().join(".berth/records").join(id)
    }

    /// Nothing is left of anything: no record, no attachment, no half written file,
    /// no data.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        let left = || -> Vec<String> {
            ["volumes", ".berth/trash", ".berth/records", ".berth/attachments", ".berth/scratch"]
                .iter()
                .flat_map(|folder| {
                    let entries = fs::read_dir(self.path().join(folder)).expect("readable");
                    entries.map(|entry| entry.expect("readable").path().display().to_string())
                })
                .collect()
        };
        poll::equal("the pool is empty", SOON, &Vec::<String>::new(), left);
    }
}
