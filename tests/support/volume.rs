//! One volume as a client's acknowledgements have it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    content::Content,
    kept::{self, Kept, Listed},
    operation::By,
};

/// A count, and the epoch of the last Mount that touched it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    /// Mounts not yet taken back.
    pub count: u64,
    /// Docker's references of an older epoch are not believed by Remove.
    pub epoch: u64,
}

/// One volume as the acknowledgements have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Its id, once a view was seen.
    pub id: Option<String>,
    /// Options in force.
    pub options: BTreeMap<String, String>,
    /// References that count.
    pub references: BTreeMap<(By, String), Reference>,
    /// What it holds.
    pub content: Content,
    /// Its snapshots, in the order they were made.
    pub snapshots: Vec<Kept>,
    /// A rollback, or a Remove whose answer was lost, may have taken down its mount:
    /// unconfirmed references are still counted, and the next Mount mounts.
    pub bare: bool,
    /// When it was removed: the how manieth removal of the slot that was.
    pub removed: u64,
}

impl Volume {
    /// A fresh one with this content.
    pub fn new(options: BTreeMap<String, String>, content: Content) -> Self {
        Self {
            id: None,
            options,
            references: BTreeMap::new(),
            content,
            snapshots: Vec::new(),
            bare: false,
            removed: 0,
        }
    }

    /// Whether its id and those of its snapshots are known: what is in the trash
    /// does not tell them any more.
    pub fn is_known(&self) -> bool {
        self.id.is_some() && self.snapshots.iter().all(|snapshot| snapshot.id.is_some())
    }

    /// Its snapshot of this name.
    pub fn snapshot(&self, name: &str) -> Option<&Kept> {
        self.snapshots.iter().find(|snapshot| snapshot.name.as_deref() == Some(name))
    }

    /// All references together, as views show them.
    pub fn count(&self) -> u64 {
        self.references.values().map(|reference| reference.count).sum()
    }

    /// 64 hex digits and no options: Docker made the name up.
    pub fn is_anonymous(&self, name: &str) -> bool {
        name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) && self.options.is_empty()
    }

    /// How its view, and the listing of its snapshots, differ from this.
    pub fn differences(&self, view: &Value, snapshots: &[Listed]) -> Vec<String> {
        let mut found = Vec::new();
        if !matches!(view["state"].as_str(), Some("ready" | "creating")) {
            found.push(format!("state {} ({})", view["state"], view["reason"]));
        }
        if self.id.as_ref().is_some_and(|id| view["id"] != id.as_str()) {
            found.push(format!("id {} instead of {:?}", view["id"], self.id));
        }
        if view["references"] != self.count() {
            found.push(format!(
                "{} references instead of {:?}",
                view["references"], self.references
            ));
        }
        for key in ["uid", "gid", "mode", "on-remove"] {
            let shown = match &view["options"][key] {
                Value::Null => None,
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            };
            let default = (key == "on-remove").then(|| "delete".to_owned());
            let expected = self.options.get(key).cloned().or(default);
            if shown != expected {
                found.push(format!("{key} is {shown:?} instead of {expected:?}"));
            }
        }
        found.extend(kept::differences(&self.snapshots, snapshots));
        found
    }
}
