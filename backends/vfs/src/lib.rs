//! Volumes in a directory of the host.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use berth_api::{
    Backend, Bytes, Capacity, Change, Context, Error, Found, Handle, Health, HostId, Observed, Op,
    PoolId, PoolIdentity, Progress, Result, Sidecar, Source, VolumeId, VolumeSpec,
};
use berth_host::durable;

/// A pool in a directory of the host.
#[derive(Debug)]
pub struct Vfs {
    name: String,
    path: PathBuf,
}

impl Vfs {
    /// The pool `name` at `path`. No I/O.
    pub fn open(name: &str, path: &Path) -> Self {
        Self { name: name.to_owned(), path: path.to_owned() }
    }

    fn live(&self, id: VolumeId) -> PathBuf {
        self.path.join("volumes").join(id.to_string())
    }

    fn trash(&self, id: VolumeId) -> PathBuf {
        self.path.join(".berth/trash").join(id.to_string())
    }
}

fn id(handle: &Handle) -> Result<VolumeId> {
    serde_json::from_value(handle.0["id"].clone())
        .map_err(|source| Error::corrupt("not a handle of vfs").with_source(source))
}

fn sync(path: &Path) -> Result<()> {
    fs::File::open(path).and_then(durable::sync_directory).context(|| "sync")
}

fn make(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.context(|| format!("make `{}`", path.display())),
    }
}

fn apply(data: &Path, sidecar: &Sidecar) -> Result<()> {
    let options = &sidecar.spec.options;
    let mode = options.mode.map_or(0o755, |mode| mode.bits());
    std::os::unix::fs::chown(data, options.uid, options.gid).context(|| "chown")?;
    fs::set_permissions(data, fs::Permissions::from_mode(mode)).context(|| "chmod")
}

impl Backend for Vfs {
    fn identify(&self, _: &Op, expected: Option<PoolId>, host: HostId) -> Result<PoolIdentity> {
        let file = self.path.join(".berth/pool.json");
        match fs::read(&file) {
            Ok(bytes) => {
                let identity = PoolIdentity::from_bytes(&bytes)?;
                if identity.host != host {
                    return Err(Error::unavailable("it belongs to another host"));
                }
                if expected.is_some_and(|expected| expected != identity.pool) {
                    return Err(Error::unavailable("it is another pool"));
                }
                Ok(identity)
            }
            Err(_) if expected.is_some() => {
                Err(Error::unavailable(format!("`{}` is no pool", self.path.display())))
            }
            Err(_) => {
                make(&self.path)?;
                make(&self.path.join(".berth"))?;
                make(&self.path.join(".berth/trash"))?;
                make(&self.path.join("volumes"))?;
                let identity = PoolIdentity { pool: PoolId::random(), host };
                durable::replace_path(&file, &identity.to_bytes()).context(|| "identity")?;
                Ok(identity)
            }
        }
    }

    fn take_over(&self, _: &Op, host: HostId) -> Result<PoolIdentity> {
        let file = self.path.join(".berth/pool.json");
        let old = PoolIdentity::from_bytes(&fs::read(&file).context(|| "identity")?)?;
        let new = PoolIdentity { pool: old.pool, host };
        durable::replace_path(&file, &new.to_bytes()).context(|| "identity")?;
        Ok(new)
    }

    fn plan(&self, _: &Op, spec: &VolumeSpec) -> Result<Handle> {
        Ok(Handle(serde_json::json!({ "id": spec.id })))
    }

    fn create(&self, op: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        if matches!(self.inspect(op, volume)?, Observed::Present { .. }) {
            return Ok(Progress::Ready(Change::Already));
        }
        let live = self.live(id(volume)?);
        make(&live)?;
        make(&live.join("data"))?;
        apply(&live.join("data"), sidecar)?;
        let _ = fs::remove_file(live.join("volume.json"));
        let folder = fs::File::open(&live).context(|| "open")?;
        durable::write_new(&folder, "volume.json", &sidecar.to_bytes()).context(|| "sidecar")?;
        sync(&live)?;
        sync(&self.path.join("volumes"))?;
        Ok(Progress::Ready(Change::Done))
    }

    fn describe(&self, _: &Op, volume: &Handle, sidecar: &Sidecar) -> Result<Progress<Change>> {
        let live = self.live(id(volume)?);
        apply(&live.join("data"), sidecar)?;
        durable::replace_path(&live.join("volume.json"), &sidecar.to_bytes())
            .context(|| "sidecar")?;
        Ok(Progress::Ready(Change::Done))
    }

    fn remove(&self, _: &Op, volume: &Handle) -> Result<Progress<Change>> {
        let id = id(volume)?;
        if !self.live(id).exists() {
            return Ok(Progress::Ready(Change::Already));
        }
        fs::rename(self.live(id), self.trash(id)).context(|| "trash")?;
        sync(&self.path.join("volumes"))?;
        sync(&self.path.join(".berth/trash"))?;
        Ok(Progress::Ready(Change::Done))
    }

    fn restore(&self, _: &Op, volume: &Handle) -> Result<Progress<Change>> {
        let id = id(volume)?;
        if self.live(id).exists() {
            return Ok(Progress::Ready(Change::Already));
        }
        fs::rename(self.trash(id), self.live(id)).context(|| "restore")?;
        sync(&self.path.join("volumes"))?;
        sync(&self.path.join(".berth/trash"))?;
        Ok(Progress::Ready(Change::Done))
    }

    fn purge(&self, _: &Op, volume: &Handle) -> Result<Progress<Change>> {
        let id = id(volume)?;
        for path in [self.trash(id), self.live(id)] {
            if path.exists() {
                fs::remove_dir_all(&path).context(|| "purge")?;
            }
        }
        Ok(Progress::Ready(Change::Done))
    }

    fn attach(&self, _: &Op, volume: &Handle) -> Result<Progress<Source>> {
        let path = self.live(id(volume)?).join("data");
        match fs::File::open(&path) {
            Ok(directory) => {
                Ok(Progress::Ready(Source::Directory { directory: directory.into(), path }))
            }
            Err(source) => Err(Error::not_found("no such data").with_source(source)),
        }
    }

    fn detach(&self, _: &Op, _: &Handle) -> Result<Progress<Change>> {
        Ok(Progress::Ready(Change::Already))
    }

    fn inspect(&self, _: &Op, volume: &Handle) -> Result<Observed> {
        fs::metadata(self.path.join(".berth/pool.json"))
            .map_err(|source| Error::unavailable("no pool").with_source(source))?;
        let id = id(volume)?;
        if self.trash(id).exists() {
            return Ok(Observed::Trashed);
        }
        let live = self.live(id);
        if !live.exists() {
            return Ok(Observed::Absent);
        }
        let whole =
            fs::read(live.join("volume.json")).is_ok_and(|b| Sidecar::from_bytes(&b).is_ok());
        match fs::read_dir(live.join("data")) {
            Ok(mut entries) if whole => Ok(Observed::Present { empty: entries.next().is_none() }),
            _ => Ok(Observed::Incomplete),
        }
    }

    fn list(&self, _: &Op) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for (folder, trashed) in [("volumes", false), (".berth/trash", true)] {
            for entry in fs::read_dir(self.path.join(folder)).context(|| "list")? {
                let entry = entry.context(|| "list")?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let sidecar = fs::read(entry.path().join("volume.json"))
                    .context(|| "sidecar")
                    .and_then(|bytes| Sidecar::from_bytes(&bytes));
                found.push(Found {
                    handle: Handle(serde_json::json!({ "id": name })),
                    entry: name,
                    sidecar,
                    trashed,
                });
            }
        }
        Ok(found)
    }

    fn health(&self) -> Health {
        match fs::metadata(self.path.join(".berth/pool.json")) {
            Ok(file) if file.size() > 0 => Health::Ready,
            _ => Health::Unavailable(format!(
                "pool `{}`: `{}` is no pool",
                self.name,
                self.path.display()
            )),
        }
    }

    fn capacity(&self, _: &Op) -> Result<Capacity> {
        Ok(Capacity { total: Bytes(0), free: Bytes(0) })
    }
}
