//! One `[pools.NAME]` of the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use berth_api::{ErrorKind, Label, Options, Result, VolumeName, options::nearest};

use super::{
    PoolConfig, image,
    section::{Key, Section},
};

/// How long a removed volume can be brought back unless a pool says otherwise.
pub(super) const TRASH: Duration = Duration::from_hours(24);

const THIN: Key = Key::Of("`thin`");
const NFS: Key = Key::Of("`nfs`");
const EBS: Key = Key::Of("`ebs`");

/// Every key of the contract, seen from a `vfs` pool.
const KEYS: [(&str, Key); 31] = [
    ("backend", Key::Known),
    ("path", Key::Known),
    ("trash", Key::Known),
    ("uid", Key::Known),
    ("gid", Key::Known),
    ("mode", Key::Known),
    ("file", Key::Known),
    ("size", Key::Known),
    ("shared", Key::Known),
    ("coherent", Key::Known),
    ("fs", Key::Missing("only block pools have a file system of their own")),
    ("policy", Key::Known),
    ("docker-options", NFS),
    ("selinux-context", Key::Known),
    ("hooks", Key::Missing("hooks are sections of their own: [hooks.NAME]")),
    ("device", THIN),
    ("data-device", THIN),
    ("metadata-device", THIN),
    ("server", NFS),
    ("export", NFS),
    ("version", NFS),
    ("mount-options", NFS),
    ("region", EBS),
    ("zone", EBS),
    ("instance-id", EBS),
    ("type", EBS),
    ("kms-key", EBS),
    ("tags", EBS),
    ("iops", EBS),
    ("throughput", EBS),
    ("encrypted", Key::Of("`thin` and `ebs`")),
];

/// The same, seen from a pool of `nfs`.
fn keys_of_nfs() -> [(&'static str, Key); KEYS.len()] {
    KEYS.map(|(name, key)| match (name, key) {
        ("path" | "file" | "shared" | "coherent", _) => (name, Key::Of("`vfs`")),
        (_, NFS) => (name, Key::Known),
        other => other,
    })
}

/// Reads the pool `name`; what is mounted for it by Berth lies below `root`.
pub(super) fn read(name: &str, section: &Section<'_>, root: &Path) -> Result<PoolConfig> {
    if name.parse::<VolumeName>().is_err() {
        let shown: String = name.chars().take(40).collect();
        let text = format!("pool name `{}` is not allowed", shown.escape_debug());
        return Err(section.error(ErrorKind::Invalid, &text).with_hint(
            "use letters, digits, `_`, `.` and `-`, beginning with a letter or a digit",
        ));
    }
    let Some(backend) = section.string("backend")? else {
        // A misspelt `backend` is the likelier reason.
        section.check(&KEYS)?;
        let text = format!("`{}` is missing", section.full("backend"));
        return Err(section.error(ErrorKind::Invalid, &text).with_hint("backend = \"vfs\""));
    };
    let image = if backend == "vfs" { image::read(section)? } else { None };
    let mut export = None;
    let extra = match backend {
        "vfs" => {
            section.check(&KEYS)?;
            BTreeMap::new()
        }
        "nfs" => {
            section.check(&keys_of_nfs())?;
            export = Some(super::nfs::read(section)?);
            BTreeMap::new()
        }
        #[cfg(feature = "testing")]
        "fake" => {
            section.others(&["backend", "path", "trash", "uid", "gid", "mode", "size", "policy"])?
        }
        other => return Err(refuse(other, section)),
    };
    let path = match section.path("path")? {
        Some(path) => path,
        None if image.is_some() => image::mountpoint(root, name),
        None if export.is_some() => root.join("exports").join(name),
        None => {
            let text = format!("`{}` is missing", section.full("path"));
            return Err(section.error(ErrorKind::Invalid, &text));
        }
    };
    let shared = section.boolean("shared")?.unwrap_or(false);
    let coherent = section.boolean("coherent")?.unwrap_or(false);
    if shared && image.is_some() {
        let text = format!("`{}` and `file` exclude each other", section.full("shared"));
        return Err(section.error_at("shared", ErrorKind::Invalid, &text).with_hint(
            "an image is one host's; a shared pool lies on a file system that all hosts mount",
        ));
    }
    if coherent && !shared {
        let text = format!("`{}` is for pools with `shared = true`", section.full("coherent"));
        return Err(section.error_at("coherent", ErrorKind::Invalid, &text));
    }
    Ok(PoolConfig {
        backend: backend.to_owned(),
        path,
        image,
        shared: shared || export.is_some(),
        nfs: export,
        trash: section.duration("trash")?.unwrap_or(TRASH),
        defaults: defaults(section)?,
        label: label(section)?,
        builtin: false,
        coherent,
        docker_options: section.words("docker-options", &["subdir"])?,
        extra,
    })
}

/// The pool that there is without a file.
pub(super) fn builtin(path: PathBuf) -> PoolConfig {
    PoolConfig {
        backend: "vfs".to_owned(),
        path,
        image: None,
        nfs: None,
        trash: TRASH,
        defaults: Options::default(),
        label: None,
        builtin: true,
        shared: false,
        coherent: false,
        docker_options: BTreeSet::new(),
        extra: BTreeMap::new(),
    }
}

fn refuse(backend: &str, section: &Section<'_>) -> berth_api::Error {
    let key = section.full("backend");
    if ["thin", "ebs"].contains(&backend) {
        let text = format!("`{key}` is not available: pools of `{backend}` are not built yet");
        return section.error_at("backend", ErrorKind::Unsupported, &text);
    }
    let shown: String = backend.chars().take(40).collect();
    let text = format!("`{key}` is `{}`, which is no backend", shown.escape_debug());
    let error = section.error_at("backend", ErrorKind::Invalid, &text);
    match nearest(backend, ["vfs", "nfs", "thin", "ebs"]) {
        Some(name) => error.with_hint(format!("did you mean `{name}`?")),
        None => error.with_hint("backend = \"vfs\""),
    }
}

fn defaults(section: &Section<'_>) -> Result<Options> {
    let mut options = Options::default();
    // Of a pool on an image it is the image's.
    let limits = section.string("file")?.is_none();
    let given = [
        ("uid", section.number("uid")?),
        ("gid", section.number("gid")?),
        ("mode", section.mode("mode")?),
        ("size", if limits { section.size("size")? } else { None }),
        ("policy", section.string("policy")?.map(ToOwned::to_owned)),
    ];
    for (key, value) in given {
        let Some(value) = value else { continue };
        let one = BTreeMap::from([(key.to_owned(), value)]);
        options = options.over(&one).map_err(|error| section.explain(key, &error))?;
    }
    Ok(options)
}

fn label(section: &Section<'_>) -> Result<Option<Label>> {
    const KEY: &str = "selinux-context";
    let Some(text) = section.string(KEY)? else { return Ok(None) };
    text.parse().map(Some).map_err(|error| section.explain(KEY, &error))
}
