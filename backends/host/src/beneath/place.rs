//! Where in a tree something is, for people.

use std::ffi::CStr;

/// Of a longer path only the end is told.
const LONGEST: usize = 1024;

/// The path of a directory, relative to where a walk began. Bounded, since a
/// tree may be deeper than any text is useful.
#[derive(Clone, Debug, Default)]
pub(super) struct Path(Vec<u8>);

impl Path {
    /// The path of `name` in it.
    pub(super) fn join(&self, name: &CStr) -> Self {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name.to_bytes());
        if path.len() > LONGEST {
            path.drain(..path.len() - LONGEST);
        }
        Self(path)
    }

    /// In a form that no terminal takes for orders.
    pub(super) fn shown(&self) -> String {
        let path = if self.0.is_empty() { b".".as_slice() } else { &self.0 };
        let more = if self.0.len() == LONGEST { "…" } else { "" };
        format!("`{more}{}`", String::from_utf8_lossy(path).escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_shown_safely_and_never_grow_without_end() {
        let mut path = Path::default();
        assert_eq!(path.shown(), "`.`");
        path = path.join(c"a").join(c"b\n\xff");
        assert_eq!(path.shown(), "`a/b\\n\u{fffd}`");
        for _ in 0..10_000 {
            path = path.join(c"deeper");
        }
        assert!(path.shown().len() < LONGEST + 10, "{}", path.shown().len());
        assert!(path.shown().starts_with("`…") && path.shown().ends_with("/deeper/deeper`"));
    }
}
