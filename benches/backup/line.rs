//! The image over S3, through a line on which each byte takes 50 ms: a round trip of 100.
//!
//! Server and line work on the same processors as Berth. So that nobody takes their work
//! for Berth's time, each row says how long each of the three computed, and a row of its
//! own how fast packs come over the line to somebody who does nothing with them.

use std::{fs, path::Path, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

use crate::{
    ROUNDS,
    figures::Table,
    material::{self, BLOCK, IMAGE, MIB},
    own, ratio,
    run::Taken,
    support::{Line, S3Server},
};

/// One way.
const DELAY: Duration = Duration::from_millis(50);
/// What is measured at each place.
const VERBS: [&str; 3] = ["backup", "restore", "reading of packs"];

/// One run, and what others computed meanwhile.
#[derive(Debug)]
struct Run {
    taken: Taken,
    server: Duration,
    line: Duration,
}

impl Run {
    /// How long it took, without the opening of the repository, which a daemon does once.
    fn opened(&self) -> f64 {
        let opening: f64 =
            self.taken.output.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
        self.taken.wall.as_secs_f64() - opening
    }
}

/// Backs up and restores on the disk, over S3 beside it, and over the line.
pub(crate) fn measure(stage: &Path, table: &mut Table) {
    let image = stage.join("image");
    material::image(&image);
    let server = S3Server::start();
    let line = Line::to(server.address(), DELAY);
    let place = stage.join("repository");
    let places = [
        ("on the disk", place.to_str().expect("UTF-8").to_owned()),
        ("over S3", format!("{}near+{}", own::S3, server.endpoint())),
        ("over S3, 100 ms away", format!("{}far+{}", own::S3, line.endpoint())),
    ];
    let image = image.to_str().expect("UTF-8");
    let block = BLOCK.to_string();
    let call = |arguments: &[&str]| {
        let before = (server.computed(), own_time());
        let taken = own::call(arguments);
        let server = server.computed().saturating_sub(before.0);
        Run { taken, server, line: own_time().saturating_sub(before.1) }
    };
    let mut runs: [[Vec<Run>; VERBS.len()]; 3] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, place), log) in places.iter().zip(&mut runs) {
            own::call(&["init", place]);
            log[0].push(call(&["image", place, image, &block, "1", "-"]));
            let target = stage.join("restored");
            fs::create_dir_all(&target).expect("a fresh directory");
            log[1].push(call(&["restore-image", place, target.to_str().expect("UTF-8")]));
            fs::remove_dir_all(&target).expect("removed");
            log[2].push(call(&["read-packs", place]));
        }
        fs::remove_dir_all(&place).expect("removed");
        fs::remove_dir_all(server.bucket()).expect("removed");
        fs::create_dir(server.bucket()).expect("made");
    }
    for (number, verb) in VERBS.iter().enumerate() {
        let disk = median(&runs[0][number], Run::opened);
        for ((name, _), log) in places.iter().zip(&runs) {
            let log = &log[number];
            let rate = |time: f64| ratio(IMAGE, MIB) / time;
            let time = median(log, Run::opened);
            let whole = median(log, |run| run.taken.wall.as_secs_f64());
            let memory = log.iter().map(|run| run.taken.memory).max().unwrap_or(0) / MIB;
            let text = format!(
                "{:4.0} MiB/s, {:.2} of the disk's ({:.0} with opening); {:.1} s CPU, server \
                 {:.1}, line {:.1}, of {:.1} s; {memory} MiB memory",
                rate(time),
                disk / time,
                rate(whole),
                median(log, |run| run.taken.cpu.as_secs_f64()),
                median(log, |run| run.server.as_secs_f64()),
                median(log, |run| run.line.as_secs_f64()),
                whole,
            );
            let target = match verb {
                &"reading of packs" => "",
                _ if name.ends_with("away") => "at least 0.7; under 200 MiB",
                _ => "under 200 MiB",
            };
            table.row(&format!("2 GiB image, {verb} {name}"), &text, target);
        }
    }
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut all: Vec<f64> = runs.iter().map(of).collect();
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() / 2]
}

/// How long this process computed, which is to say the line.
fn own_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the kernel counts");
    let time = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(u64::try_from(time).expect("positive"))
}
