//! Scripts: the steps of a story.

use super::{
    model::Slot,
    operation::{By, Op},
};

/// One step, given what was acknowledged so far.
pub type Step = Box<dyn Fn(&Slot) -> Op>;
/// The steps of one story.
pub type Script = fn() -> Vec<Step>;

/// The names that scripts use.
pub const NAMES: [&str; 5] = ["a", "b", "c", "d", ANONYMOUS];
/// A name as Docker makes them up.
const ANONYMOUS: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

type Name = &'static str;
type Options = &'static [(&'static str, &'static str)];

/// Every verb of volumes: on fresh, written, mounted, removed and anonymous ones.
pub fn volumes() -> Vec<Step> {
    vec![
        create("a", &[("mode", "0750"), ("uid", "5")]),
        mount("a", By::Docker, "x"),
        write("a", "one"),
        mount("a", By::Command, "cli"),
        mount("a", By::Docker, "x"),
        remove("a"),
        unmount("a", By::Command, "cli"),
        set("a", "mode", "1777"),
        unmount("a", By::Docker, "x"),
        unmount("a", By::Docker, "x"),
        create("b", &[]),
        set("b", "uid", "7"),
        remove("a"),
        undelete("a"),
        set("a", "on-remove", "retain"),
        remove("a"),
        create("a", &[]),
        undelete("a"),
        purge("a"),
        purge("a"),
        create("a", &[]),
        mount("b", By::Docker, "y"),
        write("b", "two"),
        unmount("b", By::Docker, "y"),
        purge("b"),
        create(ANONYMOUS, &[]),
        mount(ANONYMOUS, By::Docker, "z"),
        write(ANONYMOUS, "three"),
        unmount(ANONYMOUS, By::Docker, "z"),
        remove(ANONYMOUS),
        remove("a"),
        create("c", &[]),
        mount("c", By::Docker, "z"),
        write("c", "four"),
    ]
}

/// Every verb of snapshots: of volumes mounted and not, cloned, rolled back, removed
/// with their volume and brought back with it.
pub fn snapshots() -> Vec<Step> {
    vec![
        create("a", &[("mode", "0750"), ("uid", "5")]),
        mount("a", By::Docker, "x"),
        write("a", "one"),
        snapshot("a", "first"),
        snapshot("a", "first"),
        write("a", "two"),
        rollback("a", "first"),
        unmount("a", By::Docker, "x"),
        set("a", "mode", "0700"),
        rollback("a", "first"),
        clone("b", "a@first", &[("uid", "7")]),
        snapshot("a", "second"),
        remove_snapshot("a", "first"),
        clone("c", "a@first", &[]),
        clone("c", "b", &[]),
        remove("a"),
        undelete("a"),
        rollback("a", "second"),
        snapshot("c", "last"),
        remove("a"),
        purge("a"),
        purge("c"),
    ]
}

/// The shortest of snapshots: one of each verb.
pub fn one_of_each() -> Vec<Step> {
    vec![
        create("a", &[]),
        mount("a", By::Docker, "x"),
        write("a", "one"),
        snapshot("a", "first"),
        write("a", "two"),
        unmount("a", By::Docker, "x"),
        rollback("a", "first"),
        clone("b", "a@first", &[]),
        remove_snapshot("a", "first"),
    ]
}

fn create(name: Name, options: Options) -> Step {
    Box::new(move |_| Op::Create { name: name.to_owned(), options: owned(options) })
}

fn mount(name: Name, by: By, id: Name) -> Step {
    Box::new(move |_| Op::Mount { name: name.to_owned(), by, id: id.to_owned() })
}

fn unmount(name: Name, by: By, id: Name) -> Step {
    Box::new(move |_| Op::Unmount { name: name.to_owned(), by, id: id.to_owned() })
}

fn write(name: Name, file: Name) -> Step {
    Box::new(move |_| Op::Write {
        name: name.to_owned(),
        file: file.to_owned(),
        text: format!("{file} of {name}\n").repeat(100),
    })
}

fn set(name: Name, key: Name, value: Name) -> Step {
    Box::new(move |_| Op::Set {
        name: name.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
    })
}

fn remove(name: Name) -> Step {
    Box::new(move |_| Op::Remove { name: name.to_owned() })
}

fn purge(name: Name) -> Step {
    Box::new(move |_| Op::Purge { name: name.to_owned() })
}

fn undelete(name: Name) -> Step {
    Box::new(move |slot| Op::Undelete {
        id: slot.latest_removed(name).expect("it was removed").to_owned(),
    })
}

fn snapshot(name: Name, snapshot: Name) -> Step {
    Box::new(move |_| Op::Snapshot { name: name.to_owned(), snapshot: snapshot.to_owned() })
}

fn remove_snapshot(name: Name, snapshot: Name) -> Step {
    Box::new(move |_| Op::RemoveSnapshot { name: name.to_owned(), snapshot: snapshot.to_owned() })
}

fn clone(name: Name, from: Name, options: Options) -> Step {
    Box::new(move |_| Op::Clone {
        name: name.to_owned(),
        from: from.to_owned(),
        options: owned(options),
    })
}

fn rollback(name: Name, snapshot: Name) -> Step {
    Box::new(move |_| Op::Rollback { name: name.to_owned(), snapshot: snapshot.to_owned() })
}

fn owned(options: Options) -> std::collections::BTreeMap<String, String> {
    options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
