//! The backup of a block volume, restored into a directory.

use std::{collections::BTreeMap, fs, path::Path, process::Command, sync::Arc, time::Duration};

use berth_api::{Consistency, Op, VolumeId};
use berth_host::blocks::Blocks;
use berth_vault::{
    Id, Password, Repository,
    backup::{
        Description, Label, Mode, Request,
        description::Content,
        image::{self, ImageSource},
    },
    repository::Who,
    store::directory::Directory,
};
use jiff::Timestamp;

use crate::{House, support::pause::Pause};

const BLOCK: u32 = 256 << 10;

/// Makes an ext4 image with this folder in it.
fn make(image: &Path, content: &Path) {
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-d"]).arg(content).arg(image).arg("64M");
    assert!(command.status().expect("mkfs.ext4 runs").success());
}

/// Backs the image up into the house's repository, as a backend of block devices would.
fn back_up(house: &House, image: &Path, published: Option<&str>) -> Id {
    let op = Op::new(Duration::from_secs(60));
    let password = Password::from_file(&house.stage.join("key")).expect("the key");
    let who = Who { hostname: "elsewhere".to_owned(), username: "root".to_owned() };
    let store = Arc::new(Directory::new(house.offsite()));
    let repository = Repository::open(&op, "offsite", store, &password, who).expect("opens");
    let blocks = Blocks::open(image).expect("the image");
    let (name, id) = ("disk".parse().expect("a name"), VolumeId::random());
    let text = |text: &str| text.to_owned();
    let request = Request {
        label: Label {
            volume: name,
            volume_id: id,
            snapshot: None,
            snapshot_id: None,
            consistency: Consistency::Atomic,
            mode: Mode::Full,
            bytes_read: 0,
            host: text("elsewhere"),
            host_id: text("elsewhere"),
            pool: text("fast"),
            policy: None,
        },
        description: Description {
            version: 1,
            name: "disk".parse().expect("a name"),
            id,
            created: Timestamp::now(),
            given: BTreeMap::default(),
            options: BTreeMap::default(),
            pool: text("fast"),
            backend: text("thin"),
            host: text("elsewhere"),
            host_id: text("elsewhere"),
            content: Content::Image {
                size: blocks.size(),
                block_size: BLOCK,
                filesystem: Some(text("ext4")),
                published: published.map(text),
            },
        },
        created: Timestamp::now(),
    };
    let source = ImageSource {
        reader: &blocks,
        size: blocks.size(),
        block_size: BLOCK,
        allocated: blocks.allocated().expect("told"),
        changed: None,
    };
    image::back_up(&repository, &op, &request, &source).expect("backed up").id
}

#[test]
fn an_image_comes_back_as_a_directory() {
    let house = House::new();
    let content = house.stage.folder("content");
    fs::create_dir(content.join("data")).expect("made");
    fs::write(content.join("data/letter"), "carried by hand").expect("written");
    std::os::unix::fs::symlink("letter", content.join("data/link")).expect("made");
    let image = house.stage.join("image");
    make(&image, &content);
    let id = back_up(&house, &image, Some("data")).to_string();
    house.ok(&["backup", "restore", &id, "v"]);
    let data = house.daemon.data("v");
    assert_eq!(fs::read_to_string(data.join("link")).expect("restored"), "carried by hand");
    let names: Vec<_> = fs::read_dir(&data).expect("there").flatten().collect();
    assert_eq!(names.len(), 2, "what is published, and no image: {names:?}");
}

#[test]
fn an_image_without_a_file_system_is_refused_and_leaves_nothing() {
    let house = House::new();
    let image = house.stage.join("image");
    fs::write(&image, vec![7; 1 << 20]).expect("written");
    let id = back_up(&house, &image, None).to_string();
    let said = house.refused(&["backup", "restore", &id, "v"], 5);
    assert!(said.contains("neither ext4 nor XFS"), "{said}");
    house.refused(&["volume", "inspect", "v"], 3);
}

#[test]
fn an_image_lies_outside_of_what_is_counted_meanwhile() {
    let mut house = House::new();
    let content = house.stage.folder("content");
    fs::write(content.join("letter"), "carried by hand").expect("written");
    let image = house.stage.join("image");
    make(&image, &content);
    let id = back_up(&house, &image, None).to_string();
    let pause = Pause::at(house.stage.path(), "restore.image.sync", 1);
    let rule = pause.rule().to_owned();
    house.restart(&rule);
    let from = format!("from=backup:{id}");
    house.ok(&["volume", "create", "v", "-o", &from]);
    pause.reached();
    let open = fs::read_dir(format!("/proc/{}/fd", house.daemon.pid())).expect("the daemon");
    let open = open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let nameless = |path: &std::path::PathBuf| {
        path.to_string_lossy().ends_with(" (deleted)")
            && path.to_string_lossy().contains("/volumes/")
    };
    let found: Vec<_> = open.filter(nameless).collect();
    let [image] = &found[..] else { panic!("one file without a name: {found:?}") };
    // The limit counts what is in `data`, and nothing beside it.
    assert!(!image.to_string_lossy().contains("/data/"), "{}", image.display());
    pause.release();
    house.becomes("v", "ready");
    let letter = fs::read_to_string(house.daemon.data("v").join("letter"));
    assert_eq!(letter.expect("restored"), "carried by hand");
}
