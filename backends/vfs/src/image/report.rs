//! What is worth knowing of an image, for `pool inspect` and `doctor`.

use std::{path::Path, sync::PoisonError};

use berth_api::{Bytes, Context as _, Detail, Notice, Report, Result};
use berth_host::backing::{Backing, Extent};

use super::Image;

/// What is said where direct I/O does not work.
pub(super) const BUFFERED: &str =
    "the file system below the image takes no direct I/O: what is read is cached twice";

impl Image {
    /// What the disk that it lies on has left.
    ///
    /// # Errors
    /// `Unavailable` and others if the file cannot be looked at.
    pub(crate) fn room(&self) -> Result<Bytes> {
        self.extent().map(|extent| Bytes(extent.free))
    }

    fn mode(&self) -> Result<u32> {
        Backing::open(&self.file).and_then(|file| file.mode()).context(|| self.what("look at"))
    }

    fn extent(&self) -> Result<Extent> {
        let extent = Backing::open(&self.file).and_then(|file| file.extent());
        extent.context(|| self.what("look at"))
    }

    /// Where it is, what it takes, and what somebody should read.
    ///
    /// # Errors
    /// `Unavailable` and others if the file cannot be looked at.
    pub(crate) fn report(&self) -> Result<Report> {
        let (extent, mode) = (self.extent()?, self.mode()?);
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut details = vec![
            ("file".to_owned(), text(&self.file)),
            ("file-size".to_owned(), Detail::Size(Bytes(extent.length))),
            ("file-allocated".to_owned(), Detail::Size(Bytes(extent.allocated))),
        ];
        let mut notices = self.of_size(extent);
        if mode & 0o077 != 0 {
            let file = self.file.display();
            let text = format!("others may open `{file}` (mode {mode:04o}) and read all volumes");
            notices.push(Notice::warning(text, format!("chmod 0600 {file}")));
        }
        if let Some(seen) = seen {
            details.extend([
                ("device".to_owned(), text(&seen.device)),
                ("direct-io".to_owned(), Detail::Flag(seen.direct)),
                ("project-quotas".to_owned(), Detail::Flag(seen.quotas)),
            ]);
            if !seen.direct {
                notices.push(Notice::note(BUFFERED, "put the image on ext4 or XFS"));
            }
            if let Some(why) = seen.stunted {
                let text = format!("the image is smaller than it should be: {why}");
                notices.push(Notice::warning(text, "it is tried again at the next start"));
            }
        }
        Ok(Report { details, notices })
    }

    fn of_size(&self, extent: Extent) -> Vec<Notice> {
        let mut notices = Vec::new();
        let file = self.file.display();
        let length = Bytes(extent.length);
        if let Some(asked) = self.size
            && asked < length
        {
            notices.push(Notice::warning(
                format!("`size` is {asked}, but the image is {length}: it cannot become smaller"),
                format!("size = \"{}\"", exact(length)),
            ));
        }
        let lacking = Bytes(extent.length.saturating_sub(extent.allocated));
        let free = Bytes(extent.free);
        if free < lacking {
            notices.push(Notice::warning(
                format!(
                    "the image may take {lacking} more, but only {free} are free where `{file}` lies"
                ),
                "make room there: when that disk is full, writes into volumes fail with I/O errors \
                 and not with \"no space left\"",
            ));
        }
        notices
    }
}

fn text(path: &Path) -> Detail {
    Detail::Text(path.display().to_string())
}

/// A size that parses back to the same number.
fn exact(Bytes(size): Bytes) -> String {
    let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    let unit = units.iter().find(|(_, power)| size.is_multiple_of(1 << power));
    unit.map_or_else(|| size.to_string(), |(unit, power)| format!("{}{unit}", size >> power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_size_parses_back() {
        for (size, text) in [(1 << 40, "1T"), (3 << 29, "1536M"), (4096, "4K"), (5, "5")] {
            assert_eq!(exact(Bytes(size)), text);
            assert_eq!(text.parse::<Bytes>().expect("a size"), Bytes(size));
        }
    }
}
