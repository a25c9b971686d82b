//! Damaged and hostile repositories: an error that names it, or a right result, and
//! never a panic.

mod stock;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use berth_api::{Error, ErrorKind};
use berth_host::beneath::Dir;
use berth_vault::{
    Backup, Id, Repository, check,
    format::{BlobKind, Node, NodeKind, Tree},
    restore, verify,
};

use self::stock::{
    Stock, backups,
    forge::{Forge, named},
    odd, op, run,
};

/// Restores into a new directory, which is left for a look.
fn restore(stock: &Stock, repository: &Repository, backup: &Backup) -> Result<PathBuf, Error> {
    let to = stock.path("to");
    run(Command::new("rm").arg("-rf").arg(&to));
    fs::create_dir(&to).expect("makes");
    restore::tree(repository, &op(), backup, &Dir::open(&to).expect("opens")).map(|_| to)
}

fn refused(stock: &Stock, repository: &Repository, backup: &Backup) -> String {
    let error = restore(stock, repository, backup).expect_err("it is damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
    assert!(error.chain().contains(&backup.id.short()), "the backup: {}", error.chain());
    error.chain()
}

/// A backup of a file `folder/victim` and others, and the pack with its content.
fn victim() -> (Stock, Repository, Backup, PathBuf, u64) {
    let stock = Stock::new();
    let source = stock.path("source");
    fs::create_dir_all(source.join("data/folder")).expect("makes");
    fs::write(source.join("data/folder/victim"), odd::noise(700_000, 9)).expect("writes");
    fs::write(source.join("data/other"), b"other").expect("writes");
    stock.back_up(&source, "db");
    let repository = stock.open();
    let backup = backups(&repository).remove(0);
    let index = repository.index(&op()).expect("an index");
    let (_, place) =
        index.places(BlobKind::Data).max_by_key(|(_, place)| place.length).expect("it has content");
    let pack = pack_path(&stock, &place.pack);
    (stock, repository, backup, pack, u64::from(place.offset))
}

fn pack_path(stock: &Stock, id: &Id) -> PathBuf {
    let id = id.to_string();
    stock.path("repo/data").join(&id[..2]).join(id)
}

fn change(path: &Path, with: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("reads");
    with(&mut bytes);
    run(Command::new("chmod").arg("u+w").arg(path));
    fs::write(path, bytes).expect("writes");
}

#[test]
fn a_flipped_bit_is_refused_and_named() {
    let (stock, repository, backup, pack, offset) = victim();
    let at = usize::try_from(offset).expect("small") + 1000;
    change(&pack, |bytes| bytes[at] ^= 4);
    let text = refused(&stock, &repository, &backup);
    let name = pack.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(text.contains("`folder/victim`") && text.contains(&name[..12]), "{text}");

    let verdict = verify::verify(&repository, &op(), &[backup.id]).expect("it can be read");
    let [verified] = &verdict.backups[..] else { panic!("one backup") };
    let paths: Vec<_> = verified.damaged.iter().map(|damage| damage.what.as_str()).collect();
    assert_eq!(paths, ["data/folder/victim"]);

    let quick = check::check(&repository, &op(), false).expect("it can be read");
    assert!(quick.errors.is_empty(), "lengths are right: {quick:?}");
    let full = check::check(&repository, &op(), true).expect("it can be read");
    assert!(full.errors[0].what.contains(&name[..12]), "{full:?}");
    let [hurt] = &full.hurt[..] else { panic!("one backup: {full:?}") };
    assert_eq!((hurt.id, hurt.volume.as_ref()), (backup.id, Some(&backup.label.volume)));
}

#[test]
fn a_missing_and_a_cut_pack_are_refused_and_named() {
    for missing in [true, false] {
        let (stock, repository, backup, pack, _) = victim();
        if missing {
            fs::remove_file(&pack).expect("removes");
        } else {
            change(&pack, |bytes| bytes.truncate(100_000));
        }
        let text = refused(&stock, &repository, &backup);
        let name = pack.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(text.contains(&name[..12]), "{text}");
        let verdict = verify::verify(&repository, &op(), &[backup.id]).expect("it can be read");
        assert!(!verdict.is_whole(), "{verdict:?}");
        let quick = check::check(&repository, &op(), false).expect("it can be read");
        assert!(quick.errors[0].what.contains(&name[..12]), "{quick:?}");
        assert_eq!(quick.hurt.len(), 1, "{quick:?}");
    }
}

#[test]
fn a_blob_that_is_not_what_its_id_says_is_refused() {
    let stock = Stock::empty();
    let repository = stock.init();
    let mut forge = Forge::new(&repository);
    let claimed = b"what was backed up";
    forge.add_as(BlobKind::Data, Id::of(claimed), b"what somebody else");
    let mut file = forge.file("file", b"x");
    file.size = claimed.len() as u64;
    file.content = Some(vec![Id::of(claimed)]);
    let backup = forge.finish(vec![file]);
    assert!(refused(&stock, &repository, &backup).contains("`file`"));
    let verdict = verify::verify(&repository, &op(), &[backup.id]).expect("it can be read");
    assert!(!verdict.is_whole());
    assert!(!check::check(&repository, &op(), true).expect("it can be read").is_whole());
}

#[test]
fn what_another_pack_has_whole_is_taken_from_there() {
    let (stock, repository, _, pack, _) = victim();
    let mut forge = Forge::new(&repository);
    let content = odd::noise(700_000, 9);
    let file = forge.file("copy", &content);
    let backup = forge.finish(vec![file]);
    fs::remove_file(&pack).expect("removes");
    let to = restore(&stock, &repository, &backup).expect("there is a copy");
    assert!(fs::read(to.join("copy")).expect("reads") == content);
}

/// A forged backup with what `make` puts into `data` is refused everywhere, and what
/// is outside is not touched.
#[track_caller]
fn hostile(make: impl FnOnce(&mut Forge<'_>) -> Vec<Node>) -> String {
    let stock = Stock::empty();
    let repository = stock.init();
    let mut forge = Forge::new(&repository);
    let nodes = make(&mut forge);
    let backup = forge.finish(nodes);
    fs::create_dir(stock.path("to")).expect("makes");
    let outside = || {
        let mut find = Command::new("find");
        find.arg(stock.path("")).args(["-not", "-path", "*/to*", "-printf", "%p %m %s\n"]);
        run(&mut find)
    };
    let before = outside();
    let text = refused(&stock, &repository, &backup);
    assert_eq!(outside(), before, "{text}");
    assert!(!Path::new("/tmp/inner").exists(), "{text}");
    let verdict = verify::verify(&repository, &op(), &[backup.id]).expect("it can be read");
    assert!(!verdict.is_whole(), "{text}");
    let findings = check::check(&repository, &op(), true).expect("it can be read");
    assert_eq!(findings.hurt.len(), 1, "{findings:?}");
    text
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in
        ["..", ".", "", "a/b", "../x", "/etc", "\\x2e\\x2e", "a\\x00b", "\\", &"n".repeat(300)]
    {
        hostile(|forge| {
            let mut file = forge.file("x", b"content");
            name.clone_into(&mut file.name);
            vec![file]
        });
        hostile(|forge| {
            let inner = forge.file("inner", b"content");
            let mut folder = forge.directory("x", vec![inner]);
            name.clone_into(&mut folder.name);
            vec![folder]
        });
    }
}

#[test]
fn one_name_means_one_thing() {
    let text = hostile(|forge| vec![forge.file("same", b"one"), forge.file("same", b"two")]);
    assert!(text.contains("two things are called `same`"), "{text}");
    for target in ["/tmp", "..", "other"] {
        hostile(|forge| {
            let inner = forge.file("inner", b"content");
            let mut link = named("same", NodeKind::Symlink);
            link.set_target(target.as_bytes());
            vec![link, forge.directory("other", vec![]), forge.directory("same", vec![inner])]
        });
    }
    // Different as the format writes them, the same when they are read.
    hostile(|forge| vec![forge.file("a", b"one"), forge.file("\\x61", b"two")]);
}

#[test]
fn sizes_that_lie_are_refused() {
    for size in [0, 6, 8, u64::MAX] {
        let text = hostile(|forge| {
            let mut file = forge.file("file", b"content");
            file.size = size;
            vec![file]
        });
        assert!(text.contains("`file`"), "{text}");
    }
    hostile(|forge| {
        let mut file = forge.file("file", b"content");
        file.content = None;
        vec![file]
    });
}

#[test]
fn what_no_object_can_be_is_refused() {
    let unknown = Id::of(b"in no index");
    hostile(|forge| {
        let mut file = forge.file("file", b"content");
        file.content = Some(vec![unknown]);
        vec![file]
    });
    for subtree in [None, Some(unknown)] {
        hostile(|_| {
            let mut folder = named("folder", NodeKind::Dir);
            folder.subtree = subtree;
            vec![folder]
        });
    }
    hostile(|forge| {
        let mut folder = named("folder", NodeKind::Dir);
        folder.subtree = Some(forge.add(BlobKind::Tree, b"no tree"));
        vec![folder]
    });
    hostile(|_| vec![named("link to nothing", NodeKind::Symlink)]);
    hostile(|forge| {
        let mut file = forge.file("nobody's", b"content");
        file.uid = u32::MAX;
        vec![file]
    });
}

#[test]
fn a_bomb_of_trees_is_checked_once_each() {
    let stock = Stock::empty();
    let repository = stock.init();
    let mut forge = Forge::new(&repository);
    let mut tree = Tree::default();
    // 10^20 directories in 20 trees.
    for _ in 0..20 {
        let id = forge.add(BlobKind::Tree, &tree.to_bytes());
        let node = |number| {
            let mut node = named(&format!("d{number}"), NodeKind::Dir);
            node.subtree = Some(id);
            node
        };
        tree.nodes = (0..10).map(node).collect();
    }
    let backup = forge.finish(tree.nodes);
    let verdict = verify::verify(&repository, &op(), &[backup.id]).expect("it can be read");
    assert!(verdict.blobs < 30, "{verdict:?}");
    assert!(check::check(&repository, &op(), true).expect("it can be read").is_whole());
}

/// A way to damage a file.
#[derive(Clone, Copy, Debug)]
enum Way {
    Flip(usize),
    Cut(usize),
    Longer,
    Zeros,
    Remove,
}

impl Way {
    fn all(length: usize) -> Vec<Self> {
        let bytes = [0, 1, 17, length / 3, length / 2, length.saturating_sub(40), length - 1];
        let lengths = [0, 1, 31, length / 2, length - 1];
        let flips = bytes.into_iter().map(|at| Self::Flip(at.min(length - 1)));
        flips
            .chain(lengths.into_iter().map(Self::Cut))
            .chain([Self::Longer, Self::Zeros, Self::Remove])
            .collect()
    }

    fn damage(self, path: &Path) {
        match self {
            Self::Flip(at) => change(path, |bytes| bytes[at] ^= 1),
            Self::Cut(length) => change(path, |bytes| bytes.truncate(length)),
            Self::Longer => change(path, |bytes| bytes.push(0)),
            Self::Zeros => change(path, |bytes| bytes.fill(0)),
            Self::Remove => fs::remove_file(path).expect("removes"),
        }
    }
}

#[test]
fn whatever_file_is_damaged_nothing_wrong_is_restored() {
    let stock = Stock::new();
    let source = stock.path("source");
    fs::create_dir_all(source.join("data/folder/deep")).expect("makes");
    fs::write(source.join("data/folder/deep/one"), odd::noise(50_000, 1)).expect("writes");
    fs::write(source.join("data/two"), b"two two two two two two two two two").expect("writes");
    odd::settle(&source.join("data"));
    let facts = odd::facts(&source.join("data"));
    stock.back_up(&source, "db");
    let repository = stock.open();
    let backup = backups(&repository).remove(0);
    let listing = run(Command::new("find").arg(stock.path("repo")).args(["-type", "f"]));
    let mut tried = 0;
    for path in listing.lines().map(Path::new) {
        // It was read when the repository was opened, and is not looked at again.
        if path.ends_with("config") {
            continue;
        }
        let kept = fs::read(path).expect("reads");
        for way in Way::all(kept.len()) {
            way.damage(path);
            judge(&stock, &repository, &backup, &facts, path, way);
            fs::write(path, &kept).expect("writes");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    assert!(check::check(&repository, &op(), true).expect("it can be read").is_whole());
}

/// Restore, verify and check agree, and what is restored is right.
fn judge(
    stock: &Stock,
    repository: &Repository,
    backup: &Backup,
    facts: &str,
    path: &Path,
    way: Way,
) {
    let kind = path.strip_prefix(stock.path("repo")).expect("in it");
    let what = format!("{}: {way:?}", kind.display());
    // The restore has the snapshot already; the key is in memory.
    let (snapshot, key) = (kind.starts_with("snapshots"), kind.starts_with("keys"));
    let whole = match verify::verify(repository, &op(), &[backup.id]) {
        Ok(verdict) => verdict.is_whole(),
        Err(error) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::NotFound];
            assert!(kinds.contains(&error.kind()), "{what}: {}", error.chain());
            false
        }
    };
    match restore(stock, repository, backup) {
        Ok(to) => {
            assert!(whole || snapshot, "{what}: restored what is not whole");
            assert!(odd::facts(&to) == facts, "{what}: restored something else");
        }
        Err(error) => {
            assert!(!whole, "{what}: not restored what is whole");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {}", error.chain());
        }
    }
    let findings = check::check(repository, &op(), true).expect("damage is no error");
    // A key or a snapshot that is gone is not missed by anything.
    let unseen = matches!(way, Way::Remove) && (key || snapshot);
    assert_eq!(findings.is_whole(), unseen, "{what}: {findings:?}");
}
