//! What the directory of a volume, or of a snapshot of it, has to hold.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, path::Path};

/// Files, and mode and owner of the top.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Text by name.
    pub files: BTreeMap<String, String>,
    mode: u32,
    uid: String,
}

impl Content {
    /// An empty directory, made with these options.
    pub fn new(options: &BTreeMap<String, String>) -> Self {
        let mut content = Self { files: BTreeMap::new(), mode: 0o755, uid: "0".to_owned() };
        content.adorn(options);
        content
    }

    /// Gives the top the owner and mode that these options have.
    pub fn adorn(&mut self, options: &BTreeMap<String, String>) {
        if let Some(text) = options.get("mode") {
            self.mode = u32::from_str_radix(text, 8).expect("modes of the model are octal");
        }
        if let Some(uid) = options.get("uid") {
            self.uid.clone_from(uid);
        }
    }

    /// How the directory `data` of `name` differs from this.
    pub fn differences(&self, name: &str, data: &Path) -> Vec<String> {
        let metadata = match fs::symlink_metadata(data) {
            Ok(metadata) => metadata,
            Err(error) => return vec![format!("data of `{name}` at {}: {error}", data.display())],
        };
        let mut found = Vec::new();
        let mode = metadata.mode() & 0o7777;
        if mode != self.mode {
            found.push(format!("mode of `{name}` is {mode:o}, not {:o}", self.mode));
        }
        if metadata.uid().to_string() != self.uid {
            found.push(format!("`{name}` belongs to {}, not {}", metadata.uid(), self.uid));
        }
        let files = files(data);
        if files != self.files {
            found.push(format!("`{name}` has {files:?}, written was {:?}", self.files));
        }
        found
    }
}

/// All files in a directory, and their content.
pub fn files(data: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(data).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_else(|error| error.to_string());
        files.insert(entry.file_name().to_string_lossy().into_owned(), text);
    }
    files
}
