//! Origins of a domain as rows of a form: one line each, several of them, some of them still empty.
//! Not here: the page (`origins`, `add`), other keys of a domain (`fields`).

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::super::parts::Field;
use super::super::rest::{Refusal, Wrong};
use super::super::viewer::Fields;
use super::fields::number;
use crate::limits::ORIGINS_PER_DOMAIN_MAX;

/// What was typed, or is there, in one row.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row([String; 5]);

/// Key, label, and what stands in a new row.
const COLUMNS: [(&str, &str, &str); 5] = [
    ("address", "Address or name", ""),
    ("port", "HTTP port", "80"),
    ("https_port", "HTTPS port", "443"),
    ("priority", "Priority", "20"),
    ("weight", "Weight", "10"),
];

impl Row {
    fn new() -> Row {
        Row(COLUMNS.map(|(_, _, default)| default.to_owned()))
    }

    /// Nobody typed anything that would be lost.
    fn is_empty(&self) -> bool {
        let untouched = |(text, (_, _, default)): (&String, &(&str, &str, &str))| {
            text.is_empty() || text == default
        };
        self.0.iter().zip(&COLUMNS).all(untouched)
    }

    fn json(&self) -> Value {
        let mut origin = Map::new();
        for (text, (key, _, _)) in self.0.iter().zip(COLUMNS) {
            let value = if key == "address" { text.as_str().into() } else { number(text) };
            if key == "address" || !text.is_empty() {
                origin.insert(key.to_owned(), value);
            }
        }
        origin.into()
    }
}

pub struct Rows(Vec<Row>);

impl Rows {
    /// Of a new domain.
    pub fn new() -> Rows {
        Rows(vec![Row::new()])
    }

    pub fn of_document(document: &Value) -> Rows {
        let list = document["origin"].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = |origin: &Value| {
            Row(COLUMNS.map(|(key, ..)| match &origin[key] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            }))
        };
        Rows(list.iter().map(row).collect())
    }

    pub fn typed(fields: &Fields) -> Rows {
        let mut columns = COLUMNS.map(|(key, ..)| {
            let texts: Vec<String> =
                fields.all(&format!("origin.{key}")).map(|text| text.trim().to_owned()).collect();
            texts.into_iter()
        });
        let mut rows = Vec::new();
        // One more than may be: that there are too many is for the API to say.
        while rows.len() <= ORIGINS_PER_DOMAIN_MAX {
            let mut next = columns.each_mut().map(Iterator::next);
            if next.iter().all(Option::is_none) {
                break;
            }
            rows.push(Row(next.each_mut().map(|text| text.take().unwrap_or_default())));
        }
        Rows(rows)
    }

    pub fn with_one_more(mut self) -> Rows {
        self.0.push(Row::new());
        self
    }

    pub fn json(&self) -> Value {
        self.filled().map(|(_, row)| row.json()).collect::<Vec<_>>().into()
    }

    /// Rows that become origins, with their places in the form.
    fn filled(&self) -> impl Iterator<Item = (usize, &Row)> {
        self.0.iter().enumerate().filter(|(_, row)| !row.is_empty())
    }

    /// A refusal that names rows of the form: empty ones were not sent.
    pub fn told(&self, refusal: Refusal) -> Refusal {
        let places: Vec<usize> = self.filled().map(|(place, _)| place).collect();
        let told = |wrong: Wrong| {
            let place = wrong.pointer.as_deref().and_then(|pointer| {
                let (at, key) = pointer.strip_prefix("/origin/")?.split_once('/')?;
                Some(format!("/origin/{}/{key}", places.get(at.parse::<usize>().ok()?)?))
            });
            Wrong { pointer: place.or(wrong.pointer), ..wrong }
        };
        Refusal { errors: refusal.errors.into_iter().map(told).collect(), ..refusal }
    }

    /// Places that have an input of their own.
    pub fn pointers(&self) -> Vec<String> {
        let of = |at: usize| COLUMNS.map(|(key, ..)| format!("/origin/{at}/{key}"));
        (0..self.0.len()).flat_map(of).chain(["/origin".to_owned()]).collect()
    }

    pub fn show(&self, refusal: Option<&Refusal>) -> Markup {
        html! {
            div.rows data-rows data-max=(ORIGINS_PER_DOMAIN_MAX) {
                @for (at, row) in self.0.iter().enumerate() { (row_of_inputs(at, row, refusal)) }
            }
            @if let Some(wrong) = refusal.and_then(|refusal| refusal.at("/origin")) {
                p.error {
                    "A domain needs at least one origin and may have " (ORIGINS_PER_DOMAIN_MAX)
                    ": " (wrong.detail) "."
                }
            }
            div.actions {
                button name="step" value="row" formnovalidate data-add-row { "Add an origin" }
            }
            p.hint {
                "An IP address or a host name, without scheme or port. Priority 20 is primary, 30 "
                "is backup and used when no primary is up; weight is the share among equals, 1 to "
                "100. A row without an address is left out."
            }
        }
    }
}

fn row_of_inputs(at: usize, row: &Row, refusal: Option<&Refusal>) -> Markup {
    html! {
        fieldset.row data-row {
            legend.unseen { "Origin " (at + 1) }
            @for ((key, label, default), text) in COLUMNS.into_iter().zip(&row.0) {
                @let id = format!("origin.{at}.{key}");
                @let pointer = format!("/origin/{at}/{key}");
                @let field = Field { name: &id, label, hint: "", unit: "", pointer: &pointer };
                (field.around(refusal, |tie| html! {
                    @if key == "priority" {
                        select id=(tie.id) name="origin.priority" data-default=(default)
                            aria-describedby=(tie.described) aria-invalid=[tie.invalid] {
                            option value="20" selected[text == "20"] { "20 primary" }
                            option value="30" selected[text == "30"] { "30 backup" }
                        }
                    } @else {
                        input id=(tie.id) type="text" name={ "origin." (key) } value=(text)
                            data-default=(default) spellcheck="false" autocapitalize="off"
                            inputmode=[(key != "address").then_some("numeric")]
                            aria-describedby=(tie.described) aria-invalid=[tie.invalid];
                    }
                }))
            }
            button.quiet.small.remove type="button" data-remove-row hidden { "Remove" }
        }
    }
}

/// What kind of thing an address is.
pub fn kind(address: &str) -> &'static str {
    match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => "IPv4 address",
        Ok(std::net::IpAddr::V6(_)) => "IPv6 address",
        Err(_) => "name",
    }
}

/// Whether the list of origins was touched, and what it is to be.
pub fn patch(fields: &Fields) -> Option<Value> {
    let rows = Rows::typed(fields).json();
    let was: Value = serde_json::from_str(fields.text("was.origin")).unwrap_or_default();
    (rows != was).then_some(rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn typed(rows: &[[&str; 5]]) -> Rows {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for row in rows {
            for ((key, ..), value) in COLUMNS.iter().zip(row) {
                text.append_pair(&format!("origin.{key}"), value);
            }
        }
        Rows::typed(&Fields::read(text.finish().as_bytes()))
    }

    #[test]
    fn rows_become_origins_and_empty_ones_nothing() {
        let rows = typed(&[
            ["10.0.0.1", "80", "443", "20", "10"],
            ["", "80", "443", "20", "10"],
            ["o.test", "x", "", "30", "5"],
            ["", "8080", "443", "20", "10"],
        ]);
        let expected = json!([
            { "address": "10.0.0.1", "port": 80, "https_port": 443, "priority": 20, "weight": 10 },
            { "address": "o.test", "port": "x", "priority": 30, "weight": 5 },
            { "address": "", "port": 8080, "https_port": 443, "priority": 20, "weight": 10 },
        ]);
        assert_eq!(rows.json(), expected);
        let wrong = |pointer: &str| Wrong { pointer: Some(pointer.into()), ..Wrong::default() };
        let errors = vec![wrong("/origin/1/port"), wrong("/origin"), wrong("/name")];
        let told = rows.told(Refusal { errors, ..Refusal::unknown("x") });
        let told: Vec<_> = told.errors.iter().filter_map(|one| one.pointer.as_deref()).collect();
        assert_eq!(told, ["/origin/2/port", "/origin", "/name"]);
    }

    #[test]
    fn what_a_document_has_comes_back_as_it_was() {
        let document = json!({ "origin": [
            { "address": "::1", "port": 81, "https_port": 444, "priority": 30, "weight": 1 }
        ] });
        assert_eq!(Rows::of_document(&document).json(), document["origin"]);
        assert_eq!(kind("::1"), "IPv6 address");
        assert_eq!(kind("10.0.0.1"), "IPv4 address");
        assert_eq!(kind("o.test"), "name");
    }

    #[test]
    fn there_are_no_more_rows_than_a_domain_may_have_and_one() {
        let many = vec![["10.0.0.1", "", "", "", ""]; 3 * ORIGINS_PER_DOMAIN_MAX];
        assert_eq!(typed(&many).0.len(), ORIGINS_PER_DOMAIN_MAX + 1);
    }
}
