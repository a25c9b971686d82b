//! A span of time as the configuration writes it: `24h`, `30m`, `0s`, `7d`.

use std::time::Duration;

use berth_api::{Error, Result};

/// Longer than anyone keeps a trash, and short enough that adding it to a date
/// always gives a date.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// A whole number and one unit: `s`, `m`, `h`, `d` or `w`.
pub(super) fn parse(text: &str) -> Result<Duration> {
    let wrong = || {
        Error::invalid(format!("`{}` is not a duration", text.escape_debug()))
            .with_hint("write a whole number and a unit: 0s, 30m, 24h, 7d")
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(wrong()),
    };
    let duration = number.checked_mul(unit).map(Duration::from_secs);
    duration.filter(|duration| *duration <= LONGEST).ok_or_else(|| {
        Error::invalid(format!("duration `{}` is longer than 100 years", text.escape_debug()))
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in
            [("0s", 0), ("30m", 1800), ("24h", 86400), ("7d", 604_800), ("2w", 1_209_600)]
        {
            assert_eq!(parse(text).expect(text).as_secs(), seconds, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "24",
            "h",
            "-1h",
            "1.5h",
            "1 h",
            "1h30m",
            "1y",
            "9999999999999999999999h",
            "999999w",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
