//! A store that is used no faster than it may be.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use berth_api::{Op, Result};
use bytes::Bytes;

use super::{FileInfo, Kind, Store};
use crate::format::Id;

/// How soon a cancelled operation gives up waiting.
const TICK: Duration = Duration::from_millis(50);

/// The store. All threads that use it share its limits. Only the content of files
/// counts; what protocols add to it does not.
#[derive(Debug)]
pub struct Limited<S: ?Sized = dyn Store> {
    upload: Option<Bucket>,
    download: Option<Bucket>,
    inner: Arc<S>,
}

/// What may be spent: bytes are paid for with time, in the order of who asks.
#[derive(Debug)]
struct Bucket {
    /// Bytes a second; not 0.
    rate: u64,
    /// Until when all time is spent.
    spent: Mutex<Option<Instant>>,
}

impl<S: Store + ?Sized> Limited<S> {
    /// `inner`, with limits in bytes a second; 0 counts as 1.
    pub fn new(inner: Arc<S>, upload: Option<u64>, download: Option<u64>) -> Self {
        let bucket = |rate: u64| Bucket { rate: rate.max(1), spent: Mutex::default() };
        Self { upload: upload.map(bucket), download: download.map(bucket), inner }
    }
}

impl Bucket {
    /// Waits until `bytes` are paid for. Who gives up has taken nothing from others.
    fn pay(&self, op: &Op, bytes: u64) -> Result<()> {
        let price = self.price(bytes);
        let due = {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let due = spent.filter(|spent| *spent > now).unwrap_or(now) + price;
            *spent = Some(due);
            due
        };
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if let Err(error) = op.check() {
                self.give_back(price.min(left));
                return Err(error);
            }
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(TICK.min(left));
        }
    }

    fn give_back(&self, time: Duration) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        *spent = spent.and_then(|spent| spent.checked_sub(time));
    }

    fn price(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        // Longer than a day is no wait, but an end of it that no clock could show.
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(Duration::from_hours(24))
    }
}

fn pay(bucket: Option<&Bucket>, op: &Op, bytes: u64) -> Result<()> {
    bucket.map_or(Ok(()), |bucket| bucket.pay(op, bytes))
}

impl<S: Store + ?Sized> Store for Limited<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self, op: &Op) -> Result<()> {
        self.inner.create(op)
    }

    fn list(&self, op: &Op, kind: Kind) -> Result<Vec<FileInfo>> {
        self.inner.list(op, kind)
    }

    fn read(&self, op: &Op, kind: Kind, id: &Id) -> Result<Bytes> {
        // How much it is, is known afterwards only.
        let bytes = self.inner.read(op, kind, id)?;
        pay(self.download.as_ref(), op, bytes.len() as u64)?;
        Ok(bytes)
    }

    fn read_range(&self, op: &Op, kind: Kind, id: &Id, range: Range<u64>) -> Result<Bytes> {
        pay(self.download.as_ref(), op, range.end.saturating_sub(range.start))?;
        self.inner.read_range(op, kind, id, range)
    }

    fn write(&self, op: &Op, kind: Kind, id: &Id, bytes: Bytes) -> Result<()> {
        // A lock that waits behind packs would be taken for a dead one.
        if kind != Kind::Lock {
            pay(self.upload.as_ref(), op, bytes.len() as u64)?;
        }
        self.inner.write(op, kind, id, bytes)
    }

    fn remove(&self, op: &Op, kind: Kind, id: &Id) -> Result<()> {
        self.inner.remove(op, kind, id)
    }

    fn sweep(&self, op: &Op) -> Result<()> {
        self.inner.sweep(op)
    }

    fn parallel(&self) -> usize {
        self.inner.parallel()
    }
}

#[cfg(test)]
mod tests {
    use berth_api::ErrorKind;

    use super::*;
    use crate::store::directory::Directory;

    const LONG: Duration = Duration::from_secs(60);

    fn store(
        folder: &tempfile::TempDir,
        upload: Option<u64>,
        download: Option<u64>,
    ) -> Limited<Directory> {
        let inner = Directory::new(folder.path().join("repository"));
        inner.create(&Op::new(LONG)).expect("made");
        Limited::new(Arc::new(inner), upload, download)
    }

    #[test]
    fn all_threads_share_a_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder, Some(1 << 20), Some(1 << 20));
        let bytes = Bytes::from(vec![1; 128 << 10]);
        for write in [true, false] {
            let started = Instant::now();
            thread::scope(|scope| {
                for number in 0..4 {
                    let (store, bytes) = (&store, bytes.clone());
                    scope.spawn(move || {
                        let op = Op::new(LONG);
                        let id = Id([number; 32]);
                        if write {
                            store.write(&op, Kind::Pack, &id, bytes).expect("written");
                        } else {
                            let range = 0..bytes.len() as u64;
                            store.read_range(&op, Kind::Pack, &id, range).expect("read");
                        }
                    });
                }
            });
            // Half a mebibyte at one a second.
            let took = started.elapsed();
            assert!(took >= Duration::from_millis(500), "{took:?}");
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    }

    #[test]
    fn who_is_cancelled_gives_up_and_gives_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(&folder, Some(1), None);
        let op = Op::new(LONG);
        op.cancel();
        let started = Instant::now();
        let bytes = Bytes::from_static(&[0; 3600]);
        let error = store.write(&op, Kind::Pack, &Id::default(), bytes).expect_err("cancelled");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        // The hour that it would have taken is not the next one's.
        store
            .write(&Op::new(LONG), Kind::Pack, &Id::default(), Bytes::from_static(b"1"))
            .expect("paid");
        assert!(started.elapsed() < Duration::from_secs(10));
        // And locks do not wait.
        let lock = Bytes::from_static(&[0; 3600]);
        store.write(&Op::new(LONG), Kind::Lock, &Id::default(), lock).expect("at once");
    }
}
