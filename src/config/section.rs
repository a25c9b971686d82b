//! One table of the configuration file, read key by key.
//!
//! Owns how a wrong key or value is reported: always with the file, the line
//! and the whole name of the key. Knows nothing of what the keys mean.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use berth_api::{Error, ErrorKind, Result, options::nearest};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::duration;

/// The file that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

/// What may be said of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// It works.
    Known,
    /// It is in the contract; the text says what is missing.
    Missing(&'static str),
    /// It belongs to these backends, and says nothing to others.
    Of(&'static str),
}

/// One table.
#[derive(Debug)]
pub(super) struct Section<'a> {
    source: Source<'a>,
    /// Its name, empty at the top: `pools.fast`.
    name: String,
    table: &'a DeTable<'a>,
    span: Range<usize>,
}

impl<'a> Source<'a> {
    /// An error at the byte `at` of the file.
    pub(super) fn error(&self, kind: ErrorKind, at: usize, message: &str) -> Error {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        Error::new(kind, format!("`{}` line {line}: {message}", self.file.display()))
    }

    /// The top of the file.
    pub(super) fn top(self, table: &'a Spanned<DeTable<'a>>) -> Section<'a> {
        Section { source: self, name: String::new(), table: table.get_ref(), span: table.span() }
    }
}

impl<'a> Section<'a> {
    /// Refuses every key that `known` does not have or that does not work.
    pub(super) fn check(&self, known: &[(&str, Key)]) -> Result<()> {
        for (key, value) in self.table {
            let at = key.span().start;
            let word: &str = key.get_ref();
            match known.iter().find(|(name, _)| *name == word) {
                Some((_, Key::Known)) => {}
                Some((_, Key::Missing(why))) => {
                    // `shared = false` and the like ask for nothing.
                    if !matches!(value.get_ref(), DeValue::Boolean(false)) {
                        let text = format!("`{}` is not available: {why}", self.full(word));
                        return Err(self.source.error(ErrorKind::Unsupported, at, &text));
                    }
                }
                Some((_, Key::Of(backend))) => {
                    let text = format!("`{}` is a key of backend {backend} only", self.full(word));
                    return Err(self.source.error(ErrorKind::Invalid, at, &text));
                }
                None => {
                    let text = format!("unknown key `{}`", self.full(word));
                    let error = self.source.error(ErrorKind::Invalid, at, &text);
                    return Err(match nearest(word, known.iter().map(|(name, _)| *name)) {
                        Some(name) => error.with_hint(format!("did you mean `{name}`?")),
                        None => error,
                    });
                }
            }
        }
        Ok(())
    }

    /// Where the section begins, for errors about the whole of it.
    pub(super) fn error(&self, kind: ErrorKind, message: &str) -> Error {
        self.source.error(kind, self.span.start, message)
    }

    /// An error about the value of `key`, or about the section if it has none.
    pub(super) fn error_at(&self, key: &str, kind: ErrorKind, message: &str) -> Error {
        let at = self.get(key).map_or(self.span.start, |value| value.span().start);
        self.source.error(kind, at, message)
    }

    /// `error`, which knows only the value of `key`, with its place.
    pub(super) fn explain(&self, key: &str, error: &Error) -> Error {
        let text = format!("`{}`: {error}", self.full(key));
        let placed = self.error_at(key, error.kind(), &text);
        match error.hint() {
            Some(hint) => placed.with_hint(hint),
            None => placed,
        }
    }

    /// Whether `key` is there, whatever it says.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&'a str>> {
        self.text(key, "a text in quotes")
    }

    /// A text; `what` tells who wrote something else what it should be.
    pub(super) fn text(&self, key: &str, what: &str) -> Result<Option<&'a str>> {
        self.typed(key, what, |value| value.as_str())
    }

    pub(super) fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "`true` or `false`", DeValue::as_bool)
    }

    /// A path. It must be absolute, and say plainly where it leads.
    pub(super) fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        let Some(text) = self.string(key)? else { return Ok(None) };
        let path = Path::new(text);
        let plain = !path.components().any(|part| part == std::path::Component::ParentDir);
        if !path.is_absolute() || !plain || text.contains('\0') {
            let text = format!(
                "`{}` is `{}`, which is not an absolute path without `..`",
                self.full(key),
                text.escape_debug()
            );
            return Err(self.error_at(key, ErrorKind::Invalid, &text));
        }
        // Collected from its components: `/a//b/` and `/a/b` are one place.
        Ok(Some(path.components().collect()))
    }

    pub(super) fn duration(&self, key: &str) -> Result<Option<Duration>> {
        let Some(text) =
            self.typed(key, "a duration in quotes, such as \"24h\"", |value| value.as_str())?
        else {
            return Ok(None);
        };
        duration::parse(text).map(Some).map_err(|error| self.explain(key, &error))
    }

    /// A program and its arguments, as a list; a text is for the shell.
    pub(super) fn command(&self, key: &str) -> Result<Option<Vec<String>>> {
        let what = "a list of texts (program and arguments) or a text for the shell";
        let words = self.typed(key, what, |value| match value {
            DeValue::String(text) if text.trim().is_empty() => Some(Vec::new()),
            DeValue::String(text) => {
                Some(["/bin/sh", "-c", text.as_ref()].map(ToOwned::to_owned).to_vec())
            }
            DeValue::Array(words) => {
                words.iter().map(|word| word.get_ref().as_str().map(ToOwned::to_owned)).collect()
            }
            _ => None,
        })?;
        let Some(words) = words else { return Ok(None) };
        if words.first().is_none_or(String::is_empty) {
            let text = format!("`{}` is empty", self.full(key));
            return Err(self.error_at(key, ErrorKind::Invalid, &text));
        }
        if words.iter().any(|word| word.contains('\0')) {
            let text = format!("`{}` has a NUL in it", self.full(key));
            return Err(self.error_at(key, ErrorKind::Invalid, &text));
        }
        Ok(Some(words))
    }

    /// A list of words, each one of `known`.
    pub(super) fn words(&self, key: &str, known: &[&str]) -> Result<BTreeSet<String>> {
        let read = |value: &'a DeValue<'a>| {
            let words = value.as_array()?.iter();
            words.map(|word| word.get_ref().as_str()).collect::<Option<Vec<_>>>()
        };
        let what = format!("a list of texts in quotes, such as [\"{}\"]", known[0]);
        let words = self.typed(key, &what, read)?.unwrap_or_default();
        if let Some(other) = words.iter().find(|word| !known.contains(*word)) {
            let shown: String = other.chars().take(40).collect();
            let text = format!("`{}` has `{}`", self.full(key), shown.escape_debug());
            let error = self.error_at(key, ErrorKind::Invalid, &text);
            return Err(error.with_hint(format!("it may have: {}", known.join(", "))));
        }
        Ok(words.into_iter().map(ToOwned::to_owned).collect())
    }

    /// A numeric id, as text.
    pub(super) fn number(&self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a whole number", |value| match value {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        })
    }

    /// How many of something: 1 or more.
    pub(super) fn count(&self, key: &str) -> Result<Option<u32>> {
        let what = "a whole number of 1 or more";
        let Some(number) = self.typed(key, what, |value| value.as_integer())? else {
            return Ok(None);
        };
        let count = number.as_str().parse().ok().filter(|count| number.radix() == 10 && *count > 0);
        count.map(Some).ok_or_else(|| {
            let text =
                format!("`{}` is `{}`, which is not {what}", self.full(key), number.as_str());
            self.error_at(key, ErrorKind::Invalid, &text)
        })
    }

    /// An octal mode, as text: a TOML integer would be read as decimal by one
    /// half of its readers.
    pub(super) fn mode(&self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a mode in quotes, such as \"0750\"", |value| {
            value.as_str().map(ToOwned::to_owned)
        })
    }

    /// A number of bytes with its unit, as text.
    pub(super) fn size(&self, key: &str) -> Result<Option<String>> {
        self.typed(key, "a size in quotes, such as \"10G\"", |value| {
            value.as_str().map(ToOwned::to_owned)
        })
    }

    /// The tables below `key`, by name.
    pub(super) fn children(&self, key: &str) -> Result<Vec<(&'a str, Section<'a>)>> {
        let Some(tables) = self.typed(key, "a table", |value| value.as_table())? else {
            return Ok(Vec::new());
        };
        let name = self.full(key);
        let mut children = Vec::new();
        for (key, value) in tables {
            let full = format!("{name}.{}", key.get_ref().escape_debug());
            let Some(table) = value.get_ref().as_table() else {
                let text = wrong_type(&full, "a table", value.get_ref());
                return Err(self.source.error(ErrorKind::Invalid, value.span().start, &text));
            };
            // The span of `[pools.fast]` is that of its header, that of a
            // table made by dotted keys is empty: the key is always there.
            let span = key.span();
            children.push((
                key.get_ref().as_ref(),
                Section { source: self.source, name: full, table, span },
            ));
        }
        Ok(children)
    }

    /// The table that is the value of `key`; `what` as for [`text`](Self::text).
    pub(super) fn table(&self, key: &str, what: &str) -> Result<Option<Section<'a>>> {
        let Some(table) = self.typed(key, what, |value| value.as_table())? else {
            return Ok(None);
        };
        let span = self.get(key).map_or(self.span.clone(), Spanned::span);
        Ok(Some(Section { source: self.source, name: self.full(key), table, span }))
    }

    /// All keys but `known`, as text: what a test backend is told.
    #[cfg(feature = "testing")]
    pub(super) fn others(
        &self,
        known: &[&str],
    ) -> Result<std::collections::BTreeMap<String, String>> {
        let mut others = std::collections::BTreeMap::new();
        for key in self.table.keys().map(|key| key.get_ref().as_ref()) {
            if !known.contains(&key) {
                let text =
                    self.typed(key, "a number, a text or a boolean", |value| match value {
                        DeValue::Integer(number) => Some(number.to_string()),
                        DeValue::Boolean(flag) => Some(flag.to_string()),
                        DeValue::String(text) => Some(text.to_string()),
                        _ => None,
                    })?;
                others.insert(key.to_owned(), text.unwrap_or_default());
            }
        }
        Ok(others)
    }

    /// The whole name of a key of this section.
    pub(super) fn full(&self, key: &str) -> String {
        let shown: String = key.chars().take(60).collect();
        let shown = shown.escape_debug();
        if self.name.is_empty() { shown.to_string() } else { format!("{}.{shown}", self.name) }
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    fn typed<T>(
        &self,
        key: &str,
        what: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value.get_ref()).map(Some).ok_or_else(|| {
            let text = wrong_type(&self.full(key), what, value.get_ref());
            self.source.error(ErrorKind::Invalid, value.span().start, &text)
        })
    }
}

fn wrong_type(key: &str, what: &str, value: &DeValue<'_>) -> String {
    let article = match value {
        DeValue::Integer(_) | DeValue::Array(_) => "an",
        _ => "a",
    };
    format!("`{key}` must be {what}, not {article} {}", value.type_str())
}
