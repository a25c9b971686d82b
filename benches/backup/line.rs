//! The image over S3, through a line on which each byte takes 50 ms: a round trip of 100.

use std::{fs, path::Path, time::Duration};

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
    let mut taken: [[Vec<Taken>; 2]; 3] = Default::default();
    for _ in 0..ROUNDS {
        for ((_, place), log) in places.iter().zip(&mut taken) {
            own::call(&["init", place]);
            log[0].push(own::call(&["image", place, image, &block, "1", "-"]));
            let target = stage.join("restored");
            fs::create_dir_all(&target).expect("a fresh directory");
            log[1].push(own::call(&["restore-image", place, target.to_str().expect("UTF-8")]));
            fs::remove_dir_all(&target).expect("removed");
        }
        fs::remove_dir_all(&place).expect("removed");
        fs::remove_dir_all(server.bucket()).expect("removed");
        fs::create_dir(server.bucket()).expect("made");
    }
    for (verb, number) in [("backup", 0), ("restore", 1)] {
        let rate = |log: &[Vec<Taken>; 2]| {
            let mut times: Vec<_> = log[number].iter().map(|one| one.wall).collect();
            times.sort_unstable();
            ratio(IMAGE, MIB) / times[times.len() / 2].as_secs_f64()
        };
        let disk = rate(&taken[0]);
        for ((name, _), log) in places.iter().zip(&taken) {
            let one = rate(log);
            let memory = log[number].iter().map(|one| one.memory).max().unwrap_or(0) / MIB;
            let text =
                format!("{one:.0} MiB/s, {:.2} of the disk's, {memory} MiB memory", one / disk);
            let target = if name.ends_with("away") { "at least 0.7" } else { "" };
            table.row(&format!("2 GiB image, {verb} {name}"), &text, target);
        }
    }
}
