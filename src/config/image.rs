//! `file` and `size` of a pool: an image that is mounted where the pool lies.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use berth_api::{Bytes, ErrorKind, Result};

use super::{PoolConfig, section::Section};

/// The image of one pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    /// The file.
    pub file: PathBuf,
    /// How large it shall be at least; needed where it is not there yet.
    pub size: Option<Bytes>,
}

/// Reads the keys of an image, if the section has a `file`.
pub(super) fn read(section: &Section<'_>) -> Result<Option<ImageConfig>> {
    let Some(file) = section.path("file")? else { return Ok(None) };
    if file.file_name().is_none() {
        let text = format!("`{}` is no name of a file", section.full("file"));
        return Err(section.error_at("file", ErrorKind::Invalid, &text));
    }
    let size = section
        .string("size")?
        .map(|text| text.parse::<Bytes>().map_err(|error| section.explain("size", &error)))
        .transpose()?;
    Ok(Some(ImageConfig { file, size }))
}

/// Where the image of the pool `name` is mounted unless it says otherwise.
///
/// Below the root: it exists, nobody but root can look into it, and as a managed
/// plugin it is one of the few places that outlive the plugin.
pub(super) fn mountpoint(root: &Path, name: &str) -> PathBuf {
    root.join("images").join(name)
}

/// Refuses a pool whose image lies in a pool, or hides one, or is another's.
pub(super) fn check_places(
    pools: &BTreeMap<String, PoolConfig>,
    name: &str,
    pool: &PoolConfig,
    section: &Section<'_>,
) -> Result<()> {
    let refuse = |key: &str, text: String| Err(section.error_at(key, ErrorKind::Invalid, &text));
    if let Some(image) = &pool.image
        && image.file.starts_with(&pool.path)
    {
        let text = "lies below the place where it is mounted";
        return refuse("file", format!("`{}` {text}", image.file.display()));
    }
    for (other_name, other) in pools {
        for (inner, outer, inner_name, outer_name) in
            [(pool, other, name, other_name.as_str()), (other, pool, other_name, name)]
        {
            if let Some(image) = &inner.image
                && image.file.starts_with(&outer.path)
            {
                let file = image.file.display();
                let text = format!(
                    "the image `{file}` of pool `{inner_name}` lies in the pool `{outer_name}`"
                );
                return refuse("file", text);
            }
            let mounted = inner.image.is_some() || outer.image.is_some();
            if mounted && inner.path.starts_with(&outer.path) {
                let text = format!("the pool `{inner_name}` lies in the pool `{outer_name}`");
                return refuse("path", text);
            }
        }
        if let (Some(image), Some(theirs)) = (&pool.image, &other.image)
            && image.file == theirs.file
        {
            let file = image.file.display();
            return refuse(
                "file",
                format!("pools `{other_name}` and `{name}` have the same image `{file}`"),
            );
        }
    }
    Ok(())
}
