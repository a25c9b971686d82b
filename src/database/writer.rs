//! The one writer: group commit.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, Result};
use rusqlite::{Connection, ffi::ErrorCode};
use tokio::sync::oneshot;

use super::{Transaction, from_sqlite};

/// How long an outcome may wait for a commit to ride on (`state.md`).
const LATER: Duration = Duration::from_secs(1);
/// How many steps share one commit at most: bounds the time the first waits.
const BATCH: usize = 256;

type Step = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send>;
/// Repeatable, since it is kept when its commit fails.
type LaterStep = Box<dyn Fn(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

enum Message {
    Now(Step, oneshot::Sender<Result<()>>),
    Later(LaterStep),
    Flush(oneshot::Sender<Result<()>>),
}

/// What one transaction does, in the order it was asked for: an outcome that
/// waited must not overwrite the intent that came after it.
enum Ordered {
    Now(Step, oneshot::Sender<Result<()>>),
    /// The index in [`Loop::later`].
    Later(usize),
}

/// Hands steps to the writer thread. Clones share it; it ends with the last.
#[derive(Clone)]
pub struct Writer {
    sender: Arc<Mutex<mpsc::Sender<Message>>>,
    frozen: bool,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("frozen", &self.frozen).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the writer thread on `connection`.
    ///
    /// # Panics
    /// If the system has no thread left at start.
    pub fn start(connection: Connection, frozen: bool) -> Self {
        let (sender, receiver) = mpsc::channel();
        thread::Builder::new()
            .name("catalog".to_owned())
            .spawn(move || Loop { connection, receiver, later: Vec::new() }.run())
            .expect("a thread can be started while the daemon starts");
        Self { sender: Arc::new(Mutex::new(sender)), frozen }
    }

    /// Whether what is written is lost with the run folder (read-only root).
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Runs `step` in a transaction and answers when that is on stable storage.
    ///
    /// # Errors
    /// As [`from_sqlite`]; nothing of the step is stored then.
    pub async fn commit<F>(&self, step: F) -> Result<()>
    where
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    {
        let (done, answer) = oneshot::channel();
        self.send(Message::Now(Box::new(step), done));
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Runs `step` with the next commit, at latest after a second, and again
    /// if that commit fails.
    pub fn later<F>(&self, step: F)
    where
        F: Fn(&Transaction<'_>) -> rusqlite::Result<()> + Send + 'static,
    {
        self.send(Message::Later(Box::new(step)));
    }

    /// Answers when everything handed over before is on stable storage.
    ///
    /// # Errors
    /// As [`from_sqlite`].
    pub async fn flush(&self) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(Message::Flush(done));
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    fn send(&self, message: Message) {
        // A send fails only if the thread is gone; then `answer` is closed too.
        let _ = self.sender.lock().unwrap_or_else(PoisonError::into_inner).send(message);
    }
}

fn gone() -> Error {
    Error::internal("the catalog's writer has ended")
}

struct Loop {
    connection: Connection,
    receiver: mpsc::Receiver<Message>,
    later: Vec<LaterStep>,
}

impl Loop {
    fn run(mut self) {
        let mut due: Option<Instant> = None;
        loop {
            let first = match due {
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => {
                    self.receiver.recv_timeout(due.saturating_duration_since(Instant::now()))
                }
            };
            let mut steps = Vec::new();
            let mut flush = first.as_ref().is_err_and(|error| *error == RecvTimeoutError::Timeout);
            let mut flushed = Vec::new();
            let ended = matches!(first, Err(RecvTimeoutError::Disconnected));
            for message in first.into_iter().chain(self.receiver.try_iter().take(BATCH)) {
                match message {
                    Message::Now(step, done) => {
                        flush = true;
                        steps.push(Ordered::Now(step, done));
                    }
                    Message::Later(step) => {
                        steps.push(Ordered::Later(self.later.len()));
                        self.later.push(step);
                    }
                    Message::Flush(done) => {
                        flush = true;
                        flushed.push(done);
                    }
                }
            }
            if flush || ended {
                let result = self.write(steps);
                for done in flushed {
                    let _ = done.send(result.clone().map_err(|error| error.duplicate()));
                }
            }
            if ended {
                return;
            }
            // After a failure the timer keeps later steps coming back.
            due = match (self.later.is_empty(), due) {
                (true, _) => None,
                (false, Some(due)) if due > Instant::now() => Some(due),
                (false, _) => Some(Instant::now() + LATER),
            };
        }
    }

    /// Commits `steps` and everything that waits; answers each step.
    fn write(&mut self, steps: Vec<Ordered>) -> Result<(), Arc<Error>> {
        let mut answers = Vec::with_capacity(steps.len());
        let result = self.transaction(steps, &mut answers).map_err(Arc::new);
        match &result {
            Ok(()) => self.later.clear(),
            Err(error) => {
                tracing::error!(error = %error.chain(), "commit");
                if !self.connection.is_autocommit() {
                    let _ = self.connection.execute_batch("ROLLBACK");
                }
            }
        }
        for (done, own) in answers {
            // A step that failed by itself was rolled back alone.
            let answer = match (&result, own) {
                (_, Err(own)) => Err(own),
                (Ok(()), Ok(())) => Ok(()),
                (Err(shared), Ok(())) => Err(shared.duplicate()),
            };
            let _ = done.send(answer);
        }
        result
    }

    fn transaction(
        &self,
        steps: Vec<Ordered>,
        answers: &mut Vec<(oneshot::Sender<Result<()>>, Result<()>)>,
    ) -> Result<()> {
        let connection = &self.connection;
        let run = |sql: &str| {
            connection.execute_batch(sql).map_err(|source| from_sqlite(source, "write the catalog"))
        };
        let mut ready = run("BEGIN IMMEDIATE");
        let transaction = Transaction(connection);
        let later = |index: usize| {
            run("SAVEPOINT later")?;
            match (self.later[index])(&transaction) {
                Ok(()) => {}
                // It would fail for ever, and take every other step along.
                Err(source)
                    if source.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
                {
                    tracing::error!(error = %source, "an outcome contradicts the catalog");
                    run("ROLLBACK TO later")?;
                }
                Err(source) => return Err(from_sqlite(source, "write the catalog")),
            }
            run("RELEASE later")
        };
        // What waited came before all of these.
        let new = steps.iter().filter(|step| matches!(step, Ordered::Later(_))).count();
        for index in 0..self.later.len() - new {
            ready = ready.and_then(|()| later(index));
        }
        for step in steps {
            let (step, done) = match step {
                Ordered::Later(index) => {
                    ready = ready.and_then(|()| later(index));
                    continue;
                }
                Ordered::Now(step, done) => (step, done),
            };
            let own = if ready.is_ok() && !connection.is_autocommit() {
                run("SAVEPOINT step").and_then(|()| {
                    let own = step(&transaction)
                        .map_err(|source| from_sqlite(source, "write the catalog"));
                    // A full disk may already have rolled everything back.
                    if !connection.is_autocommit() {
                        if own.is_err() {
                            run("ROLLBACK TO step")?;
                        }
                        run("RELEASE step")?;
                    }
                    own
                })
            } else {
                Ok(())
            };
            answers.push((done, own));
        }
        ready?;
        berth_host::failpoint::hit("database.commit").context(|| "write the catalog")?;
        run("COMMIT")?;
        // Only a kill means something here: what is committed is committed.
        let _ = berth_host::failpoint::hit("database.committed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outcome that waits, and the next intent on the same row: the row says
    /// what came last, whether both share a batch or not.
    #[tokio::test]
    async fn steps_take_effect_in_the_order_they_came() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("db");
        let connection = Connection::open(&path).expect("a new database");
        connection.execute_batch("CREATE TABLE t (v INTEGER)").expect("a table");
        let writer = Writer::start(connection, false);
        let put = |value: i64| {
            move |tx: &Transaction<'_>| {
                tx.0.execute("DELETE FROM t", [])?;
                tx.0.execute("INSERT INTO t VALUES (?1)", [value]).map(drop)
            }
        };
        for round in 0..100 {
            writer.later(put(2 * round));
            writer.commit(put(2 * round + 1)).await.expect("committed");
            let reader = Connection::open(&path).expect("the same database");
            let value: i64 =
                reader.query_row("SELECT v FROM t", [], |row| row.get(0)).expect("one");
            assert_eq!(value, 2 * round + 1);
        }
    }
}
