//! Long operations, with progress.
//!
//! A job observes an operation that a flight or a task carries; the registry
//! knows what runs, keeps the latest that ended, and tells who waits. A job that
//! a restart interrupted is taken up under its id.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use berth_api::{Error, Op, Result, VolumeId};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    database::Writer,
    journal,
    view::{JobState, JobView, ProgressView},
};

/// How many ended jobs are remembered.
const KEPT: usize = 100;
/// A job has no deadline of its own.
pub(super) const UNLIMITED: Duration = Duration::from_secs(10 * 365 * 86400);

/// All jobs of this host.
#[derive(Debug)]
pub(super) struct Jobs {
    writer: Writer,
    all: Mutex<HashMap<String, Arc<Job>>>,
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    /// Carries cancellation and progress to the backend.
    pub(super) op: Op,
    /// The volume it works on.
    volume: Option<VolumeId>,
    writer: Writer,
    started: Instant,
    view: watch::Sender<JobView>,
}

impl Jobs {
    /// The jobs of before a restart; those that had not ended wait to be taken up.
    pub(super) fn new(writer: Writer, loaded: Vec<JobView>) -> Self {
        let all = loaded
            .into_iter()
            .map(|mut view| {
                if !view.state.is_final() {
                    view.state = JobState::Queued;
                    view.waiting = None;
                }
                let job = Job {
                    op: Op::new(UNLIMITED),
                    volume: None,
                    writer: writer.clone(),
                    started: Instant::now(),
                    view: watch::Sender::new(view),
                };
                (job.id(), Arc::new(job))
            })
            .collect();
        Self { writer, all: Mutex::new(all) }
    }

    /// Ends the jobs of before a restart that nobody will take up.
    pub(super) fn give_up(&self, will_be_taken_up: impl Fn(&JobView) -> bool) {
        for job in self.lock().values().filter(|job| job.state() == JobState::Queued) {
            if !will_be_taken_up(&job.view.borrow()) {
                let error = Error::unavailable("the daemon was restarted");
                let uploads = matches!(job.view.borrow().kind.as_str(), "backup" | "copy");
                let restores = job.view.borrow().kind == "restore";
                job.end(Err(&if uploads {
                    error.with_hint("run it again: what was uploaded is not uploaded again")
                } else if restores {
                    error.with_hint("run it again")
                } else {
                    error
                }));
            }
        }
    }

    /// The id and time of a job of before a restart that is the same as this one.
    fn taken_up(&self, kind: &str, volume: &str) -> Option<(String, Timestamp)> {
        self.lock()
            .values()
            .map(|job| job.view.borrow().clone())
            .filter(|view| view.state == JobState::Queued && view.kind == kind)
            .find(|view| view.volume.as_deref() == Some(volume))
            .map(|view| (view.id, view.created))
    }

    /// Begins a job that carries `op`.
    pub(super) fn start(
        &self,
        kind: &str,
        volume: Option<(VolumeId, String)>,
        pool: Option<&str>,
        op: Op,
    ) -> Arc<Job> {
        let (id, created) = volume
            .as_ref()
            .and_then(|(_, name)| self.taken_up(kind, name))
            .unwrap_or_else(|| (VolumeId::random().to_string()[..12].to_owned(), Timestamp::now()));
        let view = JobView {
            id,
            kind: kind.to_owned(),
            volume: volume.as_ref().map(|(_, name)| name.clone()),
            pool: pool.map(ToOwned::to_owned),
            repository: None,
            state: JobState::Running,
            progress: ProgressView::default(),
            waiting: None,
            error: None,
            error_kind: None,
            hint: None,
            note: None,
            outcome: None,
            created,
            finished: None,
        };
        tracing::info!(job = view.id, kind, volume = view.volume, pool = view.pool, "job began");
        let job = Arc::new(Job {
            op,
            volume: volume.map(|(id, _)| id),
            writer: self.writer.clone(),
            started: Instant::now(),
            view: watch::Sender::new(view),
        });
        job.store();
        let mut all = self.lock();
        all.insert(job.id(), job.clone());
        self.drop_oldest(&mut all);
        job
    }

    fn drop_oldest(&self, all: &mut HashMap<String, Arc<Job>>) {
        let mut ended: Vec<_> = all
            .values()
            .filter(|job| job.state().is_final())
            .map(|job| (job.view.borrow().created, job.id()))
            .collect();
        if ended.len() <= KEPT {
            return;
        }
        ended.sort_unstable();
        for (_, id) in &ended[..ended.len() - KEPT] {
            all.remove(id);
            let id = id.clone();
            self.writer.later(move |tx| journal::delete_job(tx, &id));
        }
    }

    /// All jobs: running ones first, then the latest.
    pub(super) fn list(&self) -> Vec<JobView> {
        let mut views: Vec<_> = self.lock().values().map(|job| job.view()).collect();
        views.sort_by_key(|view| (view.state.is_final(), std::cmp::Reverse(view.created)));
        views
    }

    /// How many jobs are at work.
    pub(super) fn running(&self) -> u64 {
        self.lock().values().filter(|job| !job.state().is_final()).count() as u64
    }

    /// The job with this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub(super) fn find(&self, id: &str) -> Result<Arc<Job>> {
        self.lock().get(id).cloned().ok_or_else(|| {
            let id: String = id.chars().take(40).collect();
            Error::not_found(format!("no such job: `{}`", id.escape_debug()))
                .with_hint("`berth job ls` lists them")
        })
    }

    /// Asks the jobs of these kinds on a volume to stop.
    pub(super) fn cancel_of(&self, volume: VolumeId, kinds: &[&str]) {
        for job in self.lock().values().filter(|job| job.volume == Some(volume)) {
            if kinds.contains(&job.view.borrow().kind.as_str()) && !job.state().is_final() {
                tracing::info!(job = job.id(), "asked to stop");
                job.op.cancel();
            }
        }
    }

    /// The latest job of a kind on a volume.
    pub(super) fn latest_of(&self, volume: VolumeId, kind: &str) -> Option<Arc<Job>> {
        let all = self.lock();
        let own = all.values().filter(|job| job.volume == Some(volume));
        let own = own.filter(|job| job.view.borrow().kind == kind);
        own.max_by_key(|job| job.view.borrow().created).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Job>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    pub(super) fn id(&self) -> String {
        self.view.borrow().id.clone()
    }

    fn state(&self) -> JobState {
        self.view.borrow().state
    }

    /// Says what a person should know beforehand.
    pub(super) fn note(&self, text: String) {
        tracing::info!(job = self.id(), note = text, "job");
        self.view.send_modify(|view| view.note = Some(text));
    }

    /// Says more of that, on a line of its own.
    pub(super) fn note_too(&self, text: &str) {
        let noted = self.view.borrow().note.clone();
        self.note(noted.map_or_else(|| text.to_owned(), |noted| format!("{noted}\n{text}")));
    }

    /// Says which repository it works on.
    pub(super) fn works_on(&self, repository: &str) {
        self.view.send_modify(|view| view.repository = Some(repository.to_owned()));
        self.store();
    }

    /// Says what the job waits for.
    pub(super) fn waits(&self, because: Option<String>) {
        self.view.send_modify(|view| view.waiting = because);
    }

    /// Says what there is to say up to now, in case that it fails.
    pub(super) fn says(&self, outcome: &str) {
        self.view.send_modify(|view| view.outcome = Some(outcome.to_owned()));
    }

    /// Ends the job.
    pub(super) fn end(&self, result: Result<String, &Error>) {
        self.view.send_modify(|view| {
            view.progress = self.progress();
            view.waiting = None;
            view.finished = Some(Timestamp::now());
            match result {
                Ok(outcome) => {
                    view.state = JobState::Done;
                    view.outcome = Some(outcome).filter(|text| !text.is_empty());
                }
                Err(error) => {
                    let cancelled = self.op.is_cancelled();
                    view.state = if cancelled { JobState::Cancelled } else { JobState::Failed };
                    view.error = Some(error.chain());
                    view.error_kind = Some(error.kind());
                    view.hint = error.hint().map(ToOwned::to_owned);
                }
            }
        });
        let view = self.view.borrow().clone();
        tracing::info!(job = view.id, state = view.state.as_str(), error = view.error, "job ended");
        self.store();
    }

    /// The job as it is now.
    pub(super) fn view(&self) -> JobView {
        let mut view = self.view.borrow().clone();
        if !view.state.is_final() {
            view.progress = self.progress();
            // Only shown: what the record calls queued is of before a restart.
            if self.op.is_queued() {
                view.state = JobState::Queued;
            }
        }
        view
    }

    /// The job once it has ended, or as it is after `timeout`.
    pub(super) async fn wait(&self, timeout: Duration) -> JobView {
        let mut changes = self.view.subscribe();
        let _ = tokio::time::timeout(timeout, changes.wait_for(|view| view.state.is_final())).await;
        self.view()
    }

    fn progress(&self) -> ProgressView {
        let counts = self.op.counts();
        let seconds = self.started.elapsed().as_secs().max(1);
        let rate = counts.bytes_done / seconds;
        let left = counts.bytes_total.saturating_sub(counts.bytes_done);
        ProgressView {
            bytes_done: counts.bytes_done,
            bytes_total: counts.bytes_total,
            files_done: counts.files_done,
            rate,
            eta: if counts.bytes_total > 0 { left.checked_div(rate) } else { None },
        }
    }

    fn store(&self) {
        let view = self.view.borrow().clone();
        self.writer.later(move |tx| journal::put_job(tx, &view));
    }
}
