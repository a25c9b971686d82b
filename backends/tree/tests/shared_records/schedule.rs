//! Every interleaving of the steps of a few actors, one after the other.
//!
//! Each actor runs on a thread of its own and stops at each of its points; the
//! schedule lets exactly one go on. A run is repeated with the last choice
//! changed that has an alternative left, until none has. Where a step takes long, a
//! sample is drawn instead.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use berth_host::failpoint;

use crate::place::Place;

/// What one host does in one run.
pub(crate) type Act = Box<dyn FnOnce() + Send>;

/// Where an actor stops, by its number and the failpoint.
pub(crate) type IsPoint = fn(usize, &str) -> bool;

/// One run: what the actors do, and what must be true after it.
pub(crate) struct Run {
    pub(crate) actors: Vec<Act>,
    pub(crate) check: Box<dyn FnOnce()>,
}

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// This actor dies at one of its points, whichever: from then on it does
    /// nothing more.
    pub(crate) dies: Option<usize>,
}

/// What an actor is told at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Go,
    Die,
}

/// What an actor says.
enum Word {
    Stopped(usize),
    Ended,
}

/// Who decides which of so many goes on at the step of this number.
type Choose<'a> = &'a mut dyn FnMut(usize, usize) -> usize;

/// How many runs were made.
#[derive(Debug)]
pub(crate) struct Runs {
    count: u64,
    drawn: bool,
}

impl Runs {
    /// Panics if there are not more schedules than `least`: then the actors pass other
    /// points than this test thinks.
    #[track_caller]
    pub(crate) fn exceed(&self, least: u64) {
        let enough = self.drawn || self.count > least;
        assert!(enough, "{} interleavings: this test has gone blind", self.count);
    }
}

/// Makes a run for each schedule there is, or for as many as the place wants.
pub(crate) fn every(trouble: Trouble, is_point: IsPoint, mut make: impl FnMut() -> Run) -> Runs {
    if let Some(sample) = Place::SAMPLE.filter(|_| !is_long()) {
        // The same ones each time: what failed can be looked at.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..sample {
            let run = make();
            perform(run.actors, trouble, is_point, &mut |_, possible| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                usize::try_from(state >> 33).expect("31 bits") % possible
            });
            (run.check)();
        }
        return Runs { count: sample, drawn: true };
    }
    let mut choices: Vec<usize> = Vec::new();
    let mut count = 0;
    loop {
        let run = make();
        let mut alternatives = Vec::new();
        perform(run.actors, trouble, is_point, &mut |step, possible| {
            alternatives.push(possible);
            if step == choices.len() {
                choices.push(0);
            }
            choices[step]
        });
        (run.check)();
        count += 1;
        loop {
            let Some(last) = choices.pop() else { return Runs { count, drawn: false } };
            if last + 1 < alternatives[choices.len()] {
                choices.push(last + 1);
                break;
            }
        }
    }
}

fn is_long() -> bool {
    std::env::var("BERTH_LONG").is_ok_and(|long| long != "0")
}

/// One run.
fn perform(actors: Vec<Act>, trouble: Trouble, is_point: IsPoint, choose: Choose<'_>) {
    let (words, heard) = channel();
    let (orders, threads): (Vec<_>, Vec<_>) = actors
        .into_iter()
        .enumerate()
        .map(|(number, act)| start(number, act, words.clone(), is_point))
        .unzip();
    drop(words);
    let mut stopped = vec![false; threads.len()];
    let (mut running, mut alive) = (threads.len(), threads.len());
    let mut died = false;
    let mut step = 0;
    loop {
        while running > 0 {
            match heard.recv().expect("an actor lives") {
                Word::Stopped(number) => stopped[number] = true,
                Word::Ended => alive -= 1,
            }
            running -= 1;
        }
        if alive == 0 {
            break;
        }
        let ready = || (0..stopped.len()).filter(|number| stopped[*number]);
        let mut possible: Vec<_> = ready().map(|number| (number, Order::Go)).collect();
        if !died {
            let dying = ready().filter(|number| trouble.dies == Some(*number));
            possible.extend(dying.map(|number| (number, Order::Die)));
        }
        let (number, order) = possible[choose(step, possible.len())];
        step += 1;
        died |= order == Order::Die;
        stopped[number] = false;
        running = 1;
        orders[number].send(order).expect("it waits");
    }
    for thread in threads {
        thread.join().expect("no actor panics");
    }
}

fn start(
    number: usize,
    act: Act,
    words: Sender<Word>,
    is_point: IsPoint,
) -> (Sender<Order>, thread::JoinHandle<()>) {
    let (order, orders) = channel();
    let thread = thread::spawn(move || {
        let ended = Ended(words.clone());
        let mut dead = false;
        let mut stop = stopper(number, words, orders);
        stop();
        failpoint::watch(move |name| {
            if !dead && is_point(number, name) {
                dead = stop() == Order::Die;
            }
            if dead { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        });
        act();
        drop(ended);
    });
    (order, thread)
}

fn stopper(number: usize, words: Sender<Word>, orders: Receiver<Order>) -> impl FnMut() -> Order {
    move || {
        words.send(Word::Stopped(number)).expect("somebody listens");
        orders.recv().expect("somebody orders")
    }
}

struct Ended(Sender<Word>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.send(Word::Ended);
    }
}

/// Runs `act` again and again, and lets it die at its first failpoint, its second
/// and so on, until it comes through. How often it died.
pub(crate) fn dying_at_each_step(mut act: impl FnMut(u64) -> Act) -> u64 {
    for deaths in 0.. {
        let act = act(deaths);
        let thread = thread::spawn(move || {
            let passed = std::rc::Rc::new(std::cell::Cell::new(0));
            let counter = passed.clone();
            failpoint::watch(move |_| {
                counter.set(counter.get() + 1);
                if counter.get() > deaths { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
            });
            act();
            passed.get() > deaths
        });
        if !thread.join().expect("no panic") {
            return deaths;
        }
    }
    unreachable!("there is no end of numbers")
}

/// The answer to the link of this thread is lost: it fails with `errno` though it
/// was made. Only the first.
pub(crate) fn losing_the_answer(errno: i32, is_point: impl Fn(&'static str) + 'static) {
    let mut lost = false;
    failpoint::watch(move |name| {
        is_point(name);
        if name == "beneath.linked" && !lost {
            lost = true;
            return Err(io::Error::from_raw_os_error(errno));
        }
        Ok(())
    });
}
