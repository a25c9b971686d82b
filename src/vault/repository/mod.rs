//! A repository that is open: its key, and its files by kind.
//!
//! | module | noun |
//! |---|---|
//! | [`password`] | what opens a repository |
//! | [`index`] | the index in memory |
//! | [`blob`] | reading blobs, each checked against its id |
//! | `who` | who works with it |

pub mod blob;
pub mod index;
pub mod password;
mod who;

use std::{fmt, sync::Arc};

use berth_api::{Context as _, Error, ErrorKind, Op, Result};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

pub use blob::Opener;
pub use index::{Index, Location};
pub use password::Password;
pub use who::Who;

use crate::{
    format::{ConfigFile, Id, KeyFile, MasterKey, SnapshotFile},
    store::{Kind, Store},
};

/// How many small files are read at a time: over a network the round trips decide.
const READERS: usize = 8;
/// zstd's level for everything, as restic's `auto`.
pub const LEVEL: i32 = 3;
/// The largest text of an index, snapshot or config, in bytes; more is damage.
const LARGEST_TEXT: usize = 256 << 20;

/// A repository that is open. Clones share everything.
#[derive(Clone)]
pub struct Repository {
    name: String,
    store: Arc<dyn Store>,
    key: MasterKey,
    /// The key file that opened it.
    key_id: Id,
    config: ConfigFile,
    who: Who,
}

impl Repository {
    /// Makes a new repository called `name`, with one key.
    ///
    /// # Errors
    /// `Conflict` if there is one already.
    pub fn init(
        op: &Op,
        name: &str,
        store: Arc<dyn Store>,
        password: &Password,
        who: Who,
    ) -> Result<Self> {
        let what = || format!("make repository `{name}`");
        store.create(op).context(what)?;
        if !store.list(op, Kind::Config).context(what)?.is_empty() {
            return Err(Error::conflict(format!(
                "repository `{name}`: there is one in `{}` already",
                store.location()
            )));
        }
        let key = MasterKey::random()?;
        let file = KeyFile::lock(&key, password.bytes(), &who.username, &who.hostname)?;
        let text = serde_json::to_vec(&file).expect("a key file is plain JSON");
        let key_id = Id::of(&text);
        store.write(op, Kind::Key, &key_id, text.into()).context(what)?;
        // The config comes last: a repository without is none.
        let config = ConfigFile::new()?;
        let repository = Self { name: name.to_owned(), store, key, key_id, config, who };
        repository.save(op, Kind::Config, &repository.config).context(what)?;
        Ok(repository)
    }

    /// Opens the repository called `name`. Takes 0.3 s and 128 MiB for each key it has
    /// until one fits.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Invalid` if the password opens no key.
    pub fn open(
        op: &Op,
        name: &str,
        store: Arc<dyn Store>,
        password: &Password,
        who: Who,
    ) -> Result<Self> {
        let what = || format!("open repository `{name}`");
        let location = store.location();
        if store.list(op, Kind::Config).context(what)?.is_empty() {
            return Err(Error::not_found(format!(
                "repository `{name}`: there is none in `{location}`"
            ))
            .with_hint(format!("`berth repository init {name}` makes one")));
        }
        let mut keys = store.list(op, Kind::Key).context(what)?;
        keys.sort_unstable();
        for found in &keys {
            op.check()?;
            let bytes = store.read(op, Kind::Key, &found.id).context(what)?;
            let Ok(file) = serde_json::from_slice::<KeyFile>(&bytes) else {
                tracing::warn!(repository = name, key = %found.id.short(), "key file is damaged");
                continue;
            };
            let Ok(key) = file.unlock(password.bytes()) else { continue };
            let mut repository = Self {
                name: name.to_owned(),
                store,
                key,
                key_id: found.id,
                config: ConfigFile { version: 2, id: Id::default(), chunker_polynomial: 0 },
                who,
            };
            repository.config = repository.load(op, Kind::Config, &Id::default()).context(what)?;
            repository.config.check().context(what)?;
            return Ok(repository);
        }
        Err(Error::invalid(format!(
            "repository `{name}`: none of the {} keys in `{location}` opens with this password",
            keys.len()
        ))
        .with_hint("look which key the configuration names by `password-file`"))
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files are.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What everything is sealed with.
    pub fn key(&self) -> &MasterKey {
        &self.key
    }

    /// The key file that opened it.
    pub fn key_id(&self) -> Id {
        self.key_id
    }

    /// What is the same for the whole repository.
    pub fn config(&self) -> &ConfigFile {
        &self.config
    }

    /// Who works with it.
    pub fn who(&self) -> &Who {
        &self.who
    }

    /// Reads a sealed JSON file.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` if its bytes are not those of its id, or not what they
    /// should be.
    pub fn load<T: DeserializeOwned>(&self, op: &Op, kind: Kind, id: &Id) -> Result<T> {
        let what = || format!("repository `{}`: {} {}", self.name, kind.noun(), id.short());
        let bytes = self.store.read(op, kind, id)?;
        // The config has no id, and is the only one that may not be compressed.
        if kind != Kind::Config && Id::of(&bytes) != *id {
            return Err(Error::corrupt(what()).with_source("its bytes are not those of its id"));
        }
        let text = self.key.open(&bytes).and_then(unpack).context(what)?;
        serde_json::from_slice(&text).map_err(|source| Error::corrupt(what()).with_source(source))
    }

    /// Writes a sealed JSON file, durably, and says its id.
    ///
    /// # Errors
    /// The store's.
    pub fn save<T: Serialize>(&self, op: &Op, kind: Kind, value: &T) -> Result<Id> {
        let (id, sealed) = self.sealed(kind, value)?;
        self.store.write(op, kind, &id, sealed)?;
        Ok(id)
    }

    /// The sealed JSON file that [`save`](Self::save) would write, and its id.
    ///
    /// # Errors
    /// `Internal` if the kernel has no random numbers.
    pub fn sealed<T: Serialize>(&self, kind: Kind, value: &T) -> Result<(Id, Bytes)> {
        let text = serde_json::to_vec(value).map_err(|source| {
            Error::internal(format!("a {} as JSON", kind.noun())).with_source(source)
        })?;
        // restic reads its config before it knows about compression.
        let plain = matches!(kind, Kind::Config);
        let sealed = self.key.seal(&if plain { text } else { pack(&text)? })?;
        Ok((Id::of(&sealed), Bytes::from(sealed)))
    }

    /// All snapshots with their ids, oldest first. One that is removed meanwhile is
    /// left out.
    ///
    /// # Errors
    /// `Corrupt` if one cannot be read.
    pub fn snapshots(&self, op: &Op) -> Result<Vec<(Id, SnapshotFile)>> {
        let found = self.store.list(op, Kind::Snapshot)?;
        let ids: Vec<_> = found.iter().map(|file| file.id).collect();
        let read: Vec<(Id, Option<SnapshotFile>)> = self.read_all(op, Kind::Snapshot, &ids)?;
        let mut there: Vec<_> =
            read.into_iter().filter_map(|(id, file)| Some((id, file?))).collect();
        there.sort_by_key(|(id, file)| (file.time, *id));
        Ok(there)
    }

    /// Reads many small files side by side; `None` for those that are gone.
    ///
    /// # Errors
    /// That of the first that cannot be read.
    pub fn read_all<T: DeserializeOwned + Send>(
        &self,
        op: &Op,
        kind: Kind,
        ids: &[Id],
    ) -> Result<Vec<(Id, Option<T>)>> {
        let read = self.read_each(op, kind, ids)?;
        read.into_iter()
            .map(|(id, value)| match value {
                Ok(value) => Ok((id, Some(value))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok((id, None)),
                Err(error) => Err(error),
            })
            .collect()
    }

    /// Reads many small files side by side, each with the error it may have.
    ///
    /// # Errors
    /// If the operation ended.
    pub fn read_each<T: DeserializeOwned + Send>(
        &self,
        op: &Op,
        kind: Kind,
        ids: &[Id],
    ) -> Result<Vec<(Id, Result<T>)>> {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || -> Result<Vec<(Id, Result<T>)>> {
            let mut read = Vec::new();
            while let Some(id) = ids.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                op.check()?;
                read.push((*id, self.load(op, kind, id)));
            }
            Ok(read)
        };
        let mut all = Vec::with_capacity(ids.len());
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..READERS.min(ids.len())).map(|_| scope.spawn(work)).collect();
            for reader in readers {
                let read = reader.join().map_err(|_| Error::internal("a reader panicked"))?;
                all.extend(read?);
            }
            Ok(all)
        })
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("name", &self.name)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// A text as version 2 of the format writes it: 2, and then compressed.
fn pack(text: &[u8]) -> Result<Vec<u8>> {
    let mut packed = vec![2];
    let compressed = zstd::bulk::compress(text, LEVEL)
        .map_err(|source| Error::internal("compress").with_source(source))?;
    packed.extend(compressed);
    Ok(packed)
}

/// Reads [`pack`]'s bytes and plain JSON back.
fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>> {
    match bytes.first() {
        Some(b'{' | b'[') => Ok(bytes),
        Some(2) => decompress(&bytes[1..], LARGEST_TEXT),
        _ => Err(Error::corrupt("it begins with an unknown byte")),
    }
}

/// Decompresses at most `limit` bytes.
fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>> {
    use std::io::Read as _;
    let wrong = |source| Error::corrupt("it does not decompress").with_source(source);
    let decoder = zstd::stream::read::Decoder::new(bytes).map_err(wrong)?;
    let mut text = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut text).map_err(wrong)?;
    if text.len() > limit {
        return Err(Error::corrupt("it is larger than it may be"));
    }
    Ok(text)
}
