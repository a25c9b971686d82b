//! Berth's vault, as a program of its own for each run, as its rivals are: opening the
//! repository with its password is part of it.

use std::{
    collections::BTreeMap,
    env, fs,
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use berth_api::{Consistency, Extent, Op, Result, SnapshotId, VolumeId};
use berth_host::{beneath::Dir, blocks::Blocks};
use berth_vault::{
    Kind, Password, Repository,
    backup::{
        Backup, Description, Label, Mode, Request,
        description::Content,
        image::{self, ImageSource},
        tree::{self, TreeSource},
    },
    repository::Who,
    restore,
    store::{
        Store,
        directory::Directory,
        s3::{Credentials, S3 as S3Store, S3Settings},
    },
};
use jiff::Timestamp;

use crate::{
    rivals::PASSWORD,
    run::{Taken, run},
    support::{BUCKET, S3Server},
};

/// What a place on S3 begins with, before `PREFIX+ENDPOINT`.
pub(crate) const S3: &str = "s3+";
/// How many packs are read at a time where nothing is done with them.
const READERS: usize = 8;
/// The word by which this program plays Berth.
pub(crate) const WORD: &str = "--own";

/// Runs this program as Berth.
pub(crate) fn call(arguments: &[&str]) -> Taken {
    let own = env::current_exe().expect("this program");
    let mut command = vec![own.to_str().expect("UTF-8").to_owned(), WORD.to_owned()];
    command.extend(arguments.iter().map(ToString::to_string));
    run(&command, &[])
}

/// The other side of [`call`]. Prints what was read, what was added, and the seconds that
/// opening took.
pub(crate) fn play(arguments: &[String]) {
    // As the daemon does.
    berth_host::memory::keep_large_apart();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let begin = Instant::now();
    match words.as_slice() {
        ["init", repository] => {
            Repository::init(&op(), "bench", store(repository), &password(), who()).expect("made");
        }
        [verb, repository, rest @ ..] => {
            let store = store(repository);
            let repository =
                Repository::open(&op(), "bench", store, &password(), who()).expect("opens");
            let opened = begin.elapsed();
            let done = perform(verb, &repository, rest).expect("done");
            #[expect(clippy::print_stdout, reason = "its only output")]
            {
                println!("{} {done}", opened.as_secs_f64());
            }
        }
        _ => unreachable!("called by this program"),
    }
}

fn perform(verb: &str, repository: &Repository, rest: &[&str]) -> Result<String> {
    match (verb, rest) {
        ("tree", [path]) => {
            let data = Dir::open(Path::new(path)).expect("it is there");
            let request = request(Content::Tree, None);
            let volume = request.label.volume_id;
            let source = TreeSource { data: &data, origins: None, live: false, volume };
            Ok(told(&tree::back_up(repository, &op(), &request, &source)?))
        }
        ("image", [path, block, number, list]) => {
            let blocks = Blocks::open(Path::new(path)).expect("it is there");
            let block_size = block.parse().expect("a number");
            let number: u8 = number.parse().expect("a number");
            let size = blocks.size();
            let content = Content::Image { size, block_size, filesystem: None, published: None };
            let request = request(content, Some(snapshot(number)));
            let changed = (*list != "-").then(|| (snapshot(number - 1), extents(list)));
            let allocated = blocks.allocated().expect("the file system says");
            let source = ImageSource { reader: &blocks, size, block_size, allocated, changed };
            Ok(told(&image::back_up(repository, &op(), &request, &source)?))
        }
        ("restore-tree", [target]) => {
            let to = Dir::open(Path::new(target)).expect("it is there");
            restore::tree(repository, &op(), &newest(repository)?, &to)?;
            Ok(String::new())
        }
        ("restore-image", [target]) => {
            let path = Path::new(target).join("image");
            let to = File::options().read(true).write(true).create_new(true).open(path);
            let to = to.expect("a fresh file");
            restore::image(repository, &op(), &newest(repository)?, &to, true)?;
            Ok(String::new())
        }
        ("read-packs", []) => {
            let packs = repository.store().list(&op(), Kind::Pack)?;
            let next = AtomicUsize::new(0);
            let read = || -> Result<()> {
                while let Some(pack) = packs.get(next.fetch_add(1, Relaxed)) {
                    repository.store().read(&op(), Kind::Pack, &pack.id)?;
                }
                Ok(())
            };
            thread::scope(|scope| {
                let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
                readers.into_iter().try_for_each(|reader| reader.join().expect("no panic"))
            })?;
            Ok(String::new())
        }
        _ => unreachable!("called by this program"),
    }
}

fn newest(repository: &Repository) -> Result<Backup> {
    let all = repository.snapshots(&op())?;
    let (id, file) = all.into_iter().next_back().expect("a backup was made");
    Ok(Backup::of(id, file).expect("by Berth"))
}

fn told(backup: &Backup) -> String {
    format!("{} {}", backup.label.bytes_read, backup.bytes_added)
}

fn request(content: Content, snapshot_id: Option<SnapshotId>) -> Request {
    let volume_id: VolumeId = "00112233445566778899aabbccddeeff".parse().expect("an id");
    let name: berth_api::VolumeName = "bench".parse().expect("a name");
    let label = Label {
        volume: name.clone(),
        volume_id,
        snapshot: None,
        snapshot_id,
        consistency: Consistency::Atomic,
        mode: Mode::Full,
        bytes_read: 0,
        host: "bench".to_owned(),
        host_id: "bench".to_owned(),
        pool: "bench".to_owned(),
        policy: None,
    };
    let description = Description {
        version: 1,
        name,
        id: volume_id,
        created: Timestamp::now(),
        given: BTreeMap::default(),
        options: BTreeMap::default(),
        pool: "bench".to_owned(),
        backend: "vfs".to_owned(),
        host: "bench".to_owned(),
        host_id: "bench".to_owned(),
        content,
    };
    Request { label, description, created: Timestamp::now() }
}

/// The snapshot of that number, always the same.
fn snapshot(number: u8) -> SnapshotId {
    format!("{:032x}", u32::from(number) + 1).parse().expect("an id")
}

fn extents(list: &str) -> Vec<Extent> {
    let text = fs::read_to_string(list).expect("it was written");
    let number = |text: &str| text.parse().expect("a number");
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(offset, length)| Extent { offset: number(offset), length: number(length) })
        .collect()
}

fn store(place: &str) -> Arc<dyn Store> {
    let Some((prefix, endpoint)) = place.strip_prefix(S3).and_then(|rest| rest.split_once('+'))
    else {
        return Arc::new(Directory::new(place));
    };
    let [(_, key_id), (_, secret)] = S3Server::key();
    let settings = S3Settings {
        bucket: BUCKET.to_owned(),
        prefix: prefix.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        credentials: Credentials::Given { key_id: key_id.to_owned(), secret: secret.to_owned() },
        ..S3Settings::default()
    };
    Arc::new(S3Store::open(settings).expect("settings that fit"))
}

fn op() -> Op {
    Op::new(Duration::from_secs(3600))
}

fn password() -> Password {
    Password::new(PASSWORD.as_bytes())
}

fn who() -> Who {
    Who { hostname: "bench".to_owned(), username: "root".to_owned() }
}
