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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use berth_api::ErrorKind;

    use super::super::tests::{parse, refused};

    #[test]
    fn an_export_is_read_and_its_errors_name_key_and_line() {
        let head = "[pools.default]\nbackend = \"nfs\"\nserver = \"10.0.0.5\"\n";
        let text = format!("{head}export = \"/export\"\nmount-options = \"noatime\"");
        let (config, _) = parse(&text).expect("valid");
        let pool = &config.pools["default"];
        assert_eq!(pool.nfs.as_ref().expect("an export").to_string(), "10.0.0.5:/export");
        assert_eq!(
            (pool.path.as_path(), pool.shared),
            (Path::new("/var/lib/berth/exports/default"), true)
        );
        let (config, _) = parse(&format!("{text}\ndocker-options = [\"subdir\"]")).expect("valid");
        assert!(config.pools["default"].docker_options.contains("subdir"));
        for (text, expected) in [
            ("", "line 1: `pools.default.export` is missing"),
            (
                "export = \"/x\"\ndocker-options = [\"subdri\"]",
                "line 5: `pools.default.docker-options` has `subdri`",
            ),
            (
                "export = \"/x\"\ndocker-options = \"subdir\"",
                "line 5: `pools.default.docker-options` must be a list of texts in quotes, such as [\"subdir\"], not a string",
            ),
            ("export = \"/a\\nb\"", "line 4: `pools.default.export`: `/a\\nb` is no export"),
            (
                "export = \"/x\"\nversion = \"3,addr=6.6.6.6\"",
                "line 5: `pools.default.version`: `3,addr=6.6.6.6` is no version of NFS",
            ),
            (
                "export = \"/x\"\nmount-options = \"rsize=4096\\n\"",
                "mount option `rsize` is a number from 1024 to 1048576",
            ),
            ("export = \"export\"", "line 4: `pools.default.export`: `export` is no export"),
            (
                "export = \"/x\"\nversion = \"5\"",
                "line 5: `pools.default.version`: `5` is no version of NFS",
            ),
            (
                "export = \"/x\"\nmount-options = \"addr=6.6.6.6\"",
                "line 5: `pools.default.mount-options`: mount option `addr` is not allowed",
            ),
            (
                "export = \"/x\"\npath = \"/p\"",
                "line 5: `pools.default.path` is a key of backend `vfs` only",
            ),
        ] {
            let (kind, message, _) = refused(&format!("{head}{text}"));
            assert_eq!(kind, ErrorKind::Invalid, "{text}");
            assert!(message.ends_with(expected), "{message}");
        }
    }
}
