//! The OpenAPI schema of a domain's document, made from the table of keys: one definition for the
//! check, the manual and this. Not here: other schemas, which stand at their types.

use std::borrow::Cow;

use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, Schema, SchemaType};
use utoipa::openapi::{ArrayBuilder, Object, ObjectBuilder, RefOr, Type};
use utoipa::{PartialSchema, ToSchema};

use super::writes::{CREATED, REVISION, TEXT, default};
use crate::control::config::keys::{AnyKey, DOMAIN_FILE, Section, domain};

/// A domain in the shape of its file.
pub struct Document;

/// RFC 7396: parts of it, `null` for what is to go.
pub struct Patch;

impl PartialSchema for Document {
    fn schema() -> RefOr<Schema> {
        let name = &domain::NAME.name;
        document("A domain in the shape of its file", Nulls::No)
            .property(REVISION, text("Of its file; ignored in a request: If-Match has it"))
            .property(TEXT, text("The file, where it was asked for; ignored in a request"))
            .property(CREATED, text("RFC 3339, UTC; null when the log does not go back so far"))
            .required(*name)
            .examples([example()])
            .build()
            .into()
    }
}

impl ToSchema for Document {
    fn name() -> Cow<'static, str> {
        "Domain".into()
    }
}

impl PartialSchema for Patch {
    fn schema() -> RefOr<Schema> {
        document("What is to differ in a domain; null takes a key away", Nulls::Yes)
            .examples([serde_json::json!({ "websocket": { "heartbeat": 30 } })])
            .build()
            .into()
    }
}

impl ToSchema for Patch {
    fn name() -> Cow<'static, str> {
        "DomainPatch".into()
    }
}

/// Whether null stands for "take it away".
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    No,
    Yes,
}

fn example() -> Value {
    serde_json::json!({
        "name": "live.example.com",
        "websocket": { "enabled": true, "heartbeat": 60, "origin_scheme": "follow" },
        "origin": [{ "address": "10.0.0.5", "port": 80, "priority": 20, "weight": 10 }]
    })
}

fn document(what: &str, nulls: Nulls) -> ObjectBuilder {
    let mut object = ObjectBuilder::new()
        .description(Some(what))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    for section in DOMAIN_FILE {
        object = match (section.name, section.repeated) {
            ("", _) => keys(object, section, nulls),
            (name, true) => {
                let items = keys(table(section), section, Nulls::No);
                let list = ArrayBuilder::new().items(items).description(Some(doc(section.doc)));
                object.property(name, list)
            }
            (name, false) => {
                let mut table = keys(table(section), section, nulls);
                if nulls == Nulls::Yes {
                    table = table.schema_type(SchemaType::from_iter([Type::Object, Type::Null]));
                }
                object.property(name, table)
            }
        };
    }
    object
}

fn table(section: &Section) -> ObjectBuilder {
    ObjectBuilder::new()
        .description(Some(doc(section.doc)))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

fn keys(mut object: ObjectBuilder, section: &Section, nulls: Nulls) -> ObjectBuilder {
    for key in section.keys {
        object = object.property(key.name(), value(*key));
        if key.default_text().is_none() && nulls == Nulls::No && !section.name.is_empty() {
            object = object.required(key.name());
        }
    }
    object
}

/// Any JSON value: what is accepted stands in words that the check uses too.
fn value(key: &dyn AnyKey) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some(format!("{} Accepted: {}.", doc(key.doc()), key.accepts())))
        .default(default(key))
        .build()
}

fn text(what: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).description(Some(what)).build()
}

fn doc(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_a_domain_file_is_there() {
        let schema = serde_json::to_value(Document::schema()).unwrap();
        for section in DOMAIN_FILE {
            let mut place = &schema["properties"];
            if !section.name.is_empty() {
                place = &place[section.name];
                place = if section.repeated { &place["items"] } else { place };
                place = &place["properties"];
            }
            for key in section.keys {
                let said = place[key.name()]["description"].as_str().unwrap_or_default();
                assert!(said.contains(&key.accepts()), "{}.{}", section.name, key.name());
            }
        }
        assert_eq!(schema["required"], serde_json::json!(["name"]));
    }
}
