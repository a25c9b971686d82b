//! A tree with everything in it that restic 0.14 keeps (no sockets, no attributes of
//! links, no targets that are not UTF-8), and what can be said of a tree.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
    process::Command,
};

use berth_vault::Id;
use nix::{
    sys::stat::{Mode, SFlag, makedev, mknod},
    unistd::mkfifo,
};

use super::run;

/// Makes an odd tree at `top`, which is not there yet.
pub fn make(top: &Path) {
    fs::create_dir_all(top.join("deep/er/and/deeper")).expect("makes");
    let write = |name: &str, content: &[u8]| fs::write(top.join(name), content).expect("writes");
    write("plain", b"hello\n");
    write("empty", b"");
    write("deep/er/twice", b"hello\n");
    write("deep/er/and/deeper/big", &noise(5_000_000, 1));
    write("second big", &noise(3_000_001, 2));
    write("zeros", &vec![0; 3_000_000]);
    write("set-id", b"#!/bin/sh\n");
    write("listed", b"x");
    fs::write(top.join(OsStr::from_bytes(b"not \xff utf-8 \n \" \\")), b"odd").expect("writes");
    fs::create_dir(top.join(OsStr::from_bytes(b"dir \xfe"))).expect("makes");
    fs::create_dir(top.join("nothing in it")).expect("makes");

    let holes = File::create(top.join("holes")).expect("makes");
    holes.write_all_at(b"begin", 0).expect("writes");
    holes.write_all_at(&noise(100_000, 3), 20_000_000).expect("writes");
    holes.set_len(50_000_001).expect("grows");
    File::create(top.join("one hole")).expect("makes").set_len(10_000_000).expect("grows");

    fs::hard_link(top.join("plain"), top.join("deep/other name")).expect("links");
    fs::hard_link(top.join("second big"), top.join("deep/er/third name")).expect("links");
    fs::hard_link(top.join("second big"), top.join("a name before")).expect("links");
    fs::hard_link(top.join("empty"), top.join("deep/empty too")).expect("links");
    symlink("deep/er", top.join("link")).expect("links");
    symlink("/nowhere", top.join("dangling")).expect("links");
    fs::hard_link(top.join("dangling"), top.join("deep/dangling")).expect("links");
    mkfifo(&top.join("pipe"), Mode::from_bits_truncate(0o640)).expect("makes");
    let device = |name: &str, kind, number| {
        mknod(&top.join(name), kind, Mode::from_bits_truncate(0o600), number).expect("makes");
    };
    device("null", SFlag::S_IFCHR, makedev(1, 3));
    device("disk", SFlag::S_IFBLK, makedev(259, 70_000));

    let chown = |name: &str, uid, gid| {
        std::os::unix::fs::lchown(top.join(name), Some(uid), Some(gid)).expect("gives away");
    };
    for (number, name) in
        (1000..).zip(["plain", "link", "pipe", "deep/er", "set-id", "null", "empty"])
    {
        chown(name, number, number + 100);
    }
    let tool = |program: &str, arguments: &[&str]| {
        run(Command::new(program).args(arguments).current_dir(top));
    };
    tool("setfattr", &["-n", "user.colour", "-v", "blue", "plain"]);
    tool("setfattr", &["-n", "user.binary", "-v", "0x00ff00", "deep"]);
    tool("setfacl", &["-m", "u:1234:r,g:77:rw", "listed"]);
    tool("setfacl", &["-m", "d:u:1234:rwx,u:5:x", "deep/er"]);
    tool("setcap", &["cap_net_raw+ep", "second big"]);
    let mode = |name: &str, mode| {
        fs::set_permissions(top.join(name), fs::Permissions::from_mode(mode)).expect("sets");
    };
    mode("set-id", 0o6755);
    mode("nothing in it", 0o1777);
    mode("deep/er/and", 0o2500);
    mode("empty", 0o000);
    mode("", 0o2751);
    chown("", 33, 44);
    let touch = |name: &str, time: &str| tool("touch", &["-h", "-d", time, name]);
    touch("plain", "2001-02-03T04:05:06.123456789Z");
    touch("link", "1969-12-31T23:59:58.5Z");
    touch("pipe", "2038-01-19T03:14:08.000000001Z");
    touch("deep/er", "2010-01-01T00:00:00.999999999Z");
    touch("deep", "2011-01-01T00:00:00Z");
    touch("nothing in it", "1999-12-31T23:59:59.25Z");
    touch(".", "2012-01-01T00:00:00.5Z");
    settle(top);
}

/// Makes times of access later than all else, so that no reader changes them.
pub fn settle(top: &Path) {
    let all = "find . -exec touch -h -a -d 2037-01-02T03:04:05.678901234Z {} +";
    run(Command::new("sh").args(["-c", all]).current_dir(top));
}

/// Everything that can be said of the tree at `top`, a line for each entry.
pub fn facts(top: &Path) -> String {
    let mut lines = Vec::new();
    let mut names = HashMap::new();
    describe(top, top, &mut names, &mut lines);
    let mut command = Command::new("getfattr");
    let attributes =
        run(command.args(["-R", "-h", "-d", "-m", "-", "-e", "hex", "."]).current_dir(top));
    let mut attributes: Vec<_> = attributes.split("\n\n").map(str::to_owned).collect();
    attributes.sort();
    lines.extend(attributes);
    lines.join("\n")
}

fn describe(top: &Path, path: &Path, names: &mut HashMap<u64, String>, lines: &mut Vec<String>) {
    let stat = fs::symlink_metadata(path).expect("a stat");
    let shown = |path: &Path| path.as_os_str().as_bytes().escape_ascii().to_string();
    let name = shown(path.strip_prefix(top).expect("in it"));
    let kind = stat.file_type();
    let mut line = format!(
        "{name} {:o} {}:{} modified {}.{:09} accessed {}.{:09}",
        stat.mode(),
        stat.uid(),
        stat.gid(),
        stat.mtime(),
        stat.mtime_nsec(),
        stat.atime(),
        stat.atime_nsec()
    );
    if !kind.is_dir() {
        let first = names.entry(stat.ino()).or_insert_with(|| name.clone());
        let _ = write!(line, " links {} first {first} size {}", stat.nlink(), stat.size());
    }
    if kind.is_block_device() || kind.is_char_device() {
        let _ = write!(line, " device {}", stat.rdev());
    }
    if kind.is_symlink() {
        let _ = write!(line, " to {}", shown(&fs::read_link(path).expect("a link")));
    }
    if kind.is_file() {
        let _ = write!(line, " content {}", Id::of(&fs::read(path).expect("reads")));
    }
    lines.push(line);
    if kind.is_dir() {
        let mut inside: Vec<_> =
            fs::read_dir(path).expect("reads").map(|entry| entry.expect("an entry")).collect();
        inside.sort_by_key(fs::DirEntry::file_name);
        for entry in inside {
            describe(top, &entry.path(), names, lines);
        }
    }
}

/// [`facts`] without what restic does not keep: it makes every name of a symbolic link a
/// link of its own.
pub fn without_linked_links(facts: &str) -> String {
    let shorten = |line: &str| match line.split_once(" links ") {
        Some((start, end)) if end.contains(" to ") => {
            format!("{start} to {}", end.split_once(" to ").expect("it is in it").1)
        }
        _ => line.to_owned(),
    };
    facts.lines().map(shorten).collect::<Vec<_>>().join("\n")
}

/// Bytes that do not compress.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}
