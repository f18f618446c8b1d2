//! Figures as people read them, each with its unit. `assets/units.js` writes the same; both are
//! tested with `tests/console/units.json`.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// `1.50 GB`: decimal, as networks count. Prices of bills are per 2^30 bytes and say so.
pub fn bytes(n: f64) -> String {
    scaled(n, &["B", "KB", "MB", "GB", "TB", "PB"])
}

/// `1.50 Mbit/s`.
pub fn bits_per_second(n: f64) -> String {
    scaled(n, &["bit/s", "Kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `350 ms`, `12.0 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{}.{} s", s, ms % 1000 / 100),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// `2026-11-23 04:05:06 +08:00`, in the node's offset: that of its days and bills.
pub fn time(unix: i64, offset_s: i32) -> String {
    let zone = Offset::from_seconds(offset_s).map_or(TimeZone::UTC, TimeZone::fixed);
    let Ok(at) = Timestamp::from_second(unix) else { return unix.to_string() };
    at.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

/// The same of a time as the API writes it (RFC 3339).
pub fn moment(text: &str, offset_s: i32) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => time(at.as_second(), offset_s),
        Err(_) => text.to_owned(),
    }
}

/// Three digits, in the largest unit that leaves something before the point.
fn scaled(n: f64, units: &[&str]) -> String {
    let (mut n, mut unit) = (n, 0);
    while n >= 999.5 && unit + 1 < units.len() {
        n /= 1000.0;
        unit += 1;
    }
    let digits = match n {
        _ if unit == 0 => 0,
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    // Half of the last digit goes up, as everybody expects; `format!` takes the even one.
    let step = 10_f64.powi(digits as i32);
    format!("{:.digits$} {}", (n * step).round() / step, units[unit])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// The table that `assets/units.js` is tested with as well.
    #[derive(Deserialize)]
    struct Table {
        bytes: Vec<(f64, String)>,
        bits_per_second: Vec<(f64, String)>,
        count: Vec<(u64, String)>,
        duration: Vec<(u64, String)>,
        time: Vec<((i64, i32), String)>,
    }

    #[test]
    fn figures_read_as_the_table_has_them() {
        let table = include_str!("../../../tests/console/units.json");
        let table: Table = serde_json::from_str(table).unwrap();
        for (n, text) in table.bytes {
            assert_eq!(bytes(n), text, "{n}");
        }
        for (n, text) in table.bits_per_second {
            assert_eq!(bits_per_second(n), text, "{n}");
        }
        for (n, text) in table.count {
            assert_eq!(count(n), text);
        }
        for (ms, text) in table.duration {
            assert_eq!(duration(ms), text, "{ms}");
        }
        for ((unix, offset), text) in table.time {
            assert_eq!(time(unix, offset), text);
        }
    }
}
