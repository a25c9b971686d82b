//! How long backups and restores of an image take, by the clock and in time of
//! processors: `image REPOSITORY IMAGE OUT`. Changes 1 % of the image for the second.

#![expect(clippy::print_stdout, reason = "what it measured is its output")]

use std::{
    env,
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use berth_api::{Consistency, Extent, Op, Result, SnapshotId, VolumeId};
use berth_host::blocks::Blocks;
use berth_vault::{
    Backup, Password, Repository,
    backup::{
        Description, Label, Mode, Request,
        description::Content,
        image::{ImageSource, back_up},
    },
    repository::Who,
    restore,
    store::directory::Directory,
};
use jiff::Timestamp;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};

/// Every how many blocks of 64 KiB one changes: 1 %.
const EVERY: u64 = 100;
const BLOCK: u64 = 64 << 10;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [place, image, out] = arguments.as_slice() else {
        panic!("REPOSITORY IMAGE OUT");
    };
    let op = Op::new(Duration::from_secs(3600));
    let who = Who { hostname: "bench".to_owned(), username: "root".to_owned() };
    let store = Arc::new(Directory::new(place));
    let repository = Repository::init(&op, "bench", store, &Password::new(b"test"), who)?;
    let id = VolumeId::random();
    let (first, second) = (SnapshotId::random(), SnapshotId::random());
    let size = fs::metadata(image).expect("an image").len();
    timed("first", size, || back(&repository, &op, id, image, first, None));
    let changed = change(image, size);
    let two =
        timed("second", size, || back(&repository, &op, id, image, second, Some((first, changed))));
    println!("{:?} read {} added {}", two.label.mode, two.label.bytes_read, two.bytes_added);
    let file = File::options().read(true).write(true).create_new(true).open(out);
    let file = file.expect("a new file");
    timed("restore", size, || restore::image(&repository, &op, &two, &file, true));
    timed("again", size, || restore::image(&repository, &op, &two, &file, false));
    Ok(())
}

/// Writes other bytes over 1 % of an image.
fn change(image: &str, size: u64) -> Vec<Extent> {
    use std::os::unix::fs::FileExt as _;
    let file = File::options().read(true).write(true).open(Path::new(image)).expect("it opens");
    let mut state = 88_172_645_463_325_252_u64;
    let mut changed = Vec::new();
    for _ in 0..size / BLOCK / EVERY {
        let mut bytes = Vec::new();
        while bytes.len() < 64 << 10 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend(state.to_le_bytes());
            bytes.extend([0; 4]);
        }
        bytes.truncate(64 << 10);
        let offset = state % (size / BLOCK) * BLOCK;
        file.write_all_at(&bytes, offset).expect("written");
        changed.push(Extent { offset, length: BLOCK });
    }
    changed
}

fn back(
    repository: &Repository,
    op: &Op,
    id: VolumeId,
    image: &str,
    snapshot: SnapshotId,
    changed: Option<(SnapshotId, Vec<Extent>)>,
) -> Result<Backup> {
    let blocks = Blocks::open(Path::new(image)).expect("an image");
    let content = Content::Image { size: 0, block_size: 0, filesystem: None, published: None };
    let name: berth_api::VolumeName = "bench".parse()?;
    let host = || "bench".to_owned();
    let request = Request {
        label: Label {
            volume: name.clone(),
            volume_id: id,
            snapshot: None,
            snapshot_id: Some(snapshot),
            consistency: Consistency::Atomic,
            mode: Mode::Full,
            bytes_read: 0,
            host: host(),
            host_id: host(),
            pool: host(),
        },
        description: Description {
            version: 1,
            name,
            id,
            created: Timestamp::now(),
            given: [].into(),
            options: [].into(),
            pool: host(),
            backend: host(),
            host: host(),
            host_id: host(),
            content,
        },
        created: Timestamp::now(),
    };
    let source = ImageSource {
        reader: &blocks,
        size: blocks.size(),
        block_size: 256 << 10,
        allocated: blocks.allocated().expect("extents"),
        changed,
    };
    back_up(repository, op, &request, &source)
}

fn timed<T>(what: &str, size: u64, doing: impl FnOnce() -> Result<T>) -> T {
    let (begin, before) = (Instant::now(), processors());
    let done = doing().expect("it goes well");
    let seconds = begin.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let speed = size as f64 / seconds / f64::from(1 << 20);
    println!("{what}: {seconds:.2} s, {speed:.0} MiB/s, {:.2} s CPU", processors() - before);
    done
}

/// Seconds that this process had of all processors.
fn processors() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_SELF).expect("a number");
    let seconds = |time: TimeVal| {
        Duration::from_secs(time.tv_sec().unsigned_abs())
            + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    (seconds(used.user_time()) + seconds(used.system_time())).as_secs_f64()
}
