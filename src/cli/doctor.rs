//! `berth doctor`

use std::fmt::Write;

use berth_api::Result;

use super::{
    render::plain,
    session::{Session, Status},
};
use crate::view::{Diagnosis, Severity};

pub(super) fn run(session: &mut Session<'_>) -> Result<Status> {
    let diagnosis: Diagnosis = session.client.get("/v1/doctor")?;
    if session.output.json {
        session.output.json(&diagnosis)?;
    } else {
        session.output.data(&text(&diagnosis))?;
    }
    let errors = diagnosis.findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if errors || !diagnosis.healthy { Status::BAD } else { Status::OK })
}

/// A line for each finding, its hint below, and the sum.
fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for finding in &diagnosis.findings {
        let word = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
            Severity::Ok => "ok",
        };
        let _ =
            writeln!(text, "{word:<8} {}: {}", plain(&finding.subject), plain(&finding.message));
        if let Some(hint) = &finding.hint {
            for (index, line) in hint.lines().enumerate() {
                let word = if index == 0 { "hint: " } else { "      " };
                let _ = writeln!(text, "{:<8} {word}{}", "", plain(line));
            }
        }
    }
    let count =
        |severity| diagnosis.findings.iter().filter(|finding| finding.severity == severity).count();
    let sum = [(count(Severity::Error), "error"), (count(Severity::Warning), "warning")]
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
    let _ = writeln!(text, "{}", sum.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Finding;

    #[test]
    fn findings_have_a_line_each_and_their_hint_below() {
        let finding = |severity, hint: Option<&str>| Finding {
            severity,
            subject: "pool `fast`".to_owned(),
            message: "it is there".to_owned(),
            hint: hint.map(ToOwned::to_owned),
        };
        let diagnosis = Diagnosis {
            healthy: false,
            findings: vec![
                finding(Severity::Error, Some("mount it")),
                finding(Severity::Note, Some("add\nthis")),
                finding(Severity::Ok, None),
            ],
        };
        assert_eq!(
            text(&diagnosis),
            "error    pool `fast`: it is there\n         hint: mount it\n\
             note     pool `fast`: it is there\n         hint: add\n               this\n\
             ok       pool `fast`: it is there\n1 error, 0 warnings\n"
        );
    }
}
