//! Removal of many files, beside `rm -rf`, and what else is served meanwhile.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    content,
    figures::{Samples, Table, ms},
    load::Client,
    loopfs::Kind,
    site::Site,
};

const FILES: u64 = 100_000;
const SIZE: usize = 1024;
/// Rounds of each kind; of those beside which something is served more, until there
/// are enough calls to speak of the slowest hundredth.
const ROUNDS: usize = 3;
const MOST: usize = 8;
const CALLS: usize = 300;
/// Volumes that are mounted in turn while others are removed.
const MOUNTED: usize = 50;

/// Both figures on a file system of `kind`.
pub(crate) fn measure(stage: &Path, kind: Kind, table: &mut Table) {
    let title =
        format!("{}, removal of 100,000 files", if kind == Kind::Xfs { "XFS" } else { "ext4" });
    let site = Site::new(stage, "removal", kind, 8 << 10);
    let mut answers = Vec::new();
    let (own, rm) = quiet(&site, &mut answers);
    let beside = beside(&site, &mut answers);
    let answers = Samples::new(answers);
    table.row(&format!("{title}: Remove answers, p50"), &ms(answers.p50()), "");
    table.row(&format!("{title}: Remove answers, worst"), &ms(answers.percentile(100)), "< 20 ms");
    table.row(&format!("{title}: trash empty after"), &ms(own.p50()), "");
    table.row(&format!("{title}: rm -rf"), &ms(rm.p50()), "");
    let ratio = own.p50().as_secs_f64() / rm.p50().as_secs_f64();
    table.row(&format!("{title}: trash over rm -rf"), &format!("{ratio:.2}"), "at most 1.3");
    beside.report(&title, table);
}

/// Removals and `rm -rf` in turn, with nobody else around.
fn quiet(site: &Site, answers: &mut Vec<Duration>) -> (Samples, Samples) {
    let mut client = site.client();
    let plain = site.beside("plain");
    let (mut own, mut rm) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let id = prepare(site, &format!("quiet{round}"));
        fs::create_dir(&plain).expect("a fresh directory");
        content::many(&plain, FILES, SIZE);
        for turn in 0..2 {
            site.sync();
            let begin = Instant::now();
            if (round + turn) % 2 == 0 {
                remove(&mut client, &format!("quiet{round}"));
                answers.push(begin.elapsed());
                site.until_gone(&id);
                own.push(begin.elapsed());
            } else {
                let status = Command::new("rm").arg("-rf").arg(&plain).status();
                rm.push(begin.elapsed());
                assert!(status.expect("rm is there").success(), "rm of {}", plain.display());
            }
        }
    }
    (Samples::new(own), Samples::new(rm))
}

/// What was served beside removals: each call by the same client in turn, so that
/// none of them is beside another.
#[derive(Default)]
struct Beside {
    get: Vec<Duration>,
    mount: Vec<Duration>,
    write: Vec<Duration>,
}

impl Beside {
    fn report(self, title: &str, table: &mut Table) {
        let count = self.mount.len();
        let (get, mount) = (Samples::new(self.get), Samples::new(self.mount));
        let write = Samples::new(self.write);
        let title = format!("{title}, beside it");
        table.row(&format!("{title}: Get, p99 of {count}"), &ms(get.p99()), "< 5 ms");
        table.row(&format!("{title}: Mount, p50"), &ms(mount.p50()), "");
        table.row(&format!("{title}: Mount, p99"), &ms(mount.p99()), "");
        table.row(&format!("{title}: write and fdatasync, p50"), &ms(write.p50()), "");
        table.row(&format!("{title}: write and fdatasync, p99"), &ms(write.p99()), "");
        let ratio = mount.p99().as_secs_f64() / write.p99().as_secs_f64();
        table.row(&format!("{title}: Mount over write"), &format!("{ratio:.2}"), "at most 3");
    }
}

fn beside(site: &Site, answers: &mut Vec<Duration>) -> Beside {
    let mut client = site.client();
    for n in 0..MOUNTED {
        client.create(&format!("m{n}"), &json!({})).done();
    }
    let mut probe = File::create(site.beside("probe")).expect("a fresh file");
    let mut beside = Beside::default();
    for round in 0..MOST {
        if round >= ROUNDS && beside.mount.len() >= CALLS {
            break;
        }
        let name = format!("busy{round}");
        let id = prepare(site, &name);
        site.sync();
        let begin = Instant::now();
        remove(&mut client, &name);
        answers.push(begin.elapsed());
        let gone = std::thread::scope(|scope| {
            let gone = scope.spawn(|| site.until_gone(&id));
            for n in 0.. {
                if gone.is_finished() {
                    break;
                }
                let volume = format!("m{}", n % MOUNTED);
                beside.get.push(timed(|| drop(client.get("m0").done())));
                beside.mount.push(timed(|| drop(client.mount(&volume, "c").done())));
                client.unmount(&volume, "c").done();
                beside.write.push(timed(|| {
                    probe.write_all(&[1; 4096]).expect("there is space");
                    probe.sync_data().expect("our own file");
                }));
            }
            gone.join()
        });
        gone.expect("no panic");
    }
    beside
}

/// A volume with many files.
fn prepare(site: &Site, name: &str) -> String {
    let id = site.volume(name);
    content::many(&site.daemon.data(&id), FILES, SIZE);
    id
}

/// For good, and at once.
fn remove(client: &mut Client, name: &str) {
    client.control("DELETE", &format!("/v1/volumes/{name}?now=true"), None).done();
}

fn timed(call: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    call();
    begin.elapsed()
}
