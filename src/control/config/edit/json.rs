//! JSON documents in the shape of a domain file, as TOML: whole ones and merge patches (RFC 7396).

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Table, TableLike, Value};

use super::{EditError, merge_item, new_table, replace};

const VALUE: &str = "text, a number, a truth value, or a list of them";

/// A whole document.
pub(super) fn table(document: &Json) -> Result<Table, EditError> {
    let mut table = Table::new();
    for (key, value) in object(document)? {
        // RFC 7396 knows `null` as "not there", and so may a whole document.
        if !value.is_null() {
            table.insert(key, item(key, value)?);
        }
    }
    Ok(table)
}

/// RFC 7396 2, on the top of a file and its tables.
pub(super) fn patch(root: &mut Table, patch: &Json) -> Result<(), EditError> {
    for (key, value) in object(patch)? {
        match (value, root.get_mut(key)) {
            (Json::Null, _) => {
                root.remove(key);
            }
            (Json::Object(inner), Some(item)) if item.is_table_like() => {
                let table = item.as_table_like_mut().expect("asked for above");
                patch_table(table, key, inner)?;
            }
            (value, Some(existing)) if is_tables(value) => merge_item(existing, &item(key, value)?),
            (Json::Object(_) | Json::Array(_), _) if is_section(value) => {
                root.insert(key, item(key, value)?);
            }
            (value, _) => replace(root, key, self::value(key, value)?),
        }
    }
    Ok(())
}

fn patch_table(
    table: &mut dyn TableLike,
    path: &str,
    patch: &Map<String, Json>,
) -> Result<(), EditError> {
    for (key, value) in patch {
        if value.is_null() {
            table.remove(key);
        } else {
            replace(table, key, self::value(&format!("{path}.{key}"), value)?);
        }
    }
    Ok(())
}

fn object(document: &Json) -> Result<&Map<String, Json>, EditError> {
    document.as_object().ok_or_else(|| EditError::Json {
        path: "the document".to_owned(),
        seen: kind(document),
        accepted: "an object in the shape of a domain file",
    })
}

fn is_tables(value: &Json) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Json::is_object))
}

/// What stands under a heading of its own.
fn is_section(value: &Json) -> bool {
    value.is_object() || is_tables(value)
}

/// What stands at the top of a file.
fn item(path: &str, document: &Json) -> Result<Item, EditError> {
    match document {
        Json::Object(keys) => section(path, keys).map(Item::Table),
        Json::Array(list) if is_tables(document) => {
            let mut tables = ArrayOfTables::new();
            for (index, entry) in list.iter().enumerate() {
                let path = format!("{path}[{index}]");
                tables.push(section(&path, entry.as_object().expect("asked for above"))?);
            }
            Ok(Item::ArrayOfTables(tables))
        }
        other => value(path, other).map(Item::Value),
    }
}

fn section(path: &str, keys: &Map<String, Json>) -> Result<Table, EditError> {
    let mut table = new_table();
    for (key, value) in keys.iter().filter(|(_, value)| !value.is_null()) {
        table.insert(key, Item::Value(self::value(&format!("{path}.{key}"), value)?));
    }
    Ok(table)
}

fn value(path: &str, document: &Json) -> Result<Value, EditError> {
    let refused =
        || EditError::Json { path: path.to_owned(), seen: kind(document), accepted: VALUE };
    Ok(match document {
        Json::Null => return Err(refused()),
        Json::Bool(flag) => Value::from(*flag),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(float)) => Value::from(float),
            (None, None) => return Err(refused()),
        },
        Json::Array(list) => {
            let mut array = Array::new();
            for (index, entry) in list.iter().enumerate() {
                array.push(value(&format!("{path}[{index}]"), entry)?);
            }
            Value::Array(array)
        }
        // Nothing in a file is that deep: the check will say so, with its place.
        Json::Object(keys) => {
            let mut table = InlineTable::new();
            for (key, entry) in keys.iter().filter(|(_, entry)| !entry.is_null()) {
                table.insert(key, value(&format!("{path}.{key}"), entry)?);
            }
            Value::InlineTable(table)
        }
    })
}

fn kind(document: &Json) -> &'static str {
    match document {
        Json::Null => "null",
        Json::Bool(_) => "a truth value",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{EditError, patched, replaced};

    const FILE: &str = "\
# The live site.
name = \"live.example.com\" # as in DNS

[websocket]
heartbeat = 60      # minutes would be too long

# The rack by the window.
[[origin]]
address = \"10.0.0.5\"
port = 8080 # since spring
";

    #[test]
    fn a_patch_changes_what_it_names() {
        // RFC 7396 2.
        let patch = json!({
            "enabled": false,
            "websocket": { "heartbeat": 30, "enabled": true },
            "access": { "deny": ["10.0.0.0/8"] },
            "http": null,
        });
        insta::assert_snapshot!(patched(FILE, &patch).unwrap(), @r#"
        # The live site.
        name = "live.example.com" # as in DNS
        enabled = false

        [websocket]
        heartbeat = 30      # minutes would be too long
        enabled = true

        # The rack by the window.
        [[origin]]
        address = "10.0.0.5"
        port = 8080 # since spring

        [access]
        deny = ["10.0.0.0/8"]
        "#);
        assert_eq!(patched(FILE, &json!({})).unwrap(), FILE);
    }

    #[test]
    fn a_patch_takes_away_and_replaces_lists() {
        let patch = json!({
            "websocket": { "heartbeat": null },
            "origin": [{ "address": "10.0.0.5", "weight": 5 }, { "address": "inner" }],
        });
        insta::assert_snapshot!(patched(FILE, &patch).unwrap(), @r#"
        # The live site.
        name = "live.example.com" # as in DNS

        [websocket]

        # The rack by the window.
        [[origin]]
        address = "10.0.0.5"
        weight = 5

        [[origin]]
        address = "inner"
        "#);
        let gone = patched(FILE, &json!({ "websocket": null, "origin": null })).unwrap();
        assert!(!gone.contains("[websocket]") && !gone.contains("[[origin]]"), "{gone}");
    }

    #[test]
    fn a_whole_document_keeps_comments_of_what_stays() {
        let whole = json!({
            "websocket": { "heartbeat": 61 },
            "origin": [{ "address": "10.0.0.5", "port": 8080 }],
        });
        let after = replaced(FILE, &whole).unwrap();
        assert_eq!(after, FILE.replace("= 60 ", "= 61 "));
        let after = replaced(FILE, &json!({ "name": "live.example.com", "origin": [] })).unwrap();
        assert!(!after.contains("websocket") && after.contains("# as in DNS"), "{after}");
    }

    #[test]
    fn inline_spellings_are_patched_in_place() {
        let text = "name = \"a.b\"\nwebsocket = { heartbeat = 5 }\n";
        let after = patched(text, &json!({ "websocket": { "heartbeat": 6 } })).unwrap();
        assert_eq!(after, text.replace('5', "6"));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for (patch, said) in [
            (json!([]), "the document is a list"),
            (json!("x"), "the document is text"),
            (json!({ "access": { "deny": [null] } }), "access.deny[0] is null"),
        ] {
            let error = patched(FILE, &patch).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        for name in [json!({ "name": "other" }), json!({ "name": null })] {
            assert_eq!(patched(FILE, &name), Err(EditError::Name));
        }
        assert_eq!(replaced(FILE, &json!({ "name": "other" })), Err(EditError::Name));
    }
}
