//! The daemon without an engine, because the catalog cannot be trusted.
//!
//! ```text
//! waiting ── rebuild ──▶ opening ──▶ rebuilding ── job done ──▶ handed to the daemon
//!    ▲                      │             │ job failed: the next rebuild asks
//!    └────── error ─────────┘             └─ the same engine again
//! ```
//!
//! While records are made anew the catalog is new and incomplete: answered from
//! it, Docker would drop the labels of every volume that is not in it yet. So a
//! marker in the root, made before the old catalog is set aside and removed when
//! all records are there, keeps a restarted daemon from trusting it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, ErrorKind, Result};
use berth_host::durable;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    engine::{Engine, Installation, Setup},
    http::control::Fallback,
    view::{Diagnosis, Finding, Info, JobState, JobView, Rebuild, Severity},
};

/// How long an ended rebuild may take to be served.
const SETTLE: Duration = Duration::from_secs(10);

/// The command that helps.
const HINT: &str = "`berth doctor` says what to do";

/// An engine with all records, and who waits for it to be served.
#[derive(Debug)]
pub(super) struct Rebuilt {
    pub(super) engine: Arc<Engine>,
    pub(super) served: oneshot::Sender<Result<()>>,
}

/// Serves the control socket in the engine's place.
#[derive(Debug)]
pub(super) struct Untrusted {
    setup: Setup,
    /// Why the engine did not open.
    reason: Error,
    since: Instant,
    work: Mutex<Work>,
    rebuilt: mpsc::Sender<Rebuilt>,
    /// Whether a rebuild is at work whose end was not acted upon yet.
    unsettled: watch::Sender<bool>,
}

#[derive(Debug)]
enum Work {
    Waiting,
    Opening,
    Rebuilding {
        engine: Arc<Engine>,
        /// Why the latest rebuild did not make all records.
        failed: Option<String>,
    },
}

impl Untrusted {
    /// Sends the engine to `rebuilt` once it has all records.
    pub(super) fn new(setup: Setup, reason: Error, rebuilt: mpsc::Sender<Rebuilt>) -> Self {
        let work = Mutex::new(Work::Waiting);
        let (unsettled, _) = watch::channel(false);
        Self { setup, reason, since: Instant::now(), work, rebuilt, unsettled }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn make_anew(self: Arc<Self>, request: Rebuild) -> Result<JobView> {
        let engine = self.engine().await?;
        let job = engine.rebuild(None, request.take_over)?;
        self.unsettled.send_replace(true);
        let (this, id) = (Arc::clone(&self), job.id.clone());
        tokio::spawn(async move {
            if let Err(error) = this.watch(engine, &id).await {
                tracing::error!(error = error.chain(), "the catalog is not rebuilt");
                this.fail(&error);
            }
            this.unsettled.send_replace(false);
        });
        Ok(job)
    }

    /// The engine with the new catalog; opens it at the first call.
    async fn engine(&self) -> Result<Arc<Engine>> {
        {
            let mut work = self.work();
            match &*work {
                Work::Rebuilding { engine, .. } => return Ok(Arc::clone(engine)),
                Work::Opening => return Err(Error::busy("a rebuild is beginning")),
                Work::Waiting => *work = Work::Opening,
            }
        }
        // On a task of its own: a panic is an error, and the next call tries again.
        let opening = tokio::spawn(open_anew(self.setup.clone())).await;
        let opened = opening.unwrap_or_else(|source| {
            Err(Error::internal("the rebuild met a fault of its own").with_source(source))
        });
        *self.work() = match &opened {
            Ok(engine) => Work::Rebuilding { engine: Arc::clone(engine), failed: None },
            Err(_) => Work::Waiting,
        };
        opened
    }

    /// Hands the engine over when the job has made all records, and waits until
    /// it is served.
    async fn watch(&self, engine: Arc<Engine>, job: &str) -> Result<()> {
        let ended = loop {
            let view = engine.wait_job(job, Duration::from_secs(60)).await?;
            if view.state.is_final() {
                break view;
            }
        };
        if ended.state != JobState::Done {
            let why = ended.error.unwrap_or_else(|| "cancelled".to_owned());
            return Err(Error::new(ended.error_kind.unwrap_or(ErrorKind::Corrupt), why));
        }
        finish(&self.setup.paths.root)?;
        let (served, answer) = oneshot::channel();
        let stopping = || Error::unavailable("the daemon is stopping");
        self.rebuilt.send(Rebuilt { engine, served }).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    fn fail(&self, error: &Error) {
        if let Work::Rebuilding { failed, .. } = &mut *self.work() {
            *failed = Some(error.chain());
        }
    }
}

impl Fallback for Untrusted {
    fn info(&self) -> Info {
        let (config, paths) = (&self.setup.config, &self.setup.paths);
        let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let installation = match self.setup.installation {
            Installation::Host => "host",
            Installation::Managed => "managed-plugin",
        };
        Info {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host_id: None,
            host: name.unwrap_or_else(|| "localhost".to_owned()),
            state: "untrusted".to_owned(),
            reason: Some(self.reason.chain()),
            root: paths.root.display().to_string(),
            plugin_socket: paths.plugin_socket.display().to_string(),
            config: config.file.as_ref().map(|file| file.display().to_string()),
            installation: installation.to_owned(),
            scope: "local".to_owned(),
            default_pool: config.default_pool.clone(),
            pools: config.pools.len() as u64,
            volumes: 0,
            mounted: 0,
            jobs: u64::from(!matches!(*self.work(), Work::Waiting)),
            uptime: self.since.elapsed().as_secs(),
        }
    }

    fn doctor(&self) -> Diagnosis {
        let finding = |subject: &str, message: String, hint: Option<String>| Finding {
            severity: Severity::Error,
            subject: subject.to_owned(),
            message,
            hint,
        };
        let repair = self.reason.hint().unwrap_or(
            "bring the right root back and restart the daemon, or make the records anew from the \
             volumes: `berth pool rebuild`",
        );
        let socket = self.setup.paths.plugin_socket.display();
        let mut findings = vec![
            finding("catalog", self.reason.chain(), Some(repair.to_owned())),
            finding(
                "plugin socket",
                format!("`{socket}` is not served, so that Docker keeps its own records"),
                None,
            ),
        ];
        if let Work::Rebuilding { failed: Some(why), .. } = &*self.work() {
            let hint = format!(
                "make good what it names, and rebuild again; to serve without it, remove `{}` and \
                 restart the daemon",
                marker(&self.setup.paths.root).display()
            );
            findings.push(finding("rebuild", why.clone(), Some(hint)));
        }
        Diagnosis { healthy: false, findings }
    }

    fn refusal(&self) -> Error {
        let text = format!("the catalog is not served: {}", self.reason.chain());
        Error::unavailable(text).with_hint(HINT)
    }

    fn rebuilding(&self) -> Option<Arc<Engine>> {
        match &*self.work() {
            Work::Rebuilding { engine, .. } => Some(Arc::clone(engine)),
            Work::Waiting | Work::Opening => None,
        }
    }

    fn rebuild(
        self: Arc<Self>,
        request: Rebuild,
    ) -> Pin<Box<dyn Future<Output = Result<JobView>> + Send>> {
        Box::pin(self.make_anew(request))
    }

    fn settled(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let mut unsettled = self.unsettled.subscribe();
            let _ = tokio::time::timeout(SETTLE, unsettled.wait_for(|unsettled| !unsettled)).await;
        })
    }
}

fn marker(root: &Path) -> PathBuf {
    root.join("rebuilding")
}

/// Refuses a catalog that a rebuild began and did not complete.
///
/// # Errors
/// `Corrupt`.
pub(super) fn check_finished(root: &Path) -> Result<()> {
    match fs::symlink_metadata(marker(root)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(Error::corrupt("the catalog was being rebuilt when the daemon ended")
            .with_hint("make all records anew: `berth pool rebuild`")),
        Err(error) => Err(error).context(|| format!("read `{}`", marker(root).display())),
    }
}

/// Opens the engine on a new, empty catalog; the old one is kept beside it.
async fn open_anew(setup: Setup) -> Result<Arc<Engine>> {
    let root = setup.paths.root.clone();
    let begun = check_finished(&root).is_err();
    let marker = marker(&root);
    durable::replace_path(&marker, b"").context(|| format!("make `{}`", marker.display()))?;
    let opened = Engine::open_anew(setup).await;
    if !begun && opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
        // Another daemon has the root by now, and its catalog is sound.
        finish(&root)?;
    }
    opened
}

/// The new catalog has all records: from now on it can be trusted.
fn finish(root: &Path) -> Result<()> {
    let marker = marker(root);
    // Not synced: a marker that comes back after a power cut asks for one more
    // rebuild, and loses nothing.
    fs::remove_file(&marker).context(|| format!("remove `{}`", marker.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_that_did_not_finish_is_not_trusted() {
        let root = tempfile::tempdir().expect("a temporary folder");
        check_finished(root.path()).expect("never rebuilt");
        fs::write(marker(root.path()), b"").expect("written");
        let error = check_finished(root.path()).expect_err("begun");
        assert_eq!(error.kind(), berth_api::ErrorKind::Corrupt);
        assert!(error.hint().is_some_and(|hint| hint.contains("berth pool rebuild")));
        finish(root.path()).expect("removed");
        check_finished(root.path()).expect("whole again");
    }
}
