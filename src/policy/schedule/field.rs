//! One field of a cron text: which numbers it stands for.

use berth_api::{Error, Result};

/// What a field may say.
pub(super) struct Kind {
    name: &'static str,
    first: u8,
    last: u8,
    /// Names of numbers, from the number `named_from` on.
    names: &'static [&'static str],
    named_from: u8,
    /// The number that is 0 under another name.
    zero: Option<u8>,
    /// `L` is the last day of a month.
    has_last: bool,
}

pub(super) const MINUTE: Kind = Kind::numbers("minute", 0, 59);
pub(super) const HOUR: Kind = Kind::numbers("hour", 0, 23);
pub(super) const DAY: Kind = Kind { has_last: true, ..Kind::numbers("day", 1, 31) };
pub(super) const MONTH: Kind = Kind {
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    named_from: 1,
    ..Kind::numbers("month", 1, 12)
};
pub(super) const WEEKDAY: Kind = Kind {
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    zero: Some(7),
    ..Kind::numbers("weekday", 0, 7)
};

/// A set of numbers.
#[derive(Clone, Copy)]
pub(super) struct Field {
    bits: u64,
    full: u64,
    open: bool,
    last: bool,
}

impl Kind {
    const fn numbers(name: &'static str, first: u8, last: u8) -> Self {
        Self { name, first, last, names: &[], named_from: 0, zero: None, has_last: false }
    }

    /// Reads the text of a field.
    ///
    /// # Errors
    /// `Invalid`, naming field and part.
    pub(super) fn parse(&self, text: &str) -> Result<Field> {
        let full = span(self.first, self.end());
        let mut field = Field { bits: 0, full, open: text.starts_with('*'), last: false };
        for part in text.split(',') {
            if self.has_last && part == "L" {
                field.last = true;
            } else {
                field.bits |= self.part(part)?;
            }
        }
        if let Some(zero) = self.zero
            && field.bits & (1 << zero) != 0
        {
            field.bits = (field.bits | 1) & !(1 << zero);
        }
        Ok(field)
    }

    fn part(&self, part: &str) -> Result<u64> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (from, to) = if range == "*" {
            (self.first, self.end())
        } else if let Some((from, to)) = range.split_once('-') {
            let (from, mut to) = (self.number(from, part)?, self.number(to, part)?);
            // A week that ends with Sunday, by name or number.
            if let Some(zero) = self.zero
                && to == 0
                && from > 0
            {
                to = zero;
            }
            if from > to {
                return Err(self
                    .wrong(part, "begins after its end")
                    .with_hint(format!("write it as two: {}", self.two(from, to))));
            }
            (from, to)
        } else {
            let number = self.number(range, part)?;
            if step.is_some() {
                return Err(self
                    .wrong(part, "is a step without a range")
                    .with_hint(format!("write `{number}-{}/n` or `*/n`", self.last)));
            }
            (number, number)
        };
        let Some(step) = step else { return Ok(span(from, to)) };
        let step = match step.parse::<u8>() {
            Ok(number) if is_number(step) && (1..=self.last).contains(&number) => number,
            _ => {
                return Err(self
                    .wrong(part, &format!("has a step that is not between 1 and {}", self.last)));
            }
        };
        Ok((from..=to).step_by(step.into()).fold(0, |bits, number| bits | 1 << number))
    }

    fn number(&self, text: &str, part: &str) -> Result<u8> {
        let named = self.names.iter().zip(self.named_from..);
        let named = named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        if let Some((_, number)) = named {
            return Ok(number);
        }
        if text.is_empty() {
            return Err(self.wrong(part, "lacks a number"));
        }
        if !is_number(text) {
            return Err(self.wrong(part, "is no number").with_hint(self.form()));
        }
        let number = text.parse().ok().filter(|number| (self.first..=self.last).contains(number));
        number.ok_or_else(|| {
            self.wrong(part, &format!("is not between {} and {}", self.first, self.last))
        })
    }

    /// The last number that is not another name of 0.
    fn end(&self) -> u8 {
        self.zero.map_or(self.last, |zero| zero - 1)
    }

    fn wrong(&self, part: &str, why: &str) -> Error {
        let shown: String = part.chars().take(20).collect();
        Error::invalid(format!("{} `{}` {why}", self.name, shown.escape_debug()))
    }

    fn form(&self) -> String {
        let numbers = format!("{} to {}", self.first, self.last);
        match (self.names, self.has_last) {
            ([first, .., last], _) => format!("write {numbers}, {first} to {last}, or `*`"),
            (_, true) => format!("write {numbers}, `L` for the last of a month, or `*`"),
            _ => format!("write {numbers}, or `*`"),
        }
    }

    fn two(&self, from: u8, to: u8) -> String {
        format!("`{from}-{},{}-{to}`", self.end(), self.first)
    }
}

impl Field {
    /// Its numbers, in order.
    pub(super) fn values(self) -> impl Iterator<Item = i8> {
        (0..i8::try_from(u64::BITS).expect("64 fits")).filter(move |number| self.has(*number))
    }

    pub(super) fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits >> number & 1 == 1)
    }

    /// Whether it has the last day of a month, whichever that is.
    pub(super) fn has_last(self) -> bool {
        self.last
    }

    /// Whether it begins with `*`.
    pub(super) fn is_open(self) -> bool {
        self.open
    }

    /// Whether it has every number.
    pub(super) fn is_full(self) -> bool {
        self.bits == self.full
    }
}

/// The bits of `from` to `to`, both included; `to` is below 64.
fn span(from: u8, to: u8) -> u64 {
    (from..=to).fold(0, |bits, number| bits | 1 << number)
}

/// Digits only: `+5` parses as a number, too.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
