//! One client of a crash campaign: chooses operations at random, does them, and
//! keeps its model.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
};

use super::{
    guest::Guest,
    kept,
    load::{Answer, Client},
    model::Slot,
    operation::{By, Op},
    random::Random,
    volume::Volume,
};

/// How many operations a worker remembers for the report of a failure.
const HISTORY: usize = 40;
/// The names of its snapshots.
const SNAPSHOTS: [&str; 2] = ["s1", "s2"];

/// A client with names of its own, and a guest on volumes that all share.
#[derive(Debug)]
pub struct Worker {
    /// What it alone changes.
    pub slot: Slot,
    /// Its references and files on shared volumes.
    pub guests: Vec<Guest>,
    /// The operation whose answer was lost in the last round.
    pub lost: Option<Op>,
    /// The verb of the last operation of its own.
    pub last: &'static str,
    /// It is writing a file right now.
    pub writing: Arc<AtomicBool>,
    number: usize,
    client: Client,
    mounts: PathBuf,
    random: Random,
    serial: u64,
    history: VecDeque<String>,
}

impl Worker {
    /// The worker `number` of a campaign.
    pub fn new(
        number: usize,
        seed: u64,
        shared: &[String],
        client: Client,
        mounts: PathBuf,
    ) -> Self {
        // The last name looks as if Docker had made it up.
        let mut names: Vec<_> = (0..3).map(|n| format!("w{number}-{n}")).collect();
        names.push(format!("{number:064x}"));
        Self {
            slot: Slot::new(names),
            guests: shared.iter().map(|name| Guest::new(name, number)).collect(),
            lost: None,
            last: "",
            writing: Arc::default(),
            number,
            client,
            mounts,
            random: Random::new(seed.wrapping_mul(31).wrapping_add(number as u64)),
            serial: 0,
            history: VecDeque::new(),
        }
    }

    /// Works until the daemon is gone; every acknowledgement is told to `acks`.
    pub fn work(&mut self, acks: &Sender<()>) {
        self.client.reconnect();
        self.lost = None;
        loop {
            let guest = self.random.chance(25).then(|| self.random.below(self.guests.len() as u64));
            let going = match guest {
                Some(index) => self.visit(usize::try_from(index).expect("an index")),
                None => self.own(),
            };
            if !going {
                return;
            }
            // The campaign may have ended meanwhile.
            let _ = acks.send(());
        }
    }

    /// Forgets its connections, as a new daemon requires.
    pub fn reconnect(&mut self) {
        self.client.reconnect();
    }

    /// What it did last, for the report of a failure.
    pub fn report(&self) -> String {
        let history: Vec<_> = self.history.iter().map(String::as_str).collect();
        format!("client {}, latest last:\n  {}", self.number, history.join("\n  "))
    }

    fn visit(&mut self, index: usize) -> bool {
        let epoch = self.slot.epoch;
        self.serial += 1;
        let op = self.guests[index].next(epoch, self.serial, &mut self.random);
        let allowed = self.guests[index].allows(&op);
        match self.perform(&op, allowed) {
            Answer::Done(_) => self.guests[index].apply(&op, epoch),
            Answer::Refused(_) => {}
            Answer::Lost => {
                self.guests[index].lose(&op, epoch);
                self.lost = Some(op);
                return false;
            }
            Answer::Unsent => return false,
        }
        true
    }

    /// Does one random operation on names of its own; false if the daemon is
    /// gone.
    pub fn own(&mut self) -> bool {
        let Some(op) = self.next() else { return self.learn() };
        self.last = op.verb();
        let allowed = self.slot.allows(&op);
        match self.perform(&op, allowed) {
            Answer::Done(_) => self.slot.apply(&op),
            Answer::Refused(_) => {}
            Answer::Lost => {
                self.lost = Some(op);
                return false;
            }
            Answer::Unsent => return false,
        }
        true
    }

    /// Does one operation; its answer must be the one that the model has.
    fn perform(&mut self, op: &Op, allowed: bool) -> Answer {
        self.writing.store(matches!(op, Op::Write { .. }), Ordering::SeqCst);
        let answer = op.perform(&mut self.client, &self.mounts);
        self.writing.store(false, Ordering::SeqCst);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        let shown = match &answer {
            Answer::Done(_) => "done".to_owned(),
            other => format!("{other:?}"),
        };
        self.history.push_back(format!("epoch {}: {op} → {shown}", self.slot.epoch));
        match &answer {
            Answer::Done(_) => assert!(allowed, "{op:?} must be refused; {}", self.report()),
            Answer::Refused(text) => assert!(!allowed, "{op:?}: {text}; {}", self.report()),
            Answer::Lost | Answer::Unsent => {}
        }
        answer
    }

    /// Asks for the ids of volumes that were created since the last start.
    fn learn(&mut self) -> bool {
        for (name, volume) in self.slot.live.iter_mut().filter(|(_, volume)| !volume.is_known()) {
            match self.client.view(name) {
                Answer::Done(view) => volume.id = view["id"].as_str().map(ToOwned::to_owned),
                Answer::Refused(text) => panic!("view of acknowledged `{name}`: {text}"),
                Answer::Lost | Answer::Unsent => return false,
            }
            let Some(views) = self.client.list(&format!("/v1/volumes/{name}/snapshots")) else {
                return false;
            };
            let listed: Vec<_> = views.iter().map(kept::listed).collect();
            kept::learn(&mut volume.snapshots, &listed);
            assert!(volume.is_known(), "snapshots of `{name}`: {listed:?}; {:?}", volume.snapshots);
        }
        true
    }

    /// A random operation that makes sense now; `None` if ids are missing for it.
    fn next(&mut self) -> Option<Op> {
        let random = &mut self.random;
        let name = random.pick(&self.slot.names).clone();
        let anonymous = name.len() == 64;
        let Some(volume) = self.slot.live.get(&name) else {
            let removed: Vec<_> =
                self.slot.trash.iter().filter(|(_, (n, _))| *n == name).map(|(id, _)| id).collect();
            return Some(match (removed.is_empty(), random.below(100)) {
                (false, 0..40) => Op::Undelete { id: (*random.pick(&removed)).clone() },
                (false, 40..60) => Op::Purge { name },
                (true, 0..4) => Op::Mount { name, by: By::Docker, id: "none".to_owned() },
                _ => match origin(&self.slot, random) {
                    Some(from) if !anonymous && random.chance(30) => {
                        Op::Clone { name, from, options: options(random, false) }
                    }
                    _ => Op::Create { name, options: options(random, anonymous) },
                },
            });
        };
        let client = if random.chance(70) { By::Docker } else { By::Command };
        let held: Vec<_> = volume.references.keys().collect();
        if held.is_empty() {
            return Some(match random.below(100) {
                0..40 => mount(name, client, random),
                40..55 => {
                    volume.is_known().then_some(())?;
                    Op::Remove { name }
                }
                55..62 => Op::Purge { name },
                62..82 => snapshot(name, volume, random),
                82..86 => Op::Unmount { name, by: client, id: "unknown".to_owned() },
                86..90 => Op::Create { name, options: BTreeMap::new() },
                _ if anonymous => mount(name, client, random),
                _ => set(name, !volume.content.files.is_empty(), random),
            });
        }
        if volume.bare {
            return Some(mount(name, client, random));
        }
        let (by, id) = (*random.pick(&held)).clone();
        Some(match random.below(100) {
            0..40 if volume.content.files.len() < 4 => {
                self.serial += 1;
                let text = format!("{name} {} {}\n", self.number, self.serial).repeat(20);
                Op::Write { name, file: format!("f{}", self.serial), text }
            }
            40..55 => mount(name, client, random),
            55..62 if !anonymous => set(name, !volume.content.files.is_empty(), random),
            62..70 => {
                volume.is_known().then_some(())?;
                Op::Remove { name }
            }
            70..80 => snapshot(name, volume, random),
            _ => Op::Unmount { name, by, id },
        })
    }
}

fn mount(name: String, by: By, random: &mut Random) -> Op {
    Op::Mount { name, by, id: (*random.pick(&["a", "b"])).to_owned() }
}

/// Something with a snapshot of the volume.
fn snapshot(name: String, volume: &Volume, random: &mut Random) -> Op {
    let taken: Vec<_> = SNAPSHOTS.iter().filter(|s| volume.snapshot(s).is_some()).collect();
    // Those that rollbacks keep go with the volume only.
    let many = volume.snapshots.len() > 4;
    if taken.is_empty() || (taken.len() < SNAPSHOTS.len() && random.chance(40)) {
        let snapshot = (*random.pick(&SNAPSHOTS)).to_owned();
        return Op::Snapshot { name, snapshot };
    }
    let snapshot = (**random.pick(&taken)).to_owned();
    if many || random.chance(65) {
        Op::RemoveSnapshot { name, snapshot }
    } else {
        Op::Rollback { name, snapshot }
    }
}

/// What a clone could be made of.
fn origin(slot: &Slot, random: &mut Random) -> Option<String> {
    let mut origins = Vec::new();
    for (name, volume) in &slot.live {
        origins.push(name.clone());
        let of_user = |snapshot: &&&str| volume.snapshot(snapshot).is_some();
        origins.extend(SNAPSHOTS.iter().filter(of_user).map(|s| format!("{name}@{s}")));
    }
    (!origins.is_empty()).then(|| random.pick(&origins).clone())
}

fn set(name: String, written: bool, random: &mut Random) -> Op {
    let (key, value) = match random.below(3) {
        0 => ("uid", random.below(1000).to_string()),
        // Whether an empty volume is retained is no business of this campaign.
        1 if written => ("on-remove", (*random.pick(&["retain", "delete"])).to_owned()),
        _ => ("mode", (*random.pick(&["0700", "0755", "1777"])).to_owned()),
    };
    Op::Set { name, key: key.to_owned(), value }
}

fn options(random: &mut Random, anonymous: bool) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    if !anonymous && random.chance(30) {
        options.insert("mode".to_owned(), "0750".to_owned());
    }
    if !anonymous && random.chance(30) {
        options.insert("uid".to_owned(), random.below(1000).to_string());
    }
    options
}
