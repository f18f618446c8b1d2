//! Forms of a domain as tables: which key of its file, how it is asked for. From a document to
//! inputs, from what was typed to a merge patch. What is accepted, and the defaults, come from the
//! table of keys. Not here: which keys stand on which page.

use maud::{Markup, html};
use serde_json::{Map, Value};

use super::super::parts::{self, Field, Tie};
use super::super::rest::{Refusal, Wrong};
use super::super::viewer::Fields;
use crate::control::config::keys::{AnyKey, DOMAIN_FILE};

/// Inputs that belong together.
pub struct Group {
    pub title: &'static str,
    pub lead: &'static str,
    pub inputs: &'static [Input],
}

/// One key of a domain file as people set it.
pub struct Input {
    /// Section and key, such as `websocket.heartbeat`; the name of the input.
    pub key: &'static str,
    pub label: &'static str,
    pub unit: &'static str,
    pub kind: Kind,
    /// What it does. Empty: as the reference has it.
    pub hint: &'static str,
}

/// Values with their texts.
pub type Options = &'static [(&'static str, &'static str)];

pub enum Kind {
    /// A name, a path, a duration. Empty is the default.
    Text,
    /// A number, or a size with its unit. Empty is the default.
    Number,
    /// On or off.
    Flag,
    Choice(Options),
    /// A few, seen at once.
    Segments(Options),
    /// A list, one on each line.
    Lines,
    /// One of these words, or a list.
    WordOrLines(Options),
}

/// Where the values of a form come from.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// The domain as it is.
    Document(&'a Value),
    /// What was typed into the form before.
    Typed(&'a Fields),
}

impl Group {
    pub fn show(&self, source: Source<'_>, refusal: Option<&Refusal>) -> Markup {
        html! {
            section.card {
                h2 { (self.title) }
                @if !self.lead.is_empty() { p.soft { (self.lead) } }
                (inputs(self.inputs, source, refusal))
            }
        }
    }
}

pub fn inputs(all: &[Input], source: Source<'_>, refusal: Option<&Refusal>) -> Markup {
    html! { div.fields { @for input in all { (input.show(source, refusal)) } } }
}

/// What differs from what the form was filled with, as a merge patch; what nobody touched here is
/// left as it is by then.
pub fn patch<'a>(inputs: impl IntoIterator<Item = &'a Input>, typed: &Fields) -> Value {
    let mut patch = Map::new();
    for input in inputs {
        let (now, was) = (input.typed(typed), input.was(typed));
        if now == was {
            continue;
        }
        let value = input.value(&now);
        match input.key.split_once('.') {
            None => drop(patch.insert(input.key.to_owned(), value)),
            Some((section, key)) => {
                let section = patch.entry(section).or_insert_with(|| Map::new().into());
                section[key] = value;
            }
        }
    }
    patch.into()
}

/// A refusal in the words of a form: nothing instead of `false`, and the line of a list.
pub fn told<'a>(refusal: Refusal, inputs: impl IntoIterator<Item = &'a Input>) -> Refusal {
    let pointers: Vec<String> = inputs.into_iter().map(Input::pointer).collect();
    let told = |wrong: Wrong| {
        let accepted = wrong.accepted.as_deref().map(in_a_form);
        let pointer = wrong.pointer.as_deref().unwrap_or_default();
        let below = |field: &&String| {
            pointer.strip_prefix(field.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        let Some(field) = pointers.iter().find(below) else { return Wrong { accepted, ..wrong } };
        let at = pointer.rsplit('/').next().and_then(|at| at.parse::<usize>().ok());
        let detail = match at {
            Some(at) => format!("entry {}: {}", at + 1, wrong.detail),
            None => wrong.detail,
        };
        Wrong { pointer: Some(field.clone()), detail, accepted, ..wrong }
    };
    Refusal { errors: refusal.errors.into_iter().map(told).collect(), ..refusal }
}

/// Why a form was refused, above it, but for what stands beside its field.
pub fn refused(refusal: Option<&Refusal>, shown: &[String]) -> Markup {
    let Some(refusal) = refusal else { return html! {} };
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    let beside =
        |wrong: &Wrong| wrong.pointer.as_deref().is_some_and(|pointer| shown.contains(&pointer));
    if refusal.errors.is_empty() || !refusal.errors.iter().all(beside) {
        return parts::refusal(refusal, &shown);
    }
    let detail = "What is wrong stands beside its field. Nothing was changed.".to_owned();
    parts::refusal(&Refusal { detail, ..refusal.clone() }, &shown)
}

/// Pointers of all inputs: what is wrong with these stands beside them.
pub fn pointers<'a>(inputs: impl IntoIterator<Item = &'a Input>) -> Vec<String> {
    inputs.into_iter().map(Input::pointer).collect()
}

impl Input {
    fn pointer(&self) -> String {
        format!("/{}", self.key.replace('.', "/"))
    }

    fn described(&self) -> Option<&'static dyn AnyKey> {
        let (section, key) = self.key.split_once('.').unwrap_or(("", self.key));
        let section = DOMAIN_FILE.iter().find(|known| known.name == section)?;
        section.keys.iter().copied().find(|known| known.name() == key)
    }

    pub fn show(&self, source: Source<'_>, refusal: Option<&Refusal>) -> Markup {
        let (pointer, hint) = (self.pointer(), self.hint());
        let text = match source {
            Source::Document(document) => self.text(document.pointer(&pointer)),
            Source::Typed(typed) => self.typed(typed),
        };
        let was = match source {
            Source::Document(_) => text.clone(),
            Source::Typed(typed) => self.was(typed),
        };
        let field = Field {
            name: self.key,
            label: self.label,
            hint: &hint,
            unit: self.unit,
            pointer: &pointer,
        };
        html! {
            div.entry {
                (field.around(refusal, |tie| self.control(tie, &text)))
                input type="hidden" name={ "was." (self.key) } value=(was);
            }
        }
    }

    fn control(&self, tie: &Tie, text: &str) -> Markup {
        match self.kind {
            Kind::Text | Kind::Number => html! {
                input id=(tie.id) type="text" name=(self.key) value=(text) spellcheck="false"
                    autocapitalize="off" placeholder=(self.placeholder())
                    inputmode=[matches!(self.kind, Kind::Number).then_some("numeric")]
                    aria-describedby=(tie.described) aria-invalid=[tie.invalid];
            },
            Kind::Flag => html! {
                span.switch {
                    input id=(tie.id) type="checkbox" role="switch" name=(self.key) value="true"
                        checked[text == "true"] aria-describedby=(tie.described)
                        aria-invalid=[tie.invalid];
                }
            },
            Kind::Choice(options) => self.select(tie, options, text),
            Kind::Segments(options) => html! {
                fieldset #(tie.id) .segments aria-label=(self.label)
                    aria-describedby=(tie.described) {
                    @for (value, name) in options {
                        label {
                            input type="radio" name=(self.key) value=(value)
                                checked[*value == text];
                            (name)
                        }
                    }
                }
            },
            Kind::Lines => self.area(tie, &tie.id, self.key, self.label, text),
            Kind::WordOrLines(words) => {
                let is_word = words.iter().any(|(word, _)| *word == text);
                let (word, lines) = if is_word { (text, "") } else { (LISTED, text) };
                html! {
                    (self.select(tie, words, word))
                    (self.area(tie, &format!("{}-lines", tie.id), &format!("{}.lines", self.key),
                        &format!("{}, list", self.label), lines))
                }
            }
        }
    }

    fn select(&self, tie: &Tie, options: Options, value: &str) -> Markup {
        html! {
            select id=(tie.id) name=(self.key) aria-describedby=(tie.described)
                aria-invalid=[tie.invalid] {
                @for (option, text) in options {
                    option value=(option) selected[*option == value] { (text) }
                }
                @if matches!(self.kind, Kind::WordOrLines(_)) {
                    option value=(LISTED) selected[value == LISTED] { "The list below" }
                }
            }
        }
    }

    fn area(&self, tie: &Tie, id: &str, name: &str, label: &str, text: &str) -> Markup {
        html! {
            textarea id=(id) name=(name) rows=(text.lines().count().clamp(2, 12) + 1)
                spellcheck="false" aria-label=(label) aria-describedby=(tie.described)
                aria-invalid=[tie.invalid] { "\n" (text) }
        }
    }

    /// What it does, and what it takes.
    fn hint(&self) -> String {
        let Some(key) = self.described() else { return self.hint.to_owned() };
        let what = match self.hint {
            "" => key.doc().iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "),
            hint => hint.to_owned(),
        };
        let what = what.replace('`', "");
        let takes = matches!(self.kind, Kind::Text | Kind::Number | Kind::Lines);
        if takes { format!("{what} Accepted: {}.", in_a_form(&key.accepts())) } else { what }
    }

    /// What stands for nothing.
    fn placeholder(&self) -> String {
        let Some(key) = self.described() else { return String::new() };
        match key.default_text() {
            Some(text) if text == "false" => {
                let accepts = key.accepts();
                let means = accepts.rsplit_once("or false (").map(|(_, rest)| rest);
                means.unwrap_or_default().trim_end_matches(')').to_owned()
            }
            Some(text) => text.trim_matches('"').to_owned(),
            None => String::new(),
        }
    }

    /// The text of an input for a value of the document.
    fn text(&self, value: Option<&Value>) -> String {
        match (value, &self.kind) {
            (Some(Value::Bool(on)), Kind::Flag) => on.to_string(),
            (Some(Value::String(text)), _) => text.clone(),
            (Some(Value::Number(number)), _) => number.to_string(),
            (Some(Value::Array(list)), _) => {
                let lines = list.iter().map(|one| match one {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                lines.collect::<Vec<_>>().join("\n")
            }
            _ => String::new(),
        }
    }

    /// The same for what was typed.
    fn typed(&self, fields: &Fields) -> String {
        let text = fields.text(self.key);
        match self.kind {
            Kind::Flag => fields.is_on(self.key).to_string(),
            Kind::Lines => lines(text),
            Kind::WordOrLines(_) => {
                // A list that was typed counts, also when the choice was left as it was.
                let list = lines(fields.text(&format!("{}.lines", self.key)));
                let meant = text == LISTED || (!list.is_empty() && text == self.was(fields));
                if meant { list } else { text.to_owned() }
            }
            _ => text.to_owned(),
        }
    }

    fn was(&self, fields: &Fields) -> String {
        lines(fields.text(&format!("was.{}", self.key)))
    }

    /// What the API is sent; what cannot be right is left to it to refuse.
    fn value(&self, text: &str) -> Value {
        let list = || text.lines().map(Value::from).collect::<Vec<_>>().into();
        match &self.kind {
            Kind::Flag => (text == "true").into(),
            Kind::WordOrLines(words) if words.iter().any(|(word, _)| *word == text) => text.into(),
            Kind::WordOrLines(_) => list(),
            _ if text.is_empty() => Value::Null,
            Kind::Number => number(text),
            Kind::Lines => list(),
            Kind::Text | Kind::Choice(_) | Kind::Segments(_) => text.into(),
        }
    }
}

/// Stands for the list of a [`Kind::WordOrLines`].
const LISTED: &str = "+list";

/// A number where it is one; else the text, for the API to refuse.
pub fn number(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}

/// Lines without what only looks like one.
fn lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// What a key accepts, said of an input: nothing stands for `false`.
fn in_a_form(accepts: &str) -> String {
    let said = match accepts.rsplit_once(", or false (") {
        Some((before, means)) => format!("{before}; empty: {}", means.trim_end_matches(')')),
        None => accepts.to_owned(),
    };
    said.replace("a list, [\"...\", ...], of at most", "one on each line, at most")
        .replace("a list, [\"...\", ...], of", "one on each line,")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INPUTS: &[Input] = &[
        Input { key: "enabled", label: "On", unit: "", kind: Kind::Flag, hint: "" },
        Input { key: "websocket.heartbeat", label: "H", unit: "s", kind: Kind::Number, hint: "" },
        Input { key: "websocket.max_frame", label: "F", unit: "", kind: Kind::Number, hint: "" },
        Input { key: "access.allow", label: "A", unit: "", kind: Kind::Lines, hint: "" },
        Input {
            key: "websocket.allowed_origins",
            label: "O",
            unit: "",
            kind: Kind::WordOrLines(&[("any", "Any"), ("same-host", "Same host")]),
            hint: "",
        },
    ];

    fn typed(pairs: &[(&str, &str)]) -> Fields {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Fields::read(text.as_bytes())
    }

    #[test]
    fn only_what_was_touched_is_changed() {
        let untouched = [
            ("was.enabled", "false"),
            ("websocket.heartbeat", "60"),
            ("was.websocket.heartbeat", "60"),
            ("access.allow", "10.0.0.0/8\r\n\r\n 10.1.1.1 "),
            ("was.access.allow", "10.0.0.0/8\r\n10.1.1.1"),
            ("websocket.allowed_origins", "any"),
            ("was.websocket.allowed_origins", "any"),
        ];
        assert_eq!(patch(INPUTS, &typed(&untouched)), json!({}));
        let touched = [
            ("enabled", "true"),
            ("was.enabled", "false"),
            ("websocket.heartbeat", "x"),
            ("was.websocket.heartbeat", "60"),
            ("websocket.max_frame", ""),
            ("was.websocket.max_frame", "64KiB"),
            ("access.allow", "10.0.0.0/8"),
            ("websocket.allowed_origins", "+list"),
            ("websocket.allowed_origins.lines", "https://a.test"),
            ("was.websocket.allowed_origins", "any"),
        ];
        let expected = json!({
            "enabled": true,
            "websocket": {
                "heartbeat": "x", "max_frame": null, "allowed_origins": ["https://a.test"]
            },
            "access": { "allow": ["10.0.0.0/8"] },
        });
        assert_eq!(patch(INPUTS, &typed(&touched)), expected);
    }

    #[test]
    fn every_input_is_a_key_of_the_file_and_says_what_it_takes() {
        for input in INPUTS {
            assert!(input.described().is_some(), "{}", input.key);
        }
        assert_eq!(INPUTS[2].placeholder(), "false".replace("false", "no limit"));
        assert!(INPUTS[3].hint().contains("Accepted: one on each line, at most 1024: each"));
        assert!(!INPUTS[2].hint().contains("false"), "{}", INPUTS[2].hint());
    }

    #[test]
    fn what_is_wrong_in_a_list_stands_beside_the_list() {
        let wrong = |pointer: &str| Wrong {
            pointer: Some(pointer.to_owned()),
            detail: "bad".to_owned(),
            ..Wrong::default()
        };
        let refusal = Refusal {
            errors: vec![wrong("/access/allow/2"), wrong("/websocket/heartbeat")],
            ..Refusal::unknown("x")
        };
        let told = told(refusal, INPUTS);
        assert_eq!(told.at("/access/allow").unwrap().detail, "entry 3: bad");
        assert_eq!(told.at("/websocket/heartbeat").unwrap().detail, "bad");
    }
}
