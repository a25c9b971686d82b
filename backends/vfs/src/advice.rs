//! What a pool could have on another file system.

use berth_api::{Notice, Report, Result};
use berth_tree::Tree;

const GIB: u64 = 1 << 30;

/// Says what ext4 lacks, and how an image on it has that.
pub(crate) fn report(tree: &Tree) -> Result<Report> {
    if !tree.lies_on_ext4()? {
        return Ok(Report::default());
    }
    let free = tree.capacity()?.free.0;
    // What is left is for those who use this disk already.
    let size = free / 5 * 4 / GIB;
    if size == 0 {
        return Ok(Report::default());
    }
    let (name, path) = (tree.name(), tree.path());
    let file = path.with_file_name(format!("{name}.img"));
    let hint = format!(
        "a pool on an image has them at once, and takes only the space it uses:\n\
         [pools.{name}-image]\n\
         backend = \"vfs\"\n\
         file = \"{}\"\n\
         size = \"{size}G\"",
        file.display()
    );
    let text = "ext4 cannot share blocks: snapshots and clones are copies here";
    Ok(Report { notices: vec![Notice::note(text, hint)], ..Report::default() })
}
