use std::{
    thread,
    time::{Duration, Instant},
};

use super::*;

fn file(stage: &Path) -> File {
    let file = File::options().read(true).write(true).create_new(true).open(stage.join("a"));
    let file = file.expect("made");
    file.set_len(1 << 20).expect("sparse");
    file
}

/// Who looks at all devices just now keeps this one for a moment.
fn frees_itself(file: &File) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while LoopDevice::find(file).expect("readable").is_some() {
        assert!(Instant::now() < deadline, "the device stays");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_device_is_found_by_its_file_grows_with_it_and_frees_itself() {
    let stage = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    let file = file(stage.path());
    assert!(LoopDevice::find(&file).expect("readable").is_none());
    let device = LoopDevice::attach(&file, 4096).expect("attached: run as root");
    assert_eq!(device.size().expect("readable"), 1 << 20);
    let other = stage.path().join("b");
    fs::hard_link(stage.path().join("a"), &other).expect("linked");
    let other = File::open(other).expect("readable");
    let found = LoopDevice::find(&other).expect("readable").expect("by any name");
    assert_eq!(found.number().expect("readable"), device.number().expect("readable"));
    file.set_len(2 << 20).expect("sparse");
    device.refresh_size().expect("refreshed");
    assert_eq!(found.size().expect("readable"), 2 << 20);
    drop((device, found));
    frees_itself(&file);
}

#[test]
fn read_only_devices_of_others_are_in_nobodys_way() {
    let stage = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    let file = file(stage.path());
    let mut losetup = std::process::Command::new("losetup");
    let made = losetup.args(["--find", "--show", "--read-only"]).arg(stage.path().join("a"));
    let made = made.output().expect("losetup of util-linux");
    assert!(made.status.success(), "{made:?}");
    let device = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let found = LoopDevice::find(&file).map(|found| found.map(|found| found.path));
    let gone = std::process::Command::new("losetup").args(["--detach", &device]).status();
    assert!(gone.expect("losetup").success());
    assert_eq!(found.expect("readable").expect("there"), Path::new(&device));
}

#[test]
fn old_kernels_get_the_same_device() {
    let stage = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
    let file = file(stage.path());
    let control = OpenOptions::new().read(true).write(true).open(CONTROL).expect("root");
    let device = (0..TRIES).find_map(|_| {
        #[expect(unsafe_code, reason = "an ioctl without an argument")]
        let number = unsafe { call::get_free(control.as_raw_fd()) }.expect("a free device");
        let (path, mut options) = (format!("/dev/loop{number}"), OpenOptions::new());
        let device = LoopDevice::open(Path::new(&path), options.read(true).write(true));
        let device = device.expect("opened");
        match device.set_up(file.as_raw_fd(), 4096) {
            Err(Errno::EBUSY) => None,
            done => Some(done.map(|()| device).expect("set up")),
        }
    });
    let device = device.expect("a device that nobody else takes");
    let status = device.status().expect("readable");
    assert_ne!(status.flags & AUTOCLEAR, 0);
    drop(device);
    frees_itself(&file);
}
