//! Changes to the text of a domain, from text to text: comments, order and spelling of everything
//! that is not changed stay as they are. Not here: whether the result is a good configuration
//! (`check`), and files (`store`).

mod json;

use toml_edit::{ArrayOfTables, Decor, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::keys::{self, DOMAIN_FILE};

/// One change: `websocket.heartbeat=30`, `origin[1].weight=5`; an empty value takes the key, the
/// table or the list entry away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    steps: Vec<Step>,
    value: Option<Written>,
}

/// TOML when it reads as TOML, else a string: nobody wants to quote quotes in a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written(String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    key: String,
    index: Option<usize>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EditError {
    #[error("the text is not TOML: {0}")]
    Syntax(String),
    #[error(
        "{0:?} is not a change: write KEY=VALUE, such as websocket.heartbeat=30 or \
         origin[0].port=8080 (nothing behind = takes the key away)"
    )]
    NotAnAssignment(String),
    #[error("{path}: there are {len} of [[{path}]], so the next one is {path}[{len}]")]
    Gap { path: String, len: usize },
    #[error("{0} is not a table here, so it has no keys of its own")]
    NotATable(String),
    #[error("the name of a domain cannot be changed: set up the new one, then remove the old one")]
    Name,
    #[error("{path} is {seen}: accepted is {accepted}")]
    Json { path: String, seen: &'static str, accepted: &'static str },
}

impl std::str::FromStr for Assignment {
    type Err = EditError;

    fn from_str(text: &str) -> Result<Assignment, EditError> {
        let wrong = || EditError::NotAnAssignment(text.to_owned());
        let (path, value) = text.split_once('=').ok_or_else(wrong)?;
        let steps: Option<Vec<Step>> = path.trim().split('.').map(Step::parse).collect();
        let steps = steps.ok_or_else(wrong)?;
        if steps.len() > 2 {
            return Err(wrong());
        }
        if steps[0].key == keys::domain::NAME.name {
            return Err(EditError::Name);
        }
        let value = (!value.trim().is_empty()).then(|| Written(value.trim().to_owned()));
        Ok(Assignment { steps, value })
    }
}

impl Step {
    fn parse(text: &str) -> Option<Step> {
        let (key, index) = match text.split_once('[') {
            Some((key, rest)) => (key, Some(rest.strip_suffix(']')?.parse().ok()?)),
            None => (text, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        (!key.is_empty() && key.chars().all(plain)).then(|| Step { key: key.to_owned(), index })
    }
}

/// A domain file with nothing but its name.
pub fn new_domain(name: &str) -> String {
    format!("{} = {}\n", keys::domain::NAME.name, toml::Value::from(name))
}

/// `text` with all of `changes`.
pub fn assigned(text: &str, changes: &[Assignment]) -> Result<String, EditError> {
    let mut document = parsed(text)?;
    for change in changes {
        assign(document.as_table_mut(), change)?;
    }
    Ok(document.to_string())
}

/// `text` with exactly these origins: `(address, port)` each, the port when it is not the default.
pub fn with_origins(text: &str, origins: &[(String, Option<u16>)]) -> Result<String, EditError> {
    let mut document = parsed(text)?;
    let mut tables = ArrayOfTables::new();
    for (address, port) in origins {
        let mut table = new_table();
        table.insert(keys::origin::ADDRESS_KEY.name, toml_edit::value(address.as_str()));
        if let Some(port) = port {
            table.insert(keys::origin::PORT.name, toml_edit::value(i64::from(*port)));
        }
        tables.push(table);
    }
    let wanted = Item::ArrayOfTables(tables);
    match document.get_mut(keys::origin::SECTION.name) {
        Some(existing) => merge_item(existing, &wanted),
        None => {
            document.insert(keys::origin::SECTION.name, wanted);
        }
    }
    Ok(document.to_string())
}

/// The documents of a list, `[[domain]]` each, by their names and in their order; or the only one
/// of a domain file.
pub fn listed(text: &str) -> Result<Vec<(String, Table)>, EditError> {
    let document = parsed(text)?;
    if let Some(name) = document.get(keys::domain::NAME.name).and_then(Item::as_str) {
        return Ok(vec![(name.to_owned(), document.as_table().clone())]);
    }
    let Some(tables) = document.get("domain").and_then(Item::as_array_of_tables) else {
        return Ok(Vec::new());
    };
    let name = |table: &Table| {
        table.get(keys::domain::NAME.name).and_then(Item::as_str).unwrap_or_default().to_owned()
    };
    Ok(tables.iter().map(|table| (name(table), table.clone())).collect())
}

/// `text` changed to say what `wanted` says, and nothing else.
pub fn merged(text: &str, wanted: &Table) -> Result<String, EditError> {
    let mut document = parsed(text)?;
    merge_table(document.as_table_mut(), wanted);
    Ok(document.to_string())
}

/// `text` changed by a merge patch (RFC 7396) in the shape of a domain file: `null` takes a key or
/// a table away, tables are merged, anything else is put in its place, lists as a whole.
pub fn patched(text: &str, patch: &serde_json::Value) -> Result<String, EditError> {
    let mut document = parsed(text)?;
    let name = name_of(&document);
    json::patch(document.as_table_mut(), patch)?;
    unchanged_name(&document, name)
}

/// `text` changed to say what a whole document in the shape of a domain file says, and nothing
/// else.
pub fn replaced(text: &str, wanted: &serde_json::Value) -> Result<String, EditError> {
    let mut document = parsed(text)?;
    let name = name_of(&document);
    let mut wanted = json::table(wanted)?;
    if let (false, Some(name)) = (wanted.contains_key(keys::domain::NAME.name), &name) {
        wanted.insert(keys::domain::NAME.name, toml_edit::value(name));
    }
    merge_table(document.as_table_mut(), &wanted);
    unchanged_name(&document, name)
}

fn name_of(document: &DocumentMut) -> Option<String> {
    document.get(keys::domain::NAME.name).and_then(Item::as_str).map(str::to_owned)
}

/// The text of a document whose name must still be `name`.
fn unchanged_name(document: &DocumentMut, name: Option<String>) -> Result<String, EditError> {
    if name_of(document) != name {
        return Err(EditError::Name);
    }
    Ok(document.to_string())
}

/// Domain texts as one list.
pub fn exported<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<String, EditError> {
    let mut tables = ArrayOfTables::new();
    for text in texts {
        let mut document = parsed(text)?;
        let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
        // A comment at the top of a file stands before its first key, and stays there.
        let mut table = std::mem::take(document.as_table_mut());
        forget_positions(&mut table);
        table.decor_mut().set_prefix(if tables.is_empty() { "" } else { "\n" });
        if !trailing.trim().is_empty() {
            table.decor_mut().set_prefix(format!("\n{trailing}"));
        }
        tables.push(table);
    }
    let mut document = DocumentMut::new();
    if !tables.is_empty() {
        document.insert("domain", Item::ArrayOfTables(tables));
    }
    Ok(document.to_string())
}

fn parsed(text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|e: toml_edit::TomlError| EditError::Syntax(e.message().to_owned()))
}

// === Assignments ===

fn assign(root: &mut Table, change: &Assignment) -> Result<(), EditError> {
    let (first, last) = (&change.steps[0], change.steps.last().filter(|_| change.steps.len() > 1));
    match (first.index, last) {
        (None, None) => put(root, &first.key, change.value.as_ref()),
        (None, Some(key)) => {
            if change.value.is_none() && !root.contains_key(&first.key) {
                return Ok(());
            }
            let item = root.entry(&first.key).or_insert_with(|| Item::Table(new_table()));
            let table = item.as_table_like_mut();
            put_like(table.ok_or_else(|| EditError::NotATable(first.key.clone()))?, key, change)
        }
        (Some(index), None) => match change.value {
            None => remove_entry(root, &first.key, index),
            Some(_) => Err(EditError::NotATable(format!("{}[{index}]", first.key))),
        },
        (Some(index), Some(key)) => put_like(entry(root, &first.key, index)?, key, change),
    }
}

fn put(root: &mut Table, key: &str, value: Option<&Written>) -> Result<(), EditError> {
    match value {
        None => {
            root.remove(key);
        }
        Some(_) if is_section(key) => return Err(EditError::NotAnAssignment(key.to_owned())),
        Some(value) => replace(root, key, value.value()),
    }
    Ok(())
}

fn put_like(table: &mut dyn TableLike, step: &Step, change: &Assignment) -> Result<(), EditError> {
    if let Some(index) = step.index {
        return Err(EditError::NotATable(format!("{}[{index}]", step.key)));
    }
    match &change.value {
        None => {
            table.remove(&step.key);
        }
        Some(value) => replace(table, &step.key, value.value()),
    }
    Ok(())
}

fn is_section(key: &str) -> bool {
    DOMAIN_FILE.iter().any(|section| section.name == key)
}

/// Puts a value in the place of another, with the comment behind it; or at the end of the table.
fn replace(table: &mut dyn TableLike, key: &str, mut value: Value) {
    match table.get_mut(key) {
        Some(item) => {
            if let Some(old) = item.as_value() {
                *value.decor_mut() = old.decor().clone();
            }
            *item = Item::Value(value);
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// The table `key[index]`, made when it is the next one.
fn entry<'a>(
    root: &'a mut Table,
    key: &str,
    index: usize,
) -> Result<&'a mut dyn TableLike, EditError> {
    let gap = |len| EditError::Gap { path: key.to_owned(), len };
    let item = root.entry(key).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    match item {
        Item::ArrayOfTables(tables) => {
            if index == tables.len() {
                tables.push(new_table());
            }
            let len = tables.len();
            tables.get_mut(index).map(|table| table as &mut dyn TableLike).ok_or_else(|| gap(len))
        }
        Item::Value(Value::Array(list)) => {
            if index == list.len() {
                list.push(InlineTable::new());
            }
            let len = list.len();
            let value = list.get_mut(index).ok_or_else(|| gap(len))?;
            let table = value.as_inline_table_mut();
            table.map(|table| table as &mut dyn TableLike).ok_or_else(|| not_a_table(key))
        }
        _ => Err(not_a_table(key)),
    }
}

fn remove_entry(root: &mut Table, key: &str, index: usize) -> Result<(), EditError> {
    let gap = |len| EditError::Gap { path: key.to_owned(), len };
    let len = match root.get_mut(key) {
        Some(Item::ArrayOfTables(tables)) if index < tables.len() => {
            tables.remove(index);
            tables.len()
        }
        Some(Item::Value(Value::Array(list))) if index < list.len() => {
            list.remove(index);
            list.len()
        }
        Some(Item::ArrayOfTables(tables)) => return Err(gap(tables.len())),
        Some(Item::Value(Value::Array(list))) => return Err(gap(list.len())),
        Some(_) => return Err(not_a_table(key)),
        None => return Err(gap(0)),
    };
    if len == 0 {
        root.remove(key);
    }
    Ok(())
}

fn not_a_table(key: &str) -> EditError {
    EditError::NotATable(key.to_owned())
}

/// A table that begins after an empty line.
fn new_table() -> Table {
    let mut table = Table::new();
    *table.decor_mut() = Decor::new("\n", "");
    table
}

impl Written {
    fn value(&self) -> Value {
        self.0.parse().unwrap_or_else(|_| Value::from(self.0.as_str()))
    }
}

// === Merging ===

fn merge_table(existing: &mut dyn TableLike, wanted: &Table) {
    let gone: Vec<String> = existing
        .iter()
        .map(|(key, _)| key.to_owned())
        .filter(|key| !wanted.contains_key(key))
        .collect();
    for key in gone {
        existing.remove(&key);
    }
    for (key, item) in wanted.iter() {
        match existing.get_mut(key) {
            Some(known) => merge_item(known, item),
            None => {
                let mut new = item.clone();
                forget_item_positions(&mut new);
                existing.insert(key, new);
            }
        }
    }
}

fn merge_item(existing: &mut Item, wanted: &Item) {
    match (&mut *existing, wanted) {
        (Item::Table(known), Item::Table(table)) => merge_table(known, table),
        (Item::ArrayOfTables(known), Item::ArrayOfTables(tables)) => {
            while known.len() > tables.len() {
                known.remove(known.len() - 1);
            }
            for (index, table) in tables.iter().enumerate() {
                match known.get_mut(index) {
                    Some(table_known) => merge_table(table_known, table),
                    None => {
                        let mut new = table.clone();
                        forget_positions(&mut new);
                        known.push(new);
                    }
                }
            }
        }
        (Item::Value(known), Item::Value(value)) => {
            if bare(known) != bare(value) {
                let mut value = value.clone();
                *value.decor_mut() = known.decor().clone();
                *known = value;
            }
        }
        _ => {
            *existing = wanted.clone();
            forget_item_positions(existing);
        }
    }
}

/// The value without the space and the comments around it.
fn bare(value: &Value) -> String {
    value.clone().decorated("", "").to_string()
}

/// Tables remember where in their file they stood, and are printed in that order; in another file
/// they must not.
fn forget_positions(table: &mut Table) {
    table.set_position(None);
    for (_, item) in table.iter_mut() {
        forget_item_positions(item);
    }
}

fn forget_item_positions(item: &mut Item) {
    match item {
        Item::Table(table) => forget_positions(table),
        Item::ArrayOfTables(tables) => tables.iter_mut().for_each(forget_positions),
        Item::None | Item::Value(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# The live site.
name = \"live.example.com\" # as in DNS

[websocket]
heartbeat = 60      # minutes would be too long
# enabled = false

# The rack by the window.
[[origin]]
address = \"10.0.0.5\"
port = 8080 # since spring
";

    fn changed(changes: &[&str]) -> Result<String, EditError> {
        let changes: Result<Vec<Assignment>, _> = changes.iter().map(|c| c.parse()).collect();
        assigned(FILE, &changes?)
    }

    #[test]
    fn a_change_keeps_every_comment() {
        let after = changed(&["websocket.heartbeat=30", "origin[0].port=9000"]).unwrap();
        let wanted = FILE.replace("= 60 ", "= 30 ").replace("= 8080 ", "= 9000 ");
        assert_eq!(after, wanted);
    }

    #[test]
    fn new_keys_tables_and_entries_find_their_place() {
        let after = changed(&[
            "close_on_origin_down=100",
            "http.host=inner.example.com",
            "websocket.allowed_origins=[\"https://a.example\"]",
            "origin[1].address=10.0.0.6",
            "origin[1].priority=30",
        ])
        .unwrap();
        insta::assert_snapshot!(after, @r#"
        # The live site.
        name = "live.example.com" # as in DNS
        close_on_origin_down = 100

        [websocket]
        heartbeat = 60      # minutes would be too long
        allowed_origins = ["https://a.example"]
        # enabled = false

        # The rack by the window.
        [[origin]]
        address = "10.0.0.5"
        port = 8080 # since spring

        [[origin]]
        address = "10.0.0.6"
        priority = 30

        [http]
        host = "inner.example.com"
        "#);
    }

    #[test]
    fn an_empty_value_takes_away() {
        let after = changed(&["websocket.heartbeat=", "origin[0].port=", "http.host="]).unwrap();
        assert!(!after.contains("60") && !after.contains("8080") && !after.contains("http"));
        assert!(after.contains("[websocket]\n# enabled = false"), "{after}");
        let after = changed(&["origin[0]="]).unwrap();
        assert!(!after.contains("origin") && after.contains("heartbeat = 60"), "{after}");
        let after = changed(&["websocket="]).unwrap();
        assert!(!after.contains("websocket") && after.contains("[[origin]]"), "{after}");
    }

    #[test]
    fn inline_spellings_are_changed_in_place() {
        let text =
            "name = \"a.b\"\nwebsocket = { heartbeat = 5 }\norigin = [{ address = \"x\" }]\n";
        let changes = ["websocket.heartbeat=6", "origin[0].port=81", "origin[1].address=y"];
        let changes: Vec<Assignment> = changes.iter().map(|c| c.parse().unwrap()).collect();
        insta::assert_snapshot!(assigned(text, &changes).unwrap(), @r#"
        name = "a.b"
        websocket = { heartbeat = 6 }
        origin = [{ address = "x" , port = 81 }, { address = "y" }]
        "#);
    }

    #[test]
    fn wrong_changes_say_why() {
        let cases = [
            ("heartbeat", "\"heartbeat\" is not a change"),
            ("a.b.c=1", "is not a change"),
            ("origin[x].port=1", "is not a change"),
            ("name=x", "cannot be changed"),
            ("origin[3].port=1", "origin: there are 1 of [[origin]], so the next one is origin[1]"),
            ("origin[3]=", "the next one is origin[1]"),
            ("name.x=1", "cannot be changed"),
            ("websocket=1", "is not a change"),
            ("websocket[0].heartbeat=1", "websocket is not a table here"),
            ("close.x[0]=1", "x[0] is not a table here"),
        ];
        for (change, said) in cases {
            let error = changed(&[change]).unwrap_err().to_string();
            assert!(error.contains(said), "{change}: {error}");
        }
    }

    #[test]
    fn a_list_comes_apart_and_together_again() {
        let other = "name = \"b.example.com\"\n\n[[origin]]\naddress = \"10.0.0.7\"\n";
        let list = exported([FILE, other]).unwrap();
        insta::assert_snapshot!(list, @r#"
        [[domain]]
        # The live site.
        name = "live.example.com" # as in DNS

        [domain.websocket]
        heartbeat = 60      # minutes would be too long
        # enabled = false

        # The rack by the window.
        [[domain.origin]]
        address = "10.0.0.5"
        port = 8080 # since spring

        [[domain]]
        name = "b.example.com"

        [[domain.origin]]
        address = "10.0.0.7"
        "#);
        let entries = listed(&list).unwrap();
        let names: Vec<&str> = entries.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["live.example.com", "b.example.com"]);
        assert_eq!(merged(FILE, &entries[0].1).unwrap(), FILE, "nothing differs, nothing changes");
        let made = merged(&new_domain("b.example.com"), &entries[1].1).unwrap();
        assert_eq!(made, other);
    }

    #[test]
    fn merging_changes_only_what_differs() {
        let list = "[[domain]]\nname = \"live.example.com\"\n[domain.websocket]\nheartbeat = 61\n\
            [[domain.origin]]\naddress = \"10.0.0.5\"\nport = 8080\n\
            [[domain.origin]]\naddress = \"10.0.0.6\"\n";
        let entries = listed(list).unwrap();
        let after = merged(FILE, &entries[0].1).unwrap();
        let wanted = FILE.replace("= 60 ", "= 61 ") + "[[origin]]\naddress = \"10.0.0.6\"\n";
        assert_eq!(after, wanted);
    }

    #[test]
    fn origins_are_set_as_a_whole() {
        let origins = [("10.0.0.5".to_owned(), None), ("inner".to_owned(), Some(81))];
        insta::assert_snapshot!(with_origins(FILE, &origins).unwrap(), @r#"
        # The live site.
        name = "live.example.com" # as in DNS

        [websocket]
        heartbeat = 60      # minutes would be too long
        # enabled = false

        # The rack by the window.
        [[origin]]
        address = "10.0.0.5"

        [[origin]]
        address = "inner"
        port = 81
        "#);
    }
}
