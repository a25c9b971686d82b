//! What users see: views of volumes and pools, the info, the metrics.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf, sync::Arc};

use berth_api::{Error, Health, Result};

use super::{Engine, Installation, pool::Pool, volume::Life, volume::Volume};
use crate::{
    catalog::State,
    view::{Info, PoolView, VolumeView},
};

impl Engine {
    /// Where the volume is mounted, or would be. From memory.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        self.index.find(name).map(|_| self.mountpoint(name))
    }

    /// One volume, from memory.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub fn get(&self, name: &str) -> Result<VolumeView> {
        let volume = self.index.find(name)?;
        self.looked_at(&volume);
        Ok(self.view(&volume))
    }

    /// All volumes, by name, from memory.
    pub fn list(&self) -> Vec<VolumeView> {
        self.index.all_live().iter().map(|volume| self.view(volume)).collect()
    }

    /// Names and mountpoints of all volumes, for Docker's List: no view is built.
    pub fn names(&self) -> Vec<(String, PathBuf)> {
        let mut names = Vec::new();
        self.index.for_each_live(|name, _| {
            names.push((name.to_string(), self.mountpoint(name.as_str())));
        });
        names
    }

    /// What is in the trash, latest first.
    pub fn removed(&self) -> Vec<VolumeView> {
        let mut removed: Vec<_> = self
            .index
            .all()
            .iter()
            .filter(|volume| volume.read(|life| life.record.state.can_come_back()))
            .map(|volume| self.view(volume))
            .collect();
        removed.sort_by_key(|view| std::cmp::Reverse(view.removed));
        removed
    }

    pub(super) fn view(&self, volume: &Volume) -> VolumeView {
        volume.read(|life| self.view_of(life))
    }

    fn view_of(&self, life: &Life) -> VolumeView {
        let record = &life.record;
        let away = match self.pools.get(&record.pool) {
            None => Some(format!("pool `{}` is not in the configuration", record.pool)),
            Some(pool) => match pool.health() {
                Health::Ready => None,
                Health::Unavailable(why) => Some(format!("pool `{}`: {why}", pool.name)),
            },
        };
        let (state, reason) = match (&record.state, away) {
            (State::Faulty { during, error }, _) => ("faulty", Some(format!("{during}: {error}"))),
            (_, Some(why)) if life.is_live() => ("unavailable", Some(why)),
            (state, _) => (state.as_str(), life.waiting.clone()),
        };
        let (removed, expires) = match record.state {
            State::Removing { at, expires } | State::Removed { at, expires, .. } => {
                (Some(at), expires)
            }
            _ => (None, None),
        };
        let snapshots = self.pools.get(&record.pool).is_some_and(|pool| pool.has_snapshots());
        let capabilities = match state {
            "ready" => {
                let mut can = vec!["mount", "set", "remove"];
                if self.can_resize(record) {
                    can.push("resize");
                }
                if snapshots {
                    can.extend(["snapshot", "clone"]);
                    if record.options.subdir.is_none() {
                        can.push("rollback");
                    }
                }
                can
            }
            "removed" => vec!["undelete", "remove"],
            _ => vec!["remove"],
        };
        let measure = life.measure.map(|measure| measure.shown());
        VolumeView {
            name: record.name.to_string(),
            id: record.id,
            pool: record.pool.clone(),
            backend: record.backend.clone(),
            state: state.to_owned(),
            size: record.options.size,
            used: measure.map(|(used, _)| used),
            used_at: measure.map(|(_, at)| at),
            mountpoint: self.mountpoint(record.name.as_str()).display().to_string(),
            references: life.total(),
            mounted: life.mounted,
            held: life.held,
            created: record.created,
            snapshots: life.snapshots(),
            last_backup: life.last_backup.as_ref().map(|last| last.created),
            last_backup_id: life.last_backup.as_ref().map(|last| last.id.clone()),
            last_backup_repository: life.last_backup.as_ref().map(|last| last.repository.clone()),
            host: self.host_name.clone(),
            capabilities: capabilities.iter().map(ToString::to_string).collect(),
            options: record.options.clone(),
            given: record.given.clone(),
            reason,
            removed,
            expires,
            age: self.age_of(&record.pool),
        }
    }

    /// All pools, the unconfigured ones of existing records included.
    pub async fn pools(&self) -> Vec<PoolView> {
        let mut views = Vec::new();
        for pool in self.pools.values() {
            views.push(self.pool_view(pool).await);
        }
        let mut gone: Vec<_> = self
            .index
            .all()
            .iter()
            .map(|volume| {
                volume.read(|life| (life.record.pool.clone(), life.record.backend.clone()))
            })
            .filter(|(pool, _)| !self.pools.contains_key(pool))
            .collect();
        gone.sort_unstable();
        gone.dedup();
        views.extend(gone.into_iter().map(|(name, backend)| self.gone_view(name, backend)));
        views
    }

    /// One pool.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn pool(&self, name: &str) -> Result<PoolView> {
        match self.pools.get(name) {
            Some(pool) => Ok(self.pool_view(pool).await),
            None => self
                .pools()
                .await
                .into_iter()
                .find(|view| view.name == name)
                .ok_or_else(|| self.no_such_pool(name)),
        }
    }

    async fn pool_view(&self, pool: &Arc<Pool>) -> PoolView {
        let capacity = pool.capacity().await;
        let (state, reason) = match pool.health() {
            Health::Ready => ("ready", None),
            Health::Unavailable(why) => ("unavailable", Some(why)),
        };
        let (volumes, removed) = self.count_in(&pool.name);
        let details = pool.report().await.map(|report| report.details).unwrap_or_default();
        PoolView {
            name: pool.name.clone(),
            backend: pool.config.backend.clone(),
            default: pool.name == self.setup.config.default_pool,
            id: pool.id(),
            path: pool.config.path.display().to_string(),
            state: state.to_owned(),
            reason,
            shared: pool.share().is_some(),
            volumes,
            removed,
            total: capacity.map(|capacity| capacity.total),
            free: capacity.map(|capacity| capacity.free),
            trash: pool.config.trash.as_secs(),
            silent: pool.silence().map(|silence| silence.as_secs()),
            stuck: pool.stuck(),
            details: details.into_iter().collect(),
            capabilities: pool_capabilities(pool),
        }
    }

    fn gone_view(&self, name: String, backend: String) -> PoolView {
        let (volumes, removed) = self.count_in(&name);
        PoolView {
            name,
            backend,
            default: false,
            id: None,
            path: String::new(),
            state: "unconfigured".to_owned(),
            reason: Some("it is not in the configuration any more".to_owned()),
            shared: false,
            volumes,
            removed,
            total: None,
            free: None,
            trash: 0,
            silent: None,
            stuck: 0,
            details: BTreeMap::new(),
            capabilities: Vec::new(),
        }
    }

    /// Live and removed volumes of a pool.
    fn count_in(&self, pool: &str) -> (u64, u64) {
        let (mut live, mut removed) = (0, 0);
        for volume in self.index.all() {
            volume.read(|life| {
                if life.record.pool == pool {
                    live += u64::from(life.is_live());
                    removed += u64::from(life.record.state.can_come_back());
                }
            });
        }
        (live, removed)
    }

    pub(super) fn no_such_pool(&self, name: &str) -> Error {
        let known: Vec<_> = self.pools.keys().map(String::as_str).collect();
        let shown: String = name.chars().take(40).collect();
        let error = Error::not_found(format!("no such pool: `{}`", shown.escape_debug()));
        match berth_api::options::nearest(name, known.iter().copied()) {
            Some(near) => error.with_hint(format!("did you mean `{near}`?")),
            None => error.with_hint(format!("there are: {}", known.join(", "))),
        }
    }

    /// What this daemon is.
    pub fn info(&self) -> Info {
        let (mut volumes, mut mounted) = (0, 0);
        self.index.for_each_live(|_, volume| {
            volumes += 1;
            mounted += u64::from(volume.read(|life| life.mounted));
        });
        let paths = &self.setup.paths;
        let frozen = self.writer.is_frozen();
        Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host_id: Some(self.host),
            host: self.host_name.clone(),
            state: if frozen { "read-only" } else { "ready" }.to_owned(),
            reason: frozen.then(|| "the root is on a read-only file system".to_owned()),
            root: paths.root.display().to_string(),
            plugin_socket: paths.plugin_socket.display().to_string(),
            config: self.setup.config.file.as_ref().map(|file| file.display().to_string()),
            installation: match self.setup.installation {
                Installation::Host => "host",
                Installation::Managed => "managed-plugin",
            }
            .to_owned(),
            scope: self.scope().to_owned(),
            default_pool: self.setup.config.default_pool.clone(),
            pools: self.pools.len() as u64,
            volumes,
            mounted,
            jobs: self.jobs.running(),
            uptime: self.started.elapsed().as_secs(),
        }
    }

    /// Prometheus text exposition of the daemon's gauges.
    pub fn metrics(&self) -> String {
        let info = self.info();
        let mut text = String::new();
        let mut gauge = |name: &str, help: &str, values: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for (labels, value) in values {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let one = |value: u64| [(String::new(), value)];
        gauge("berth_volumes", "Volumes, without the removed.", &one(info.volumes));
        gauge("berth_mounted_volumes", "Volumes mounted on this host.", &one(info.mounted));
        gauge("berth_jobs", "Jobs at work.", &one(info.jobs));
        gauge("berth_uptime_seconds", "Seconds since the start.", &one(info.uptime));
        let by_pool = |value: &dyn Fn(&Pool) -> u64| -> Vec<_> {
            let labels = |name: &str| format!("{{pool=\"{name}\"}}");
            self.pools.values().map(|pool| (labels(&pool.name), value(pool))).collect()
        };
        let ready = by_pool(&|pool| u64::from(pool.health() == Health::Ready));
        gauge("berth_pool_ready", "Whether the pool can be used.", &ready);
        let stuck = by_pool(&Pool::stuck);
        gauge("berth_pool_stuck_calls", "Calls into the pool that are stuck.", &stuck);
        let silent = by_pool(&|pool| pool.silence().map_or(0, |silence| silence.as_secs().max(1)));
        gauge(
            "berth_pool_silent_seconds",
            "How long the server of the pool has not answered; 0 while it does.",
            &silent,
        );
        gauge(
            "berth_undying_programs",
            "Programs that were killed and that the kernel still holds.",
            &one(berth_host::command::left_alone()),
        );
        let faulty = by_pool(&|pool| {
            let mut faulty = 0;
            self.index.for_each_live(|_, volume| {
                faulty += u64::from(volume.read(|life| {
                    life.record.pool == pool.name
                        && matches!(life.record.state, State::Faulty { .. })
                }));
            });
            faulty
        });
        gauge("berth_faulty_volumes", "Volumes that need an operator.", &faulty);
        text.push_str(&self.policy_metrics());
        text
    }
}

/// Derived from the accessors: what the backend has is what it can.
fn pool_capabilities(pool: &Pool) -> Vec<String> {
    let mut can = vec!["create", "mount", "undelete", "rebuild"];
    if pool.can_snapshot().is_ok() {
        can.extend(["snapshot", "clone", "rollback"]);
    }
    if pool.has_limits() {
        can.extend(["size", "resize"]);
    }
    if pool.can_grow() {
        can.push("grow");
    }
    can.into_iter().map(String::from).collect()
}
