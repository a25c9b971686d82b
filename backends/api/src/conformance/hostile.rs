//! Handles that nobody made: read from a damaged row, or forged.

use super::{Pool, Sentinel, Stage, op, refused, sidecar};
use crate::{Handle, Options};

/// No handle leads anywhere but to a volume.
pub fn forged_handles_are_refused<S: Stage>() {
    let pool = Pool::<S>::new();
    let sentinel = Sentinel::new();
    let (real, described) = pool.volume("db", &[]);
    let outside = sentinel.path().join("below").to_string_lossy().into_owned();
    let ids = ["", ".", "..", "../../..", "/", "/etc", "volume.json", "a/b", "\0", &outside];
    let forged = ids
        .map(|id| serde_json::json!({ "id": id }))
        .into_iter()
        .chain([
            serde_json::Value::Null,
            serde_json::json!([]),
            serde_json::json!({}),
            serde_json::json!({ "id": 7 }),
            serde_json::json!({ "id": null }),
            serde_json::json!({ "id": ["a"] }),
        ])
        .map(Handle);
    let backend = &pool.backend;
    for handle in forged {
        let why = &handle.0.to_string();
        refused(backend.create(&op(), &handle, &described), why);
        refused(backend.describe(&op(), &handle, &described), why);
        refused(backend.remove(&op(), &handle), why);
        refused(backend.restore(&op(), &handle), why);
        refused(backend.purge(&op(), &handle), why);
        refused(backend.attach(&op(), &handle, &Options::default()), why);
        refused(backend.detach(&op(), &handle), why);
        refused(backend.inspect(&op(), &handle), why);
    }
    sentinel.check();
    assert!(backend.inspect(&op(), &real).is_ok());
    assert_eq!(backend.list(&op()).expect("listed").len(), 1);
}

/// A handle with the description of another volume.
pub fn handles_of_others_are_refused<S: Stage>() {
    let pool = Pool::<S>::new();
    let (handle, _) = pool.volume("db", &[]);
    let other = sidecar("other", &[]);
    refused(pool.backend.create(&op(), &handle, &other), "another's description");
    refused(pool.backend.describe(&op(), &handle, &other), "another's description");
    assert_eq!(pool.backend.list(&op()).expect("listed").len(), 1);
}
