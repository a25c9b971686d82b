//! How far a job is, while somebody waits for it: a moving line on a terminal,
//! a plain line at each change otherwise. On stderr.

use std::time::Duration;

use berth_api::Bytes;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Output, duration, plain};
use crate::view::JobView;

/// What one waiting person sees.
#[derive(Debug)]
pub(in crate::cli) struct Progress {
    bar: Option<ProgressBar>,
    /// What was said last, so that it is not said again.
    said: String,
    /// What was shown of the job's note.
    noted: String,
}

impl Progress {
    pub(in crate::cli) fn new(output: &Output) -> Self {
        let bar = output.animated().then(|| {
            let bar = ProgressBar::new_spinner();
            let style = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]");
            bar.set_style(style.expect("a template known at build time"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar, said: String::new(), noted: String::new() }
    }

    /// How often it is worth asking.
    pub(in crate::cli) fn interval(&self) -> Duration {
        if self.bar.is_some() { Duration::from_secs(1) } else { Duration::from_secs(5) }
    }

    /// Shows the job as it is now.
    pub(in crate::cli) fn show(&mut self, output: &Output, job: &JobView) {
        if let Some(note) = job.note.as_ref().filter(|note| **note != self.noted) {
            let more = note.strip_prefix(&self.noted).unwrap_or(note);
            for line in more.lines().filter(|line| !line.is_empty()).map(plain) {
                match &self.bar {
                    Some(bar) => bar.suspend(|| output.note(&line)),
                    None => output.note(&line),
                }
            }
            self.noted.clone_from(note);
        }
        let text = line(job);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if text != self.said => {
                output.note(&text);
                self.said = text;
            }
            None => {}
        }
    }

    /// Clears the line for what comes after.
    pub(in crate::cli) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `rebuild fast: running, 3 files, 10 MiB of 1 GiB, 5 MiB/s, 3 minutes left`
fn line(job: &JobView) -> String {
    let object = job.volume.as_deref().or(job.pool.as_deref()).or(job.repository.as_deref());
    let mut text = match object {
        Some(object) => format!("{} {object}: {}", job.kind, job.state.as_str()),
        None => format!("{}: {}", job.kind, job.state.as_str()),
    };
    for part in parts(job) {
        text.push_str(", ");
        text.push_str(&part);
    }
    if let Some(waiting) = &job.waiting {
        text.push_str(", waiting: ");
        text.push_str(waiting);
    }
    plain(&text)
}

/// What is known of the progress, each as one phrase.
pub(in crate::cli) fn parts(job: &JobView) -> Vec<String> {
    let progress = &job.progress;
    let mut parts = Vec::new();
    match progress.files_done {
        0 => {}
        1 => parts.push("1 file".to_owned()),
        files => parts.push(format!("{files} files")),
    }
    match (progress.bytes_done, progress.bytes_total) {
        (0, 0) => {}
        (done, 0) => parts.push(Bytes(done).to_string()),
        (done, total) => parts.push(format!("{} of {}", Bytes(done), Bytes(total))),
    }
    if !job.state.is_final() {
        if progress.rate > 0 {
            parts.push(format!("{}/s", Bytes(progress.rate)));
        }
        parts.extend(progress.eta.map(|eta| format!("{} left", duration(eta))));
    }
    parts
}
