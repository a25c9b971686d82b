//! `server`, `export`, `version` and `mount-options` of a pool: an NFS export that
//! Berth mounts. What their values may be the backend knows.

use berth_api::{Error, ErrorKind, Result};
use berth_nfs::Export;

use super::section::Section;

/// Reads the export of a pool.
pub(super) fn read(section: &Section<'_>) -> Result<Export> {
    let needed = |key: &str, example: &str| {
        section.string(key)?.ok_or_else(|| {
            let text = format!("`{}` is missing", section.full(key));
            section.error(ErrorKind::Invalid, &text).with_hint(format!("{key} = {example:?}"))
        })
    };
    let (server, path) = (needed("server", "10.0.0.5")?, needed("export", "/export/berth")?);
    let version = section.text("version", "a version in quotes, as \"4.2\"")?;
    let options = section.string("mount-options")?.unwrap_or_default();
    let explained = |key: &'static str| move |error: Error| section.explain(key, &error);
    let version = version.map(str::parse).transpose().map_err(explained("version"))?;
    let options = options.parse().map_err(explained("mount-options"))?;
    Export::new(server, path, version, options).map_err(|(key, error)| section.explain(key, &error))
}
