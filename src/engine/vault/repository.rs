//! One configured repository as the engine sees it: threads, the open repository,
//! what is remembered of it.
//!
//! It is opened when it is first needed, once (opening derives a key, which takes
//! 0.3 s and 128 MiB), and anew after it failed. The vault blocks, so each
//! repository has threads of its own: one that hangs hurts nobody else.

use std::{
    io::ErrorKind as Io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_api::{Context as _, Error, ErrorKind, Op, Result};
use berth_vault::{Password, Repository as Opened, Store, repository::Who, store::Kind};
use jiff::Timestamp;

use crate::{
    config::RepositoryConfig,
    database::Writer,
    engine::threads::Threads,
    journal::{self, Remembered},
};

/// What a call that somebody waits for may take.
pub(in crate::engine) const CALL: Duration = Duration::from_secs(60);
/// What a look for a listing or `doctor` may take.
pub(in crate::engine) const LOOK: Duration = Duration::from_secs(10);

/// One configured repository.
#[derive(Debug)]
pub(in crate::engine) struct Repository {
    pub(in crate::engine) name: String,
    pub(in crate::engine) config: RepositoryConfig,
    who: Who,
    writer: Writer,
    /// For calls that somebody waits for.
    callers: Threads,
    /// For work that may take long, at the lowest priority.
    workers: Threads,
    open: Mutex<Option<Opened>>,
    /// Held by whoever opens or makes it.
    opening: Mutex<()>,
    remembered: Mutex<Option<Remembered>>,
}

impl Repository {
    /// No I/O.
    pub(super) fn new(
        name: &str,
        config: RepositoryConfig,
        who: Who,
        writer: Writer,
        remembered: Option<Remembered>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            config,
            who,
            writer,
            callers: Threads::callers(name),
            workers: Threads::workers(name),
            open: Mutex::default(),
            opening: Mutex::default(),
            remembered: Mutex::new(remembered),
        }
    }

    /// Runs a call that answers soon, in the time that `op` has.
    ///
    /// # Errors
    /// `Unavailable` if it does not; `NotFound` if there is no repository; `Invalid`
    /// if the key file does not open it or others may read it.
    pub(in crate::engine) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        op: Op,
        call: impl FnOnce(&Opened, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let own = self.clone();
        self.in_time(op, move |op| own.with(op, call)).await
    }

    /// Runs work that may take long; `op` counts as queued until it has a thread.
    ///
    /// # Errors
    /// As [`call`](Self::call), and those of the work.
    pub(in crate::engine) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        op: Op,
        work: impl FnOnce(&Opened, &Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let own = self.clone();
        self.workers
            .run_in_turn(&op, move |op| {
                berth_host::priority::lower_this_thread();
                let result = own.with(op, work);
                berth_host::memory::give_back();
                result
            })
            .await
    }

    /// Runs a call on this thread, which is one that may block.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(in crate::engine) fn here<T>(
        &self,
        op: &Op,
        call: impl FnOnce(&Opened, &Op) -> Result<T>,
    ) -> Result<T> {
        self.with(op, call)
    }

    /// Whether there is a repository.
    ///
    /// # Errors
    /// `Unavailable` if its place does not answer.
    pub(in crate::engine) async fn exists(self: &Arc<Self>) -> Result<bool> {
        let own = self.clone();
        let opened = lock(&self.open).as_ref().map(|opened| opened.store().clone());
        self.in_time(Op::new(LOOK), move |op| {
            let store = opened.map_or_else(|| own.store(), Ok)?;
            exists(op, &*store)
        })
        .await
    }

    /// Whether there is one at its place now; blocks. If not, what is open is let go
    /// of.
    pub(in crate::engine) fn is_there(&self, op: &Op) -> bool {
        let there = self.store().and_then(|store| exists(op, &*store)).unwrap_or(false);
        if !there {
            *lock(&self.open) = None;
        }
        there
    }

    /// Where it is, for people; without secrets.
    pub(in crate::engine) fn location(&self) -> String {
        self.config.url()
    }

    /// The store, not connected.
    fn store(&self) -> Result<Arc<dyn Store>> {
        crate::repositories::store(&self.config)
    }

    /// Runs what does not need the open repository, in the time that `op` has.
    pub(super) async fn in_time<T: Send + 'static>(
        &self,
        op: Op,
        call: impl FnOnce(&Op) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let limit = op.remaining();
        let own = op.clone();
        let call = self.callers.run(move || call(&own));
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            op.cancel();
            let seconds = limit.as_secs();
            let text = format!("repository `{}` did not answer in {seconds} s", self.name);
            Err(Error::unavailable(text).with_hint("`berth doctor` looks at it"))
        })
    }

    fn with<T>(&self, op: &Op, call: impl FnOnce(&Opened, &Op) -> Result<T>) -> Result<T> {
        let opened = self.opened(op)?;
        let result = call(&opened, op);
        if let Err(error) = &result
            && matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt)
        {
            // It may be another when it is back.
            *lock(&self.open) = None;
        }
        result
    }

    /// The open repository; opens it, if nobody has. On a thread of its own.
    fn opened(&self, op: &Op) -> Result<Opened> {
        if let Some(opened) = lock(&self.open).clone() {
            return Ok(opened);
        }
        let _turn = lock(&self.opening);
        if let Some(opened) = lock(&self.open).clone() {
            return Ok(opened);
        }
        op.check()?;
        let store = self.store()?;
        if !exists(op, &*store)? {
            return Err(self.absent());
        }
        let file = &self.config.password_file;
        if is_missing(file) {
            let text =
                format!("repository `{}`: there is no key file `{}`", self.name, file.display());
            return Err(Error::unavailable(text)
                .with_hint("bring it back from where its copy is, with mode 0600"));
        }
        let password =
            Password::from_file(file).context(|| format!("repository `{}`", self.name))?;
        let opened = Opened::open(op, &self.name, store, &password, self.who.clone())?;
        tracing::info!(repository = self.name, id = %opened.config().id, "opened");
        self.meet(&opened);
        *lock(&self.open) = Some(opened.clone());
        Ok(opened)
    }

    fn absent(&self) -> Error {
        Error::not_found(format!("repository `{}` is not there yet", self.name))
            .with_hint(format!("`berth repository init {}` makes it", self.name))
    }

    /// Makes it, and its key file if there is none. On a thread of its own.
    ///
    /// # Errors
    /// `Conflict` if there is one already.
    pub(super) fn make(&self, op: &Op) -> Result<()> {
        let _turn = lock(&self.opening);
        let store = self.store()?;
        if exists(op, &*store)? {
            let text =
                format!("repository `{}`: there is one in `{}`", self.name, store.location());
            return Err(Error::conflict(text)
                .with_hint(format!("`berth repository inspect {}` looks at it", self.name)));
        }
        let file = &self.config.password_file;
        let password = if is_missing(file) {
            let password = Password::generate()?;
            keep(&password, file)?;
            password
        } else {
            Password::from_file(file)?
        };
        let opened = Opened::init(op, &self.name, store, &password, self.who.clone())?;
        tracing::info!(repository = self.name, id = %opened.config().id, "made");
        self.meet(&opened);
        *lock(&self.open) = Some(opened);
        Ok(())
    }

    /// What is remembered of it, if it was ever met.
    pub(in crate::engine) fn remembered(&self) -> Option<Remembered> {
        lock(&self.remembered).clone()
    }

    /// Remembers more of it; nothing, if it was never met.
    pub(in crate::engine) fn remember(&self, change: impl FnOnce(&mut Remembered)) {
        let mut remembered = lock(&self.remembered);
        let Some(row) = remembered.as_mut() else { return };
        change(row);
        let (name, row) = (self.name.clone(), row.clone());
        self.writer.later(move |tx| journal::put_repository(tx, &name, &row));
    }

    /// Durably remembers that a copy of its key is elsewhere.
    pub(super) async fn confirm_key(&self) -> Result<()> {
        self.remember(|row| row.key_confirmed = Some(Timestamp::now()));
        let Some(row) = self.remembered() else { return Err(self.absent()) };
        let name = self.name.clone();
        self.writer.commit(move |tx| journal::put_repository(tx, &name, &row)).await
    }

    /// Forgets what was remembered of another one under this name.
    fn meet(&self, opened: &Opened) {
        let id = opened.config().id.to_string();
        let known = lock(&self.remembered).as_ref().is_some_and(|row| row.id == id);
        if !known {
            *lock(&self.remembered) = Some(Remembered::new(id));
            self.remember(|_| ());
        }
    }
}

fn exists(op: &Op, store: &dyn Store) -> Result<bool> {
    store.list(op, Kind::Config).map(|found| !found.is_empty())
}

/// Whether nothing is there. A link that leads nowhere is something.
fn is_missing(file: &Path) -> bool {
    file.symlink_metadata().is_err_and(|error| error.kind() == Io::NotFound)
}

/// Writes a new key file that only its owner may read; on stable storage on return.
fn keep(password: &Password, file: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let what = || format!("write key file `{}`", file.display());
    if let Some(folder) = file.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).context(what)?;
    }
    berth_host::failpoint::hit("engine.repository.key").context(what)?;
    let mut line = password.bytes().to_vec();
    line.push(b'\n');
    berth_host::durable::replace_path(file, &line).context(what)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
