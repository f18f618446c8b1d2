//! The shape of an answer: which fields, of which JSON types. A shape is itself JSON, with a word
//! for a type in the place of each value.

use serde_json::Value;

/// Fails with every place at which `value` is not of this shape.
///
/// Words: `str`, `int`, `num`, `bool`, `time` (as the DCDN API writes it), `id` (an upper-case
/// UUID), `any`, or `=text` for that very string. An array holds the shape of each of its elements;
/// with `"+"` before it, there is at least one. A field whose name ends in `?` may be missing;
/// others than those named may not be there.
pub fn assert_shape(what: &str, value: &Value, shape: &Value) {
    let mut wrong = Vec::new();
    differences("", value, shape, &mut wrong);
    assert!(wrong.is_empty(), "{what}:\n  {}\nin {value:#}", wrong.join("\n  "));
}

fn differences(at: &str, value: &Value, shape: &Value, wrong: &mut Vec<String>) {
    match shape {
        Value::String(word) => {
            if !is(word, value) {
                wrong.push(format!("{at}: {value} is no {word}"));
            }
        }
        Value::Array(elements) => {
            let Some(values) = value.as_array() else {
                return wrong.push(format!("{at}: {value} is no array"));
            };
            if elements[0] == "+" && values.is_empty() {
                wrong.push(format!("{at}: empty"));
            }
            let each = elements.last().expect("a shape of the elements");
            for (i, value) in values.iter().enumerate() {
                differences(&format!("{at}[{i}]"), value, each, wrong);
            }
        }
        Value::Object(fields) => {
            let Some(values) = value.as_object() else {
                return wrong.push(format!("{at}: {value} is no object"));
            };
            for (name, shape) in fields {
                let bare = name.trim_end_matches('?');
                match values.get(bare) {
                    Some(value) => differences(&format!("{at}.{bare}"), value, shape, wrong),
                    None if bare == name => wrong.push(format!("{at}.{name} is missing")),
                    None => {}
                }
            }
            let known = |name: &str| fields.keys().any(|k| k.trim_end_matches('?') == name);
            for name in values.keys().filter(|name| !known(name)) {
                wrong.push(format!("{at}.{name} is not known"));
            }
        }
        other => panic!("not a shape: {other}"),
    }
}

fn is(word: &str, value: &Value) -> bool {
    let text = value.as_str();
    match word {
        "any" => true,
        "str" => text.is_some(),
        "int" => value.is_i64() || value.is_u64(),
        "num" => value.is_number(),
        "bool" => value.is_boolean(),
        "time" => text.is_some_and(is_time),
        "id" => text.is_some_and(is_request_id),
        _ => {
            let wanted = word.strip_prefix('=').unwrap_or_else(|| panic!("not a type: {word}"));
            text == Some(wanted)
        }
    }
}

fn is_time(text: &str) -> bool {
    text.len() == 20 && text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_request_id(text: &str) -> bool {
    let lower = text.bytes().any(|b| b.is_ascii_lowercase());
    text.len() == 36 && !lower && uuid::Uuid::parse_str(text).is_ok()
}

/// Every value that is not empty with the path of names to it, sorted; arrays add nothing to a
/// path. What an XML document and a JSON document of the same content have in common.
pub fn leaves(value: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    collect(String::new(), value, &mut all);
    all.retain(|(_, text)| !text.is_empty());
    all.sort();
    all
}

fn collect(at: String, value: &Value, all: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, v)| collect(format!("{at}/{name}"), v, all));
        }
        Value::Array(values) => values.iter().for_each(|v| collect(at.clone(), v, all)),
        Value::String(text) => all.push((at, plain(text))),
        other => all.push((at, plain(&other.to_string()))),
    }
}

/// A number is the same number however many digits it is written with.
fn plain(text: &str) -> String {
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| number.to_string())
}

/// The same of an XML document, and the name of its root.
pub fn xml_leaves(text: &str) -> (String, Vec<(String, String)>) {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(text);
    let (mut path, mut all, mut own) = (Vec::<String>::new(), Vec::new(), String::new());
    let mut root = String::new();
    loop {
        match reader.read_event().unwrap_or_else(|e| panic!("{e}: {text}")) {
            Event::Start(start) => {
                let name = start.name().as_ref().to_owned();
                if path.is_empty() {
                    root = name.clone();
                }
                path.push(name);
                own.clear();
            }
            Event::Text(said) => own.push_str(&said.xml10_content()),
            Event::GeneralRef(named) => own.push_str(entity(&named.xml10_content())),
            Event::End(_) => {
                let below: String = path[1..].iter().map(|name| format!("/{name}")).collect();
                all.push((below, plain(&std::mem::take(&mut own))));
                path.pop();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    all.retain(|(_, text)| !text.trim().is_empty());
    all.sort();
    (root, all)
}

fn entity(name: &str) -> &'static str {
    match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        other => panic!("an entity that nothing here needs: {other}"),
    }
}
