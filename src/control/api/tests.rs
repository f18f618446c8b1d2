//! The description of the API, and that it is whole.

use serde_json::Value;

use super::*;

fn document() -> Value {
    openapi::document(&all().into_openapi())
}

#[test]
fn the_description() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&document()).unwrap());
}

/// What keeps no session going is found by its path (`auth`).
#[test]
fn the_stream_is_where_the_check_of_sessions_looks_for_it() {
    let path = format!("{ROOT}{}", events::PATH);
    let operation = &document()["paths"][&path]["get"];
    assert_eq!(operation["operationId"], "follow_node");
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value.as_str()) {
                        ("$ref", Some(target)) => found.push(target),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    for target in found {
        let pointer = target.strip_prefix('#').expect("a place in this document");
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

#[test]
fn every_operation_says_what_it_takes_and_gives() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in paths {
        assert!(path.starts_with(ROOT), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            let place = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{place}");
            assert!(ids.insert(operation["operationId"].to_string()), "{place}: a second time");
            let tags = document["tags"].as_array().unwrap().iter();
            let tag = &operation["tags"][0];
            assert!(tags.clone().any(|known| known["name"] == *tag), "{place}: {tag}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{place}");
            for (status, response) in responses {
                let content = response["content"].as_object().unwrap_or_else(|| panic!("{place}"));
                let problems = content.contains_key("application/problem+json");
                assert_eq!(problems, !status.starts_with('2'), "{place} {status}");
                assert!(content.values().all(|body| body.get("schema").is_some()), "{place}");
            }
            let named = path.matches('{').count();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|p| p["in"] == "path").count();
            assert_eq!(in_path, named, "{place}");
        }
    }
}
