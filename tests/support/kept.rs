//! The snapshots that a volume must have, and what they must hold.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::content::Content;

/// How the name of a snapshot begins that a rollback made.
const BEFORE: &str = "before-rollback-";

/// One snapshot, as the acknowledgements have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its name; a rollback makes one up, which a look at the listing tells.
    pub name: Option<String>,
    /// Its id, once it was seen.
    pub id: Option<String>,
    /// What was in the volume at that moment.
    pub content: Content,
}

/// Name and id of a snapshot that the daemon lists.
pub type Listed = (String, String);

/// Name and id in a snapshot's view.
pub fn listed(view: &Value) -> Listed {
    let text = |key: &str| view[key].as_str().expect("text").to_owned();
    let name = text("name");
    (name.split_once('@').expect("VOLUME@NAME").1.to_owned(), text("id"))
}

/// How the listing of a volume's snapshots differs from `kept`.
pub fn differences(kept: &[Kept], listed: &[Listed]) -> Vec<String> {
    let mut found = Vec::new();
    for snapshot in kept {
        let Some(name) = &snapshot.name else { continue };
        match (listed.iter().find(|(listed, _)| listed == name), &snapshot.id) {
            (None, _) => found.push(format!("snapshot `{name}` is missing")),
            (Some((_, id)), Some(known)) if id != known => {
                found.push(format!("snapshot `{name}` has the id {id} instead of {known}"));
            }
            _ => {}
        }
    }
    let new = unknown(kept, listed);
    let unseen = kept.iter().filter(|snapshot| snapshot.name.is_none()).count();
    if new.len() != unseen || new.iter().any(|(name, _)| !name.starts_with(BEFORE)) {
        found.push(format!("{new:?} are listed, {unseen} of rollbacks are not known yet"));
    }
    found
}

/// Takes up ids, and the names that rollbacks made up, in the order they were made.
pub fn learn(kept: &mut [Kept], listed: &[Listed]) {
    let new = unknown(kept, listed);
    let unseen = kept.iter_mut().filter(|snapshot| snapshot.name.is_none());
    for (snapshot, (name, _)) in unseen.zip(&new) {
        snapshot.name = Some(name.clone());
    }
    for snapshot in kept.iter_mut().filter(|snapshot| snapshot.id.is_none()) {
        let of_name = |(name, _): &&Listed| Some(name) == snapshot.name.as_ref();
        snapshot.id = listed.iter().find(of_name).map(|(_, id)| id.clone());
    }
}

/// How the snapshots on the disk, in the volume's folder `volume`, differ from
/// `kept`, whose ids are known.
pub fn traces(kept: &[Kept], name: &str, volume: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let folder = volume.join("snapshots");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let there: BTreeSet<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let expected: BTreeSet<String> = kept.iter().filter_map(|kept| kept.id.clone()).collect();
    for id in there.difference(&expected) {
        found.push(format!("snapshot {id} of `{name}` was left"));
    }
    for snapshot in kept {
        let Some(id) = &snapshot.id else { continue };
        let name = format!("{name}@{}", snapshot.name.as_deref().unwrap_or("?"));
        found.extend(snapshot.content.differences(&name, &folder.join(id).join("data")));
        for entry in fs::read_dir(folder.join(id)).into_iter().flatten().flatten() {
            let entry = entry.file_name().to_string_lossy().into_owned();
            if !matches!(entry.as_str(), "data" | "snapshot.json" | "origins") {
                found.push(format!("`{entry}` was left in `{name}`"));
            }
        }
    }
    found
}

fn unknown(kept: &[Kept], listed: &[Listed]) -> Vec<Listed> {
    let known = |name: &String| kept.iter().any(|kept| kept.name.as_ref() == Some(name));
    listed.iter().filter(|(name, _)| !known(name)).cloned().collect()
}
