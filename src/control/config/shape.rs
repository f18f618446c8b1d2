//! The kinds of value that a key can take: how one is read from TOML, how it is written, and the
//! sentence that says what is accepted. Not here: which key takes which (`keys`).

use std::fmt::Debug;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::duration;

/// A kind of value.
pub trait Shape<T>: Sync {
    /// What would be accepted, as part of a sentence.
    fn accepts(&self) -> String;
    /// # Errors
    /// One or more places inside the value.
    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>>;
    /// As TOML.
    fn write(&self, value: &T) -> String;
}

/// A value, or a part of it, that is not accepted.
#[derive(Debug)]
pub struct Wrong {
    pub span: Range<usize>,
    /// In a list.
    pub index: Option<usize>,
    /// Why, when "not accepted" does not say enough.
    pub why: Option<String>,
    pub accepts: String,
}

impl Wrong {
    pub fn new(value: &Spanned<DeValue<'_>>, accepts: String) -> Vec<Wrong> {
        Wrong::because(value, None, accepts)
    }

    pub fn because(
        value: &Spanned<DeValue<'_>>,
        why: Option<String>,
        accepts: String,
    ) -> Vec<Wrong> {
        vec![Wrong { span: value.span(), index: None, why, accepts }]
    }
}

/// A string as TOML.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// `None` for anything but an integer; `i128` holds every integer that a file can sensibly name.
fn integer(value: &DeValue<'_>) -> Option<i128> {
    let number = value.as_integer()?;
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

// === Numbers, switches, choices ===

/// A whole number.
pub struct Whole {
    pub range: Range<u64>,
    /// What is counted, or empty.
    pub of: &'static str,
}

/// `min..=max` as a [`Whole`].
pub const fn whole(min: u64, max: u64, of: &'static str) -> Whole {
    Whole { range: min..max + 1, of }
}

impl<T: TryFrom<u64> + Copy + Into<u64>> Shape<T> for Whole {
    fn accepts(&self) -> String {
        let Range { start, end } = self.range;
        let of = if self.of.is_empty() { String::new() } else { format!(" ({})", self.of) };
        format!("a whole number from {start} to {}{of}", end - 1)
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>> {
        integer(value.get_ref())
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| self.range.contains(n))
            .and_then(|n| T::try_from(n).ok())
            .ok_or_else(|| Wrong::new(value, Shape::<T>::accepts(self)))
    }

    fn write(&self, value: &T) -> String {
        (*value).into().to_string()
    }
}

/// `true` or `false`.
pub struct Flag;

impl Shape<bool> for Flag {
    fn accepts(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<bool, Vec<Wrong>> {
        value.get_ref().as_bool().ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &bool) -> String {
        value.to_string()
    }
}

/// One of some words.
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: PartialEq + Copy + Sync> Shape<T> for Choice<T> {
    fn accepts(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        }
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>> {
        let word = value.get_ref().as_str();
        let found = self.0.iter().find(|(known, _)| Some(*known) == word);
        found.map(|(_, meant)| *meant).ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &T) -> String {
        let found = self.0.iter().find(|(_, meant)| meant == value);
        quoted(found.map_or("", |(word, _)| word))
    }
}

/// What another shape takes, or `false` for none.
pub struct OrFalse<T: 'static> {
    pub shape: &'static dyn Shape<T>,
    /// What `false` means.
    pub means: &'static str,
}

impl<T: Sync> Shape<Option<T>> for OrFalse<T> {
    fn accepts(&self) -> String {
        format!("{}, or false ({})", self.shape.accepts(), self.means)
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Option<T>, Vec<Wrong>> {
        if value.get_ref().as_bool() == Some(false) {
            return Ok(None);
        }
        self.shape.read(value).map(Some).map_err(|_| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &Option<T>) -> String {
        value.as_ref().map_or_else(|| "false".to_owned(), |value| self.shape.write(value))
    }
}

// === Time and size ===

/// A whole number of seconds.
pub struct Seconds {
    pub min: u64,
    pub max: u64,
}

impl Shape<Duration> for Seconds {
    fn accepts(&self) -> String {
        format!("a whole number of seconds from {} to {}, without a unit", self.min, self.max)
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Duration, Vec<Wrong>> {
        let seconds = integer(value.get_ref()).and_then(|n| u64::try_from(n).ok());
        seconds
            .filter(|n| (self.min..=self.max).contains(n))
            .map(Duration::from_secs)
            .ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &Duration) -> String {
        value.as_secs().to_string()
    }
}

/// A duration with its unit, as text.
pub struct Time {
    pub min: Duration,
    pub max: Duration,
}

/// From `min` to `max` milliseconds.
pub const fn time(min: u64, max: u64) -> Time {
    Time { min: Duration::from_millis(min), max: Duration::from_millis(max) }
}

/// In the largest unit that divides it.
pub fn duration_text(value: Duration) -> String {
    let ms = value.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let fits = units.iter().find(|(_, unit_ms)| ms >= *unit_ms && ms.is_multiple_of(*unit_ms));
    fits.map_or_else(|| format!("{ms}ms"), |(unit, unit_ms)| format!("{}{unit}", ms / unit_ms))
}

impl Shape<Duration> for Time {
    fn accepts(&self) -> String {
        format!(
            "a duration from \"{}\" to \"{}\", with its unit (ms, s, m, h, d)",
            duration_text(self.min),
            duration_text(self.max)
        )
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Duration, Vec<Wrong>> {
        let read = value.get_ref().as_str().and_then(|text| duration(text).ok());
        read.filter(|time| (self.min..=self.max).contains(time)).ok_or_else(|| {
            let why = integer(value.get_ref()).map(|n| format!("{n} has no unit"));
            Wrong::because(value, why, self.accepts())
        })
    }

    fn write(&self, value: &Duration) -> String {
        quoted(&duration_text(*value))
    }
}

/// A number of bytes, or `false` for no limit, which is written as [`Size::UNLIMITED`].
pub struct Size;

impl Size {
    pub const UNLIMITED: u64 = u64::MAX >> 1;
    const UNITS: [(&'static str, u64); 4] =
        [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
}

impl Shape<u64> for Size {
    fn accepts(&self) -> String {
        "a number of bytes from 1, such as 65536 or \"64KiB\" (KiB, MiB, GiB, TiB), or false \
         (no limit)"
            .to_owned()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<u64, Vec<Wrong>> {
        let read = match value.get_ref() {
            DeValue::Boolean(false) => Some(Size::UNLIMITED),
            DeValue::String(text) => Size::UNITS.iter().find_map(|(unit, bytes)| {
                let number = text.strip_suffix(unit)?.trim_end();
                number.parse::<u64>().ok()?.checked_mul(*bytes)
            }),
            other => integer(other).and_then(|n| u64::try_from(n).ok()),
        };
        read.filter(|n| (1..=Size::UNLIMITED).contains(n))
            .ok_or_else(|| Wrong::new(value, self.accepts()))
    }

    fn write(&self, value: &u64) -> String {
        if *value == Size::UNLIMITED {
            return "false".to_owned();
        }
        let fits = Size::UNITS.iter().find(|(_, bytes)| value.is_multiple_of(*bytes));
        fits.map_or_else(|| value.to_string(), |(unit, n)| quoted(&format!("{}{unit}", value / n)))
    }
}

// === Texts and lists ===

/// A string with a grammar of its own.
pub struct Parsed<T: 'static> {
    pub accepts: &'static str,
    /// # Errors
    /// A reason, when there is one that helps.
    pub read: fn(&str) -> Result<T, Option<String>>,
    pub write: fn(&T) -> String,
}

impl<T> Shape<T> for Parsed<T> {
    fn accepts(&self) -> String {
        self.accepts.to_owned()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<T, Vec<Wrong>> {
        let wrong = |why| Wrong::because(value, why, self.accepts.to_owned());
        let text = value.get_ref().as_str().ok_or_else(|| wrong(None))?;
        (self.read)(text).map_err(wrong)
    }

    fn write(&self, value: &T) -> String {
        quoted(&(self.write)(value))
    }
}

/// A list without repetitions.
pub struct Many<T: 'static> {
    pub shape: &'static dyn Shape<T>,
    pub min: usize,
    pub max: usize,
}

impl<T: PartialEq + Debug> Shape<Vec<T>> for Many<T> {
    fn accepts(&self) -> String {
        let number = match (self.min, self.max) {
            (0, 0) => return "an empty list".to_owned(),
            (0, max) => format!("at most {max}"),
            (min, max) => format!("{min} to {max}"),
        };
        format!("a list, [\"...\", ...], of {number}: each {}", self.shape.accepts())
    }

    fn read(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<T>, Vec<Wrong>> {
        let items = value.get_ref().as_array();
        let items = items.ok_or_else(|| Wrong::new(value, self.accepts()))?;
        if !(self.min..=self.max).contains(&items.len()) {
            let why = format!("the list has {} entries", items.len());
            return Err(Wrong::because(value, Some(why), self.accepts()));
        }
        let (mut read, mut wrong): (Vec<T>, Vec<Wrong>) = (Vec::new(), Vec::new());
        for (index, item) in items.iter().enumerate() {
            match self.shape.read(item) {
                Ok(known) if read.contains(&known) => {
                    let why = Some("stands in the list twice".to_owned());
                    let twice = Wrong::because(item, why, "each entry once".to_owned());
                    wrong.extend(twice.into_iter().map(|w| Wrong { index: Some(index), ..w }));
                }
                Ok(new) => read.push(new),
                Err(found) => {
                    wrong.extend(found.into_iter().map(|w| Wrong { index: Some(index), ..w }));
                }
            }
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }

    fn write(&self, value: &Vec<T>) -> String {
        let items: Vec<String> = value.iter().map(|item| self.shape.write(item)).collect();
        format!("[{}]", items.join(", "))
    }
}
