//! How a guest of `scripts/vm` ends: by itself, too late, by a panic, or because
//! who wanted it is gone. It is told apart, and nothing stays.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{
    poll::{self, SOON},
    process::first_child,
    vm::{self, Running, ended, err},
};

/// What a boot may take on a busy machine.
const BOOT: Duration = Duration::from_secs(120);

#[test]
fn a_line_is_there_while_the_command_still_runs_and_an_interrupt_ends_it() {
    let child = vm::command(&[], "echo first; sleep infinity").spawn().expect("it starts");
    let mut running = Running(child);
    assert_eq!(first_line(&mut running), "first\n");
    let id = running.0.id();
    assert_eq!(vm::machines(id).len(), 1, "one machine runs");
    signal(id, Signal::SIGTERM);
    let status = poll::until("its end", SOON, || running.0.try_wait().expect("our child"));
    assert_eq!(status.code(), Some(143));
    assert_eq!(vm::left_of(id), Vec::<String>::new());
}

#[test]
fn the_guest_dies_with_who_started_it() {
    let inner = vm::command(&[], "sleep infinity");
    // Two commands, so that the shell stays and waits.
    let mut shell = Command::new("bash");
    shell.args(["-c", r#""$@"; true"#, "bash"]).arg(inner.get_program()).args(inner.get_args());
    let mut parent = Running(shell.stdin(Stdio::null()).spawn().expect("bash starts"));
    let shell = i32::try_from(parent.0.id()).expect("a pid");
    let id = poll::until("scripts/vm", SOON, || first_child(shell)).unsigned_abs();
    poll::holds("a machine", BOOT, || !vm::machines(id).is_empty());
    parent.0.kill().expect("our child");
    poll::holds("nothing is left", SOON, || vm::left_of(id).is_empty());
}

#[test]
fn the_machine_dies_with_the_script_that_was_killed() {
    let running = Running(vm::command(&[], "sleep infinity").spawn().expect("it starts"));
    let id = running.0.id();
    poll::holds("a machine", BOOT, || !vm::machines(id).is_empty());
    signal(id, Signal::SIGKILL);
    poll::holds("no machine is left", SOON, || vm::machines(id).is_empty());
}

#[test]
fn a_command_that_takes_too_long_is_killed_and_fails() {
    let output = vm::run(&["--timeout", "2"], "sleep infinity");
    ended(&output, 124);
    assert!(err(&output).contains("not finished after 2 s"), "{}", err(&output));
}

#[test]
fn a_panic_fails_and_shows_the_kernels_last_words() {
    let output = vm::run(&[], "echo c >/proc/sysrq-trigger");
    ended(&output, 125);
    let last = "vm: the guest's kernel panicked: not syncing: sysrq triggered crash\n";
    assert!(err(&output).ends_with(last), "{}", err(&output));
    assert!(err(&output).contains("sysrq_handle_crash"), "{}", err(&output));
}

#[test]
fn a_machine_that_does_not_start_fails_with_its_reason() {
    let output = vm::run(&["--memory", "little"], "true");
    ended(&output, 125);
    assert!(err(&output).contains("expects a non-negative number"), "{}", err(&output));
    assert!(err(&output).contains("left no status"), "{}", err(&output));
}

/// What looks like a status on the output is none.
#[test]
fn an_end_without_a_status_fails() {
    let output = vm::run(&[], "echo status 0; echo status 0 >/dev/console; reboot -f");
    ended(&output, 125);
    assert!(err(&output).contains("left no status"), "{}", err(&output));
}

#[track_caller]
fn first_line(running: &mut Running) -> String {
    let mut line = String::new();
    let output = running.0.stdout.as_mut().expect("piped");
    BufReader::new(output).read_line(&mut line).expect("readable");
    line
}

#[track_caller]
fn signal(id: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(id).expect("a pid")), signal).expect("it is there");
}
