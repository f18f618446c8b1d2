//! Which connections a page is about: the fields of the filter, as they stand in links and forms,
//! and as the REST API takes them. Not here: the inputs themselves.

use serde_json::{Map, Value};

use crate::control::console::rest::{Refusal, Wrong, part};
use crate::control::console::viewer::Fields;
use axum::http::StatusCode;

/// Places of the filter's fields in what the API refuses.
pub const POINTERS: &[&str] =
    &["?domain", "?ip", "?origin", "?region", "?isp", "?min_age_ms", "?min_idle_ms"];

/// As somebody typed them; empty is not asked for.
#[derive(Default)]
pub struct Wanted {
    pub domain: String,
    pub ip: String,
    pub origin: String,
    pub region: String,
    pub isp: String,
    /// Such as `10m`.
    pub age: String,
    pub idle: String,
    pub sort: String,
}

impl Wanted {
    pub fn of(fields: &Fields) -> Wanted {
        let text = |name| fields.text(name).to_owned();
        let sort = text("sort");
        Wanted {
            domain: text("domain"),
            ip: text("ip"),
            origin: text("origin"),
            region: text("region"),
            isp: text("isp"),
            age: text("age"),
            idle: text("idle"),
            sort: if sort.is_empty() { "age".to_owned() } else { sort },
        }
    }

    /// Whether no field narrows it down.
    pub fn is_everything(&self) -> bool {
        self.fields().iter().all(|(_, value)| value.is_empty())
    }

    /// Names and values as in the form.
    pub fn fields(&self) -> [(&'static str, &str); 7] {
        [
            ("domain", &*self.domain),
            ("ip", &*self.ip),
            ("origin", &*self.origin),
            ("region", &*self.region),
            ("isp", &*self.isp),
            ("age", &*self.age),
            ("idle", &*self.idle),
        ]
    }

    /// Of a link to a page about the same connections.
    pub fn query(&self) -> String {
        let set = self.fields().into_iter().filter(|(_, value)| !value.is_empty());
        let set: Vec<_> = set.map(|(name, value)| format!("{name}={}", part(value))).collect();
        set.join("&")
    }

    /// The same, sorted by something else.
    pub fn sorted(&self, sort: &str) -> String {
        let query = self.query();
        let and = if query.is_empty() { "" } else { "&" };
        format!("{query}{and}sort={sort}")
    }

    /// Of `GET /connections`.
    ///
    /// # Errors
    /// A time that is none.
    pub fn api_query(&self) -> Result<String, Refusal> {
        let mut all = vec![format!("sort={}", part(&self.sort))];
        for (name, value) in self.texts() {
            all.push(format!("{name}={}", part(value)));
        }
        for (name, ms) in self.times("?")? {
            all.push(format!("{name}={ms}"));
        }
        Ok(all.join("&"))
    }

    /// The same for `POST /connections/close`.
    ///
    /// # Errors
    /// A time that is none.
    pub fn api_body(&self) -> Result<Map<String, Value>, Refusal> {
        let mut all = Map::new();
        all.extend(self.texts().map(|(name, value)| (name.to_owned(), value.into())));
        all.extend(self.times("/")?.into_iter().map(|(name, ms)| (name.to_owned(), ms.into())));
        Ok(all)
    }

    /// In words, for a question.
    pub fn words(&self) -> String {
        let of = |(name, value): &(&str, &str)| match *name {
            "domain" => format!("of the domain {value}"),
            "ip" => format!("from {value}"),
            "origin" => format!("to the origin {value}"),
            "region" => format!("in {value}"),
            "isp" => format!("of {value}"),
            "age" => format!("open for at least {value}"),
            _ => format!("idle for at least {value}"),
        };
        let fields = self.fields();
        let set = fields.iter().filter(|(_, value)| !value.is_empty());
        set.map(of).collect::<Vec<_>>().join(", ")
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let [domain, ip, origin, region, isp, ..] = self.fields();
        [domain, ip, origin, region, isp].into_iter().filter(|(_, value)| !value.is_empty())
    }

    fn times(&self, mark: &str) -> Result<Vec<(&'static str, u64)>, Refusal> {
        let mut all = Vec::new();
        let mut errors = Vec::new();
        for (name, text) in [("min_age_ms", &self.age), ("min_idle_ms", &self.idle)] {
            match milliseconds(text) {
                _ if text.is_empty() => {}
                Some(ms) => all.push((name, ms)),
                None => errors.push(Wrong {
                    pointer: Some(format!("{mark}{name}")),
                    detail: format!("{text:?} is no time"),
                    accepted: Some("a number with s, m, h or d, up to 366d".to_owned()),
                    ..Wrong::default()
                }),
            }
        }
        if errors.is_empty() {
            return Ok(all);
        }
        let detail = "A time of the filter cannot be read.";
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "Nothing was looked for", detail);
        Err(Refusal { errors, ..refusal })
    }
}

/// `90s`, `10m`, `1.5h`, `2d`; a number alone is seconds.
fn milliseconds(text: &str) -> Option<u64> {
    const YEAR_MS: f64 = 366.0 * 86_400_000.0;
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let ms = number.parse::<f64>().ok()? * unit;
    (ms <= YEAR_MS).then_some(ms as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, ms) in [
            ("30", Some(30_000)),
            ("30s", Some(30_000)),
            ("10 min", Some(600_000)),
            ("1.5h", Some(5_400_000)),
            ("366d", Some(31_622_400_000)),
            ("367d", None),
            ("-1s", None),
            ("1e9", None),
            ("1.2.3", None),
            ("soon", None),
            ("s", None),
        ] {
            assert_eq!(milliseconds(text), ms, "{text}");
        }
    }

    #[test]
    fn fields_become_what_the_api_takes() {
        let fields = Fields::read(b"domain=a.test&ip=10.0.0.0/8&isp=&idle=2m&sort=idle&x=1");
        let wanted = Wanted::of(&fields);
        let query = wanted.api_query().unwrap();
        assert_eq!(query, "sort=idle&domain=a.test&ip=10.0.0.0%2F8&min_idle_ms=120000");
        let body = serde_json::json!({ "domain": "a.test", "ip": "10.0.0.0/8",
                                       "min_idle_ms": 120_000 });
        assert_eq!(Value::from(wanted.api_body().unwrap()), body);
        assert_eq!(wanted.sorted("age"), "domain=a.test&ip=10.0.0.0%2F8&idle=2m&sort=age");
        assert_eq!(wanted.words(), "of the domain a.test, from 10.0.0.0/8, idle for at least 2m");
        assert!(!wanted.is_everything() && Wanted::default().is_everything());
        let wrong = Wanted { age: "soon".to_owned(), ..Wanted::default() };
        assert!(wrong.api_query().unwrap_err().at("?min_age_ms").is_some());
        assert!(wrong.api_body().unwrap_err().at("/min_age_ms").is_some());
    }
}
