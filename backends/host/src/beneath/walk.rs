//! A walk down a tree that needs neither paths nor the stack, and a bounded
//! number of descriptors however deep it goes.
//!
//! A directory is listed to its end when it is entered; of what is in it, only
//! the names of directories are kept until they have been entered in turn. Past
//! [`LEVELS`] levels the outermost are closed, and opened again from below.

use std::{
    collections::VecDeque,
    ffi::{CStr, CString},
};

use berth_api::Result;

/// Levels that are open at a time.
const LEVELS: usize = 64;

/// What a walk does on its way.
pub(super) trait Visitor {
    /// An open directory.
    type Folder;
    /// What is left of it when it is closed: enough to open and know it again.
    type Closed;

    /// Opens the directory `name` of `above`; `None` if it is to be left out.
    fn enter(&mut self, above: &Self::Folder, name: &CStr) -> Result<Option<Self::Folder>>;

    /// Reads the directory, and returns the names of the directories in it.
    fn list(&mut self, folder: &Self::Folder) -> Result<Names>;

    /// Closes it for the time being.
    fn close(&mut self, folder: Self::Folder) -> Result<Self::Closed>;

    /// Opens what was closed again, from `below`, which lies in it.
    fn reopen(&mut self, closed: Self::Closed, below: &Self::Folder) -> Result<Self::Folder>;

    /// All that is in it has been visited.
    fn leave(&mut self, folder: Self::Folder) -> Result<()>;
}

/// Names in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Each with its NUL.
    bytes: Vec<u8>,
    count: usize,
}

impl Names {
    pub(super) fn one(name: &CStr) -> Self {
        let mut names = Self::default();
        names.push(name);
        names
    }

    pub(super) fn push(&mut self, name: &CStr) {
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        self.count += 1;
    }

    /// Takes the last one.
    pub(super) fn pop(&mut self) -> Option<CString> {
        let (_, names) = self.bytes.split_last()?;
        let start = names.iter().rposition(|byte| *byte == 0).map_or(0, |end| end + 1);
        let name = CStr::from_bytes_with_nul(&self.bytes[start..]).ok()?.to_owned();
        self.bytes.truncate(start);
        self.count -= 1;
        Some(name)
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// In the order they were added.
    pub(super) fn iter(&self) -> impl Iterator<Item = &CStr> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let name = CStr::from_bytes_until_nul(rest).ok()?;
            rest = &rest[name.to_bytes_with_nul().len()..];
            Some(name)
        })
    }
}

/// Visits `names` in `top`, and all that is in them. `top` is left like every
/// other folder when they are done.
pub(super) fn walk<V: Visitor>(visitor: &mut V, top: V::Folder, names: Names) -> Result<()> {
    // The way down: the outer part closed, the inner part open; each level with
    // the directories in it that are still to do.
    let mut closed = Vec::new();
    let mut open = VecDeque::from([(top, names)]);
    while let Some((folder, names)) = open.back_mut() {
        if let Some(name) = names.pop() {
            let Some(entered) = visitor.enter(folder, &name)? else { continue };
            let names = visitor.list(&entered)?;
            open.push_back((entered, names));
            if open.len() > LEVELS
                && let Some((folder, names)) = open.pop_front()
            {
                closed.push((visitor.close(folder)?, names));
            }
        } else if let Some((done, _)) = open.pop_back() {
            if open.is_empty()
                && let Some((above, names)) = closed.pop()
            {
                open.push_back((visitor.reopen(above, &done)?, names));
            }
            visitor.leave(done)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_as_they_went_in() {
        let mut names = Names::default();
        assert_eq!(names.pop(), None);
        for name in [c"a", c"\xff\xfe", c"long name"] {
            names.push(name);
        }
        assert_eq!(names.count(), 3);
        assert_eq!(names.iter().collect::<Vec<_>>(), [c"a", c"\xff\xfe", c"long name"]);
        for name in [c"long name", c"\xff\xfe", c"a"] {
            assert_eq!(names.pop().as_deref(), Some(name));
        }
        assert_eq!((names.pop(), names.count()), (None, 0));
    }
}
