//! Start: the lock, the state, the pools, recovery; then the loops.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, Result, VolumeId};
use berth_host::{boot, lock::Lock};
use tokio::sync::{Notify, watch};

use super::{
    Engine, Setup, create::CREATE, flight::Flights, index::Index, jobs::Jobs, policy::Policies,
    pool::Pool, quiesce::Rests, vault::Repositories, volume::Volume,
};
use crate::{
    catalog,
    database::{Database, Writer},
    journal::{self, Key, Reference},
};

/// How long the records of all pools together may take before the daemon serves without
/// the rest.
const POOLS: Duration = Duration::from_secs(4);
/// How long the pools may take to be there at all; looks go on in the background.
const THERE: Duration = Duration::from_secs(2);

impl Engine {
    /// Opens the state under `setup.paths.root` and recovers it. Pools that are
    /// away do not fail it.
    ///
    /// # Errors
    /// `Busy` if another daemon has the root. `Corrupt` if the catalog cannot be
    /// trusted: the caller then serves the control socket only. Others if the
    /// root cannot be used at all.
    pub async fn open(setup: Setup) -> Result<Arc<Self>> {
        let started = Instant::now();
        let lock = prepare(&setup)?;
        let mut state = State::load(&setup)?;
        let damaged = std::mem::take(&mut state.loaded.damaged);
        let engine = Arc::new(state.into_engine(setup, lock, started)?);
        engine.look_at_pools().await;
        engine.name_damaged(&damaged).await?;
        engine.adopt_mounts().await?;
        engine.begin().await;
        Ok(engine)
    }

    /// [`open`](Self::open) with an untrusted catalog set aside and an empty one
    /// in its place, to be filled by [`rebuild`](Self::rebuild).
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_anew(setup: Setup) -> Result<Arc<Self>> {
        let started = Instant::now();
        let lock = prepare(&setup)?;
        Database::set_aside(&setup.paths.root)?;
        let engine = Arc::new(State::load(&setup)?.into_engine(setup, lock, started)?);
        engine.look_at_pools().await;
        // What is mounted is adopted when the records are there: until then every
        // mount would look like one of no volume.
        engine.begin().await;
        Ok(engine)
    }

    /// Recovers all pools, and lets what goes on by itself go on.
    async fn begin(self: &Arc<Self>) {
        let deadline = tokio::time::Instant::now() + POOLS;
        let recoveries = self.pools.values().cloned().map(|pool| {
            let engine = self.clone();
            let work = tokio::spawn({
                let pool = pool.clone();
                async move { engine.recover_pool(&pool).await }
            });
            (pool, work)
        });
        for (pool, work) in recoveries.collect::<Vec<_>>() {
            if tokio::time::timeout_at(deadline, work).await.is_err() {
                tracing::warn!(pool = pool.name, "recovery goes on in the background");
            }
        }
        // Creates go on, also later, when their pool comes back.
        self.jobs.give_up(|job| {
            let volume = job.volume.as_deref().and_then(|name| self.index.find(name).ok());
            job.kind == CREATE
                && volume.is_some_and(|volume| {
                    volume.read(|life| matches!(life.record.state, catalog::State::Creating { .. }))
                })
        });
        tokio::spawn(self.clone().detach_loop());
        self.keep_house();
        self.keep_measures();
        self.keep_policies();
        self.wake_left();
        berth_host::memory::give_back();
        tracing::info!(
            volumes = self.index.all_live().len(),
            milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "ready"
        );
    }

    async fn look_at_pools(&self) {
        let looks: Vec<_> = self
            .pools
            .values()
            .cloned()
            .map(|pool| tokio::spawn(async move { pool.look(THERE).await }))
            .collect();
        for look in looks {
            let _ = look.await;
        }
    }
}

/// Makes the folders and takes the lock.
fn prepare(setup: &Setup) -> Result<Lock> {
    let paths = &setup.paths;
    for (folder, mode) in [(&paths.root, 0o711), (&paths.run, 0o755), (&paths.mounts, 0o711)] {
        match fs::DirBuilder::new().recursive(true).mode(mode).create(folder) {
            // An existing root on a read-only disk is still served.
            Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {}
            other => other.context(|| format!("make `{}`", folder.display()))?,
        }
    }
    let taken = match Lock::try_take(&paths.root.join("lock")) {
        Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
            Lock::try_take(&paths.run.join("lock"))
        }
        other => other,
    };
    taken.context(|| format!("lock `{}`", paths.root.display()))?.ok_or_else(|| {
        Error::busy(format!("another berth daemon uses the root `{}`", paths.root.display()))
            .with_hint("stop it first, or give this one another --root")
    })
}

/// The state as read once.
struct State {
    host: berth_api::HostId,
    boot: String,
    loaded: catalog::Loaded,
    references: Vec<(VolumeId, Key, Reference)>,
    jobs: Vec<crate::view::JobView>,
    quiesced: Vec<journal::Quiesced>,
    last_backups: Vec<(VolumeId, journal::LastBackup)>,
    repositories: Vec<(String, journal::Remembered)>,
    policies: Vec<(journal::Task, journal::Standing)>,
    writer: Writer,
}

impl State {
    fn load(setup: &Setup) -> Result<Self> {
        let database = Database::open(&setup.paths.root, &setup.paths.run)?;
        let boot = boot::id().context(|| "read this boot's id")?;
        let connection = database.connection;
        let state = Self {
            host: database.host,
            loaded: catalog::load(&connection)?,
            references: journal::load_references(&connection, &boot)?,
            jobs: journal::load_jobs(&connection)?,
            quiesced: journal::load_quiesced(&connection)?,
            last_backups: journal::load_last_backups(&connection)?,
            repositories: journal::load_repositories(&connection)?,
            policies: journal::load_policies(&connection)?,
            boot,
            writer: Writer::start(connection, database.frozen),
        };
        let boot = state.boot.clone();
        state.writer.later(move |tx| journal::void_references(tx, &boot));
        Ok(state)
    }

    fn into_engine(self, setup: Setup, lock: Lock, started: Instant) -> Result<Engine> {
        let Self { host, boot, loaded, references, jobs, quiesced, writer, .. } = self;
        let mut last_backups: HashMap<_, _> = self.last_backups.into_iter().collect();
        let host_name = host_name();
        let mut pools = std::collections::BTreeMap::new();
        for (name, config) in &setup.config.pools {
            if config.path.starts_with(&setup.paths.root) {
                make_parent(&config.path);
            }
            let backend = crate::pools::open(name, config)?;
            let known = loaded.pools.get(name).copied();
            let writer = writer.clone();
            let config = config.clone();
            let pool = Arc::new_cyclic(|me| {
                Pool::new(me.clone(), name, config, backend, known, host, &host_name, writer)
            });
            pools.insert(name.clone(), pool);
        }
        let mut by_volume: HashMap<VolumeId, Vec<(Key, Reference)>> = HashMap::new();
        let mut epoch = 0;
        for (volume, key, reference) in references {
            epoch = epoch.max(reference.epoch);
            by_volume.entry(volume).or_default().push((key, reference));
        }
        let index = Index::default();
        for record in loaded.records {
            let references = by_volume.remove(&record.id).unwrap_or_default();
            let unproven = matches!(record.state, catalog::State::Creating { accepted: false });
            let last_backup = last_backups.remove(&record.id);
            let volume = Volume::new(record);
            volume.write(|life| {
                life.last_backup = last_backup;
                life.references.extend(references);
                life.unproven = unproven;
            });
            index.file_unless_taken(&volume);
        }
        let repositories =
            Repositories::new(&setup.config.repositories, &host_name, &writer, self.repositories);
        Ok(Engine {
            repositories,
            policies: Policies::new(self.policies),
            host,
            host_name,
            boot,
            jobs: Jobs::new(writer.clone(), jobs),
            writer,
            pools,
            index,
            epoch: AtomicU64::new(epoch + 1),
            flights: Arc::<Flights>::default(),
            rests: Rests::new(quiesced),
            detacher: Notify::new(),
            housekeeper: watch::Sender::new(0),
            stopping: AtomicBool::new(false),
            started,
            setup,
            _lock: lock,
        })
    }
}

/// Of a pool in the root (the built-in one, images) the folder above it may be
/// missing.
fn make_parent(path: &Path) {
    if let Some(parent) = path.parent()
        && let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o711).create(parent)
    {
        tracing::warn!(folder = %parent.display(), %error, "make the folder of a pool");
    }
}

fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}
