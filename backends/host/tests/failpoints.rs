//! Before every durable step stands a failpoint: read from the sources.
//!
//! A *step* is a call that syncs, renames, links, mounts, unlinks, makes a
//! directory, or commits. Each must have a `failpoint::hit` of its own before it,
//! in the same function, with no other step between.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Expr, ExprCall, ExprMethodCall, ImplItemFn, ItemFn, ItemMod, Lit,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// Functions that are a step, by the last word of their path.
const STEPS: [&str; 31] = [
    "fsetxattr",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_file_range",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "hard_link",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "remove_file",
    "remove_dir",
    "remove_dir_all",
    "mkdirat",
    "create_dir",
    "create_dir_all",
    "mount",
    "umount",
    "umount2",
    "syscall",
    "mknodat",
    "copy_file_range",
    "write_all_at",
    "ftruncate",
    "futimens",
    "utimensat",
];

/// … by the last two words, where one word says too little.
const QUALIFIED: [(&str, &str); 15] = [
    ("call", "create"),
    ("call", "destroy"),
    ("call", "snapshot"),
    ("call", "set_flags"),
    ("call", "clone"),
    ("call", "set_attributes"),
    ("call", "set_limit"),
    ("call", "get_free"),
    ("call", "configure"),
    ("call", "set_descriptor"),
    ("call", "clear"),
    ("call", "set_status"),
    ("call", "set_capacity"),
    ("call", "set_direct"),
    ("call", "set_block_size"),
];

/// Methods that are a step.
const METHODS: [&str; 4] = ["commit", "spawn", "sync_all", "sync_data"];

/// System calls without a wrapper that change nothing on disk or in the mount
/// table; and those by which [`QUALIFIED`] functions do.
const HARMLESS: [&str; 4] = ["SYS_gettid", "SYS_ioprio_set", "SYS_quotactl", "SYS_quotactl_fd"];

/// Where the rule holds, from this crate. The stores may not be there yet.
const SOURCES: [&str; 6] = [
    "src",
    "../tree/src",
    "../vfs/src",
    "../../src/database",
    "../../src/catalog",
    "../../src/journal",
];

/// What one function does, in the order of its source.
enum Event {
    Hit,
    Step { call: String, line: usize },
}

#[derive(Default)]
struct Reader {
    file: PathBuf,
    /// The functions that are being read, one within the other.
    functions: Vec<(String, Vec<Event>)>,
    steps: usize,
    naked: Vec<String>,
    /// Where each failpoint is.
    names: BTreeMap<String, Vec<String>>,
}

impl Reader {
    fn enter(&mut self, name: String) {
        self.functions.push((name, Vec::new()));
    }

    fn leave(&mut self) {
        let (name, events) = self.functions.pop().expect("entered before");
        let mut armed = false;
        for event in events {
            match event {
                Event::Hit => armed = true,
                Event::Step { call, line } => {
                    self.steps += 1;
                    if !armed {
                        let file = self.file.display();
                        self.naked.push(format!("{file}:{line}: `{call}` in `{name}`"));
                    }
                    armed = false;
                }
            }
        }
    }

    fn note(&mut self, event: Event) {
        if let Some((_, events)) = self.functions.last_mut() {
            events.push(event);
        }
    }

    fn call(&mut self, node: &ExprCall) {
        let Expr::Path(path) = node.func.as_ref() else { return };
        let words: Vec<_> =
            path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let last = words.last().expect("a path has a segment").as_str();
        let before = words.len().checked_sub(2).map_or("", |index| words[index].as_str());
        let line = node.span().start().line;
        if (before, last) == ("failpoint", "hit") {
            let name = match node.args.first() {
                Some(Expr::Lit(literal)) => match &literal.lit {
                    Lit::Str(name) => name.value(),
                    _ => panic!("{}:{line}: a failpoint's name is text", self.file.display()),
                },
                _ => panic!("{}:{line}: a failpoint's name is a literal", self.file.display()),
            };
            let place = format!("{}:{line}", self.file.display());
            self.names.entry(name).or_default().push(place);
            self.note(Event::Hit);
        } else if last == "syscall" && node.args.first().is_some_and(is_harmless) {
            // Nothing to fail at.
        } else if STEPS.contains(&last) || QUALIFIED.contains(&(before, last)) {
            self.note(Event::Step { call: words.join("::"), line });
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, node: &'ast ItemMod) {
        if !is_test(&node.attrs) {
            visit::visit_item_mod(self, node);
        }
    }

    fn visit_item_fn(&mut self, node: &'ast ItemFn) {
        self.enter(node.sig.ident.to_string());
        visit::visit_item_fn(self, node);
        self.leave();
    }

    fn visit_impl_item_fn(&mut self, node: &'ast ImplItemFn) {
        self.enter(node.sig.ident.to_string());
        visit::visit_impl_item_fn(self, node);
        self.leave();
    }

    fn visit_expr_call(&mut self, node: &'ast ExprCall) {
        // Arguments run before the call.
        visit::visit_expr_call(self, node);
        self.call(node);
    }

    fn visit_expr_method_call(&mut self, node: &'ast ExprMethodCall) {
        visit::visit_expr_method_call(self, node);
        let name = node.method.to_string();
        if METHODS.contains(&name.as_str()) && node.args.is_empty() {
            self.note(Event::Step { call: name, line: node.span().start().line });
        }
    }
}

fn is_harmless(call: &Expr) -> bool {
    let Expr::Path(path) = call else { return false };
    let last = path.path.segments.last().expect("a path has a segment").ident.to_string();
    HARMLESS.contains(&last.as_str())
}

/// `#[cfg(test)]`: what only tests do needs no failpoint.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

/// All Rust files below `folder`, none if it is not there.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            // The failpoints' own module, and files of unit tests.
            && !path.ends_with("failpoint.rs")
            && !path.ends_with("tests.rs")
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn read(reader: &mut Reader, file: &Path, text: &str) {
    file.clone_into(&mut reader.file);
    let parsed =
        syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    reader.visit_file(&parsed);
}

#[test]
fn before_every_durable_step_stands_a_failpoint() {
    let mut reader = Reader::default();
    for folder in SOURCES {
        for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            read(&mut reader, &file, &fs::read_to_string(&file).expect("readable"));
        }
    }
    assert!(reader.steps >= 15, "found {} steps: this test has gone blind", reader.steps);
    assert!(reader.naked.is_empty(), "without a failpoint:\n{}", reader.naked.join("\n"));
    // A name is one place: what is traced can be found, and hit alone.
    let twice: Vec<_> = reader.names.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "one name at several places: {twice:#?}");
}

#[test]
fn the_rule_can_be_broken() {
    let broken = [
        "fn f() { fsync(a); }",
        "fn f() { failpoint::hit(\"a\")?; fsync(a)?; nix::unistd::fsync(b)?; }",
        "fn f() { fsync(a)?; failpoint::hit(\"a\")?; }",
        "impl A { fn f(&self) { self.tx.commit()?; } }",
        "fn f() { failpoint::hit(\"a\")?; fn g() { fs::rename(a, b); } }",
        "fn f() { let g = || unlinkat(a, b); }",
    ];
    for text in broken {
        let mut reader = Reader::default();
        read(&mut reader, Path::new("broken.rs"), text);
        assert_eq!(reader.naked.len(), 1, "{text}");
    }
    let kept = [
        "fn f() { failpoint::hit(\"a\")?; fsync(a)?; failpoint::hit(\"b\")?; fsync(b)?; }",
        "fn f() { failpoint::hit(\"a\").and_then(|()| rename(a, b)) }",
        "#[cfg(test)] mod tests { fn f() { fs::rename(a, b); } }",
        "fn f() { file.rename(a, b); writer.commit(step); }",
    ];
    for text in kept {
        let mut reader = Reader::default();
        read(&mut reader, Path::new("kept.rs"), text);
        assert!(reader.naked.is_empty(), "{text}");
    }
}
