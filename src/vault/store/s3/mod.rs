//! A repository in a bucket of S3, or of whoever speaks it.
//!
//! A request is one object, whole: packs are small enough for one `PUT` each. What
//! S3 has acknowledged is durable, so nothing is to be synced, and an unfinished
//! `PUT` leaves nothing to be swept.
//!
//! Requests that may succeed later are repeated, with growing pauses, for
//! a minute; but if nobody has answered lately, the first refused connection
//! is the answer: whoever opens a repository is waiting in front of it.
//!
//! | module | noun |
//! |---|---|
//! | `settings` | where it lies; the client |
//! | `credentials` | who we are |
//! | `profile` | `~/.aws/credentials` |
//! | `failure` | what went wrong, for users |
//! | `patience` | how long a server is waited for |
//! | `runtime` | the crossing between threads and the client |

mod credentials;
mod failure;
mod patience;
mod profile;
mod runtime;
mod settings;

use std::{
    fmt,
    ops::Range,
    pin::pin,
    time::{Duration, Instant},
};

use berth_api::{Context as _, Error, Op, Result};
use berth_host::failpoint;
use bytes::{Bytes, BytesMut};
pub use credentials::Credentials;
use failure::{Asked, Failure};
use futures_util::StreamExt as _;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutPayload,
    aws::AmazonS3, path::Path,
};
use patience::Patience;
pub use profile::SharedFiles;
pub use settings::S3Settings;

use super::{FileInfo, Kind, Store};
use crate::format::Id;

/// What is reserved at most on the word of a server.
const RESERVED: u64 = 64 << 20;
/// How much of a body is handed on at a time, in bytes.
const PIECE: usize = 256 << 10;

/// The store.
pub struct S3 {
    client: AmazonS3,
    settings: S3Settings,
    prefix: Path,
    region: String,
    server: String,
    patience: Patience,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl S3 {
    /// The store that `settings` tell. Reads the user's files with keys; asks nobody.
    ///
    /// # Errors
    /// `Invalid` if a setting is wrong or the named profile has no key.
    pub fn open(settings: S3Settings) -> Result<Self> {
        let location = settings.location();
        let what = || format!("repository `{location}`");
        let prefix = Path::parse(&settings.prefix)
            .map_err(|error| Error::invalid(format!("{}: {error}", what())))?;
        let region = settings.region().context(what)?;
        let client = settings.client(&region).context(what)?;
        let server = settings.server(&region);
        Ok(Self { client, settings, prefix, region, server, patience: Patience::default() })
    }

    fn key(&self, below: &str) -> Path {
        below.split('/').fold(self.prefix.clone(), Path::join)
    }

    fn file(&self, kind: Kind, id: &Id) -> Path {
        self.key(&kind.path(id))
    }

    fn what(&self, verb: &str, kind: Kind, id: &Id) -> String {
        let location = self.settings.location();
        match kind {
            Kind::Config => format!("repository `{location}`: {verb} config"),
            _ => format!("repository `{location}`: {verb} {} {}", kind.noun(), id.short()),
        }
    }

    fn explain(&self, failure: Failure, what: &str) -> Error {
        let bucket = &self.settings.bucket;
        failure.explain(what, &Asked { bucket, endpoint: &self.server, region: &self.region })
    }

    /// Sends a request, and again while that may help. It is told how often it was
    /// sent before.
    fn ask<T>(
        &self,
        op: &Op,
        mut request: impl AsyncFnMut(u32) -> Result<T, Failure>,
    ) -> Result<Result<T, Failure>> {
        let started = Instant::now();
        let answers = self.patience.answers();
        runtime::wait(op, async {
            let mut since = None;
            for attempt in 0.. {
                let failure = match request(attempt).await {
                    Ok(done) => {
                        self.patience.answered();
                        return Ok(done);
                    }
                    Err(failure) => failure,
                };
                if !failure.unanswered() {
                    self.patience.answered();
                }
                // A pack that was on its way for minutes when the line broke is worth as many
                // repetitions; silence was part of them.
                let since = *since.get_or_insert_with(|| match failure {
                    Failure::Silent(_) => started,
                    _ => Instant::now(),
                });
                let wait = patience::pause(attempt);
                if !failure.passes()
                    || (!answers && failure.unanswered())
                    || since.elapsed() + wait > patience::repeated(answers)
                {
                    if failure.unanswered() {
                        self.patience.gone();
                    }
                    return Err(failure);
                }
                tracing::debug!(server = self.server, attempt, ?failure, "S3 is asked again");
                tokio::time::sleep(wait).await;
            }
            unreachable!("the loop ends by itself only after four thousand million requests")
        })
    }

    async fn get(&self, path: &Path, range: Option<Range<u64>>) -> Result<Bytes, Failure> {
        let wanted = range.as_ref().map(|range| range.end - range.start);
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let answer = patient(self.patience.silence(), self.client.get_opts(path, options)).await?;
        let length = wanted.unwrap_or(answer.meta.size);
        let mut stream = pin!(answer.into_stream());
        let mut content = BytesMut::new();
        while let Some(part) = quiet(patience::within_answer(), stream.next()).await? {
            let part = part?;
            if content.is_empty() {
                let reserved = length.min(RESERVED);
                content.reserve(usize::try_from(reserved).unwrap_or_default());
            }
            content.extend_from_slice(&part);
        }
        match (content.len() as u64).cmp(&length) {
            std::cmp::Ordering::Equal => Ok(content.freeze()),
            // A range of a shorter file is answered with what there is.
            _ if wanted.is_some() => Err(Failure::Short),
            _ => Err(Failure::Cut("the answer is cut off".to_owned())),
        }
    }

    async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> Result<(), Failure> {
        let limit = self.patience.receipt(bytes.len());
        patient(limit, self.client.put_opts(path, in_pieces(&bytes), mode.into())).await.map(drop)
    }

    /// Writes the one file that must not be there yet.
    async fn put_new(&self, path: &Path, bytes: &Bytes, again: bool) -> Result<(), Failure> {
        // Asked first: not everybody who speaks S3 heeds the condition.
        match self.get(path, None).await {
            // Our own, whose acknowledgement was lost.
            Ok(there) if again && there == *bytes => return Ok(()),
            Ok(_) => return Err(Failure::Exists),
            Err(Failure::Missing) => {}
            Err(other) => return Err(other),
        }
        match self.put(path, bytes.clone(), PutMode::Create).await {
            Err(Failure::Refused(refusal)) if refusal.status == 501 => {
                self.put(path, bytes.clone(), PutMode::Overwrite).await
            }
            other => other,
        }
    }

    /// Goes on with a listing after what was found before.
    async fn collect(&self, folder: &Path, found: &mut Vec<ObjectMeta>) -> Result<(), Failure> {
        let mut stream = match found.last() {
            Some(last) => self.client.list_with_offset(Some(folder), &last.location),
            None => self.client.list(Some(folder)),
        };
        while let Some(file) = quiet(self.patience.silence(), stream.next()).await? {
            found.push(file?);
        }
        Ok(())
    }
}

impl Store for S3 {
    fn location(&self) -> String {
        self.settings.location()
    }

    fn create(&self, op: &Op) -> Result<()> {
        // Nothing to make, but a bucket that is not there should be heard of now.
        self.list(op, Kind::Key).map(drop)
    }

    fn list(&self, op: &Op, kind: Kind) -> Result<Vec<FileInfo>> {
        if kind == Kind::Config {
            return match self.read(op, kind, &Id::default()) {
                Ok(file) => Ok(vec![FileInfo { id: Id::default(), size: file.len() as u64 }]),
                Err(error) if error.kind() == berth_api::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        let folder = self.key(kind.folder());
        let mut found = Vec::new();
        self.ask(op, async |_| self.collect(&folder, &mut found).await)?.map_err(|failure| {
            let what = format!("repository `{}`: list {}", self.location(), kind.folder());
            self.explain(failure, &what)
        })?;
        let files = found.into_iter().filter_map(|file| {
            let id = file.location.filename()?.parse().ok()?;
            // Whatever else lies there is none of ours.
            (self.file(kind, &id) == file.location).then_some(FileInfo { id, size: file.size })
        });
        Ok(files.collect())
    }

    fn read(&self, op: &Op, kind: Kind, id: &Id) -> Result<Bytes> {
        let path = self.file(kind, id);
        self.ask(op, async |_| self.get(&path, None).await)?
            .map_err(|failure| self.explain(failure, &self.what("read", kind, id)))
    }

    fn read_range(&self, op: &Op, kind: Kind, id: &Id, range: Range<u64>) -> Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let path = self.file(kind, id);
        self.ask(op, async |_| self.get(&path, Some(range.clone())).await)?
            .map_err(|failure| self.explain(failure, &self.what("read", kind, id)))
    }

    fn write(&self, op: &Op, kind: Kind, id: &Id, bytes: Bytes) -> Result<()> {
        let path = self.file(kind, id);
        let what = || self.what("write", kind, id);
        failpoint::hit("repository.put.send").context(what)?;
        let written = self.ask(op, async |attempt| match kind {
            Kind::Config => self.put_new(&path, &bytes, attempt > 0).await,
            // Named by its digest: what is there is the same.
            _ => self.put(&path, bytes.clone(), PutMode::Overwrite).await,
        })?;
        match written {
            Ok(()) => failpoint::hit("repository.put.sent").context(what),
            Err(Failure::Exists) => Err(Error::conflict(format!(
                "there is a repository in `{}` already",
                self.location()
            ))),
            Err(failure) => Err(self.explain(failure, &what())),
        }
    }

    fn remove(&self, op: &Op, kind: Kind, id: &Id) -> Result<()> {
        let path = self.file(kind, id);
        let removed = self
            .ask(op, async |_| patient(self.patience.silence(), self.client.delete(&path)).await)?;
        match removed {
            Ok(()) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(self.explain(failure, &self.what("remove", kind, id))),
        }
    }

    fn sweep(&self, op: &Op) -> Result<()> {
        op.check()
    }

    fn is_distant(&self) -> bool {
        true
    }
}

/// The bytes in pieces, without a copy: of a body in one piece hyper makes one.
fn in_pieces(bytes: &Bytes) -> PutPayload {
    let starts = (0..bytes.len()).step_by(PIECE);
    starts.map(|at| bytes.slice(at..(at + PIECE).min(bytes.len()))).collect()
}

/// Waits for an answer so long and no longer.
async fn patient<T>(
    limit: Duration,
    answer: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failure> {
    Ok(quiet(limit, answer).await??)
}

async fn quiet<T>(limit: Duration, next: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, next).await.map_err(|_| Failure::Silent(limit))
}
