//! A change made to the text of a configuration; everything else in it stays byte for byte.

mod list;

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value, value};

use crate::config::{BackendChange, Config};

/// The byte order mark, which TOML allows and `toml_edit` drops.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text with the change made, or `None` where the text is written in a way that this cannot edit. `config`
/// is what the text says: its backends are in the order of the file.
pub(crate) fn changed(text: &str, config: &Config, change: &BackendChange) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let index = config.backend_index(change.name());
    match (change, index) {
        (BackendChange::Add { name, address, weight }, None) => {
            let mut entries =
                vec![("name", Value::from(name.as_str())), ("address", address.to_string().into())];
            entries.extend(weight.map(|weight| ("weight", i64::from(weight).into())));
            add(&mut document, entries)?;
        }
        (
            BackendChange::Add { weight: Some(weight), .. } | BackendChange::SetWeight { weight, .. },
            Some(index),
        ) => {
            set(&mut document, index, "weight", i64::from(*weight).into())?;
        }
        (BackendChange::SetState { state, .. }, Some(index)) => {
            set(&mut document, index, "state", state.as_str().into())?;
        }
        (BackendChange::Remove { name }, Some(index)) => {
            remove(&mut document, index)?;
            forget_in_services(&mut document, name);
        }
        // Nothing to change: `Config::changed` has told already.
        _ => return None,
    }
    Some(dressed_like(text, document.to_string()))
}

/// Gives the new text the line ends and the byte order mark of the old one.
fn dressed_like(old: &str, new: String) -> String {
    let mut new = new;
    if old.contains("\r\n") && old.matches('\n').count() == old.matches("\r\n").count() {
        new = new.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    if old.starts_with(BYTE_ORDER_MARK) && !new.starts_with(BYTE_ORDER_MARK) {
        new.insert(0, BYTE_ORDER_MARK);
    }
    new
}

/// Adds a backend behind the last.
fn add(document: &mut DocumentMut, entries: Vec<(&str, Value)>) -> Option<()> {
    match document.entry("backends").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new())) {
        Item::ArrayOfTables(tables) => {
            let mut table = Table::new();
            for (key, entry) in entries {
                table.insert(key, value(entry));
            }
            tables.push(table);
        }
        Item::Value(Value::Array(array)) => {
            let mut table = InlineTable::new();
            for (key, entry) in entries {
                table.insert(key, entry);
            }
            list::push(array, table.into());
        }
        _ => return None,
    }
    Some(())
}

/// Sets a key of a backend; what stands beside its old value stays.
fn set(document: &mut DocumentMut, index: usize, key: &str, new: Value) -> Option<()> {
    match document.get_mut("backends")? {
        Item::ArrayOfTables(tables) => {
            let table = tables.get_mut(index)?;
            if !set_present(table, key, &new)? {
                let indent = table.iter().last().and_then(|(last, _)| indent_of(table, last));
                table.insert(key, value(new));
                if let Some(indent) = indent {
                    table.key_mut(key)?.leaf_decor_mut().set_prefix(indent);
                }
            }
        }
        Item::Value(Value::Array(array)) => {
            let table = array.get_mut(index)?.as_inline_table_mut()?;
            if !set_present(table, key, &new)? {
                list::insert(table, key, new);
            }
        }
        _ => return None,
    }
    Some(())
}

/// Replaces the value of a key that is there, and says whether it is.
fn set_present(table: &mut dyn TableLike, key: &str, new: &Value) -> Option<bool> {
    let Some(item) = table.get_mut(key) else { return Some(false) };
    let old = item.as_value_mut()?;
    let decor = old.decor().clone();
    *old = new.clone();
    *old.decor_mut() = decor;
    Some(true)
}

/// How far a key is indented.
fn indent_of(table: &Table, key: &str) -> Option<String> {
    let prefix = table.key(key)?.leaf_decor().prefix()?.as_str()?;
    Some(prefix.rsplit('\n').next().unwrap_or_default().to_owned())
}

/// Removes a backend, and the comment that stands right above it.
fn remove(document: &mut DocumentMut, index: usize) -> Option<()> {
    let removed = match document.get_mut("backends")? {
        Item::ArrayOfTables(tables) if index < tables.len() => tables.remove(index),
        Item::Value(Value::Array(array)) if index < array.len() => {
            list::remove(array, index);
            return Some(());
        }
        _ => return None,
    };
    let prefix = removed.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let kept = paragraphs_above(prefix);
    if kept.is_empty() {
        return Some(());
    }
    // What is set apart by an empty line, such as the head of the file, is not about the backend.
    if let Some(next) = next_table(document.as_table_mut(), removed.position()?) {
        let own = next.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or("\n").to_owned();
        let own = own.strip_prefix("\r\n").or_else(|| own.strip_prefix('\n')).unwrap_or(&own).to_owned();
        next.decor_mut().set_prefix(format!("{kept}{own}"));
    } else {
        let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing(format!("{}{trailing}", kept.trim_end_matches(['\r', '\n'])) + "\n");
    }
    Some(())
}

/// The part of the text above a header that an empty line sets apart from it, if it says anything.
fn paragraphs_above(prefix: &str) -> String {
    let lines: Vec<&str> = prefix.split_inclusive('\n').collect();
    let last_empty = lines.iter().rposition(|line| line.ends_with('\n') && line.trim().is_empty());
    let kept = last_empty.map_or_else(String::new, |last| lines[..=last].concat());
    if kept.trim().is_empty() { String::new() } else { kept }
}

/// The table that stands next behind a position of the file.
fn next_table(top: &mut Table, position: isize) -> Option<&mut Table> {
    let mut next: Option<&mut Table> = None;
    for (_, item) in top.iter_mut() {
        let tables: Vec<&mut Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter_mut().collect(),
            Item::None | Item::Value(_) => Vec::new(),
        };
        for table in tables {
            let nearer = next.as_ref().is_none_or(|next| table.position() < next.position());
            if table.position().is_some_and(|own| own > position) && nearer {
                next = Some(table);
            }
        }
    }
    next
}

/// Takes a removed backend out of the lists of the services that name it.
fn forget_in_services(document: &mut DocumentMut, name: &str) {
    let services: Vec<&mut dyn TableLike> = match document.get_mut("services") {
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter_mut().map(|table| table as &mut dyn TableLike).collect()
        }
        Some(Item::Value(Value::Array(array))) => array
            .iter_mut()
            .filter_map(|value| value.as_inline_table_mut().map(|table| table as &mut dyn TableLike))
            .collect(),
        _ => return,
    };
    for service in services {
        let Some(names) = service.get_mut("backends").and_then(Item::as_array_mut) else { continue };
        let index = names.iter().position(|known| known.as_str() == Some(name));
        if let Some(index) = index {
            list::remove(names, index);
        }
    }
}
