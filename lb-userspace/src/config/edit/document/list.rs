//! Lists and tables within brackets: what stands between two entries belongs to one of them.
//!
//! A comment on the line of an entry is about that entry, and those on lines above it too. `toml_edit` keeps all
//! of it with the *following* entry (or, behind the last, with the bracket), so it has to be dealt out again.

use toml_edit::{Array, Decor, InlineTable, Value};

/// Adds a value behind the last, on a line of its own where the last has one.
pub(super) fn push(array: &mut Array, mut new: Value) {
    let tail = take_tail(array);
    let last_prefix = array.iter().last().map(|last| prefix(last.decor())).unwrap_or_default();
    if let Some((same_line, closing)) = split_last_line(&tail) {
        let indent = last_prefix.rsplit_once('\n').map_or("    ", |(_, indent)| indent);
        new.decor_mut().set_prefix(format!("{same_line}\n{indent}"));
        array.push_formatted(new);
        give_tail(array, &format!("\n{closing}"));
    } else {
        new.decor_mut().set_prefix(if array.is_empty() { "" } else { " " });
        array.push_formatted(new);
        give_tail(array, &tail);
    }
}

/// Removes a value with the comments about it.
pub(super) fn remove(array: &mut Array, index: usize) {
    let tail = take_tail(array);
    let removed = array.remove(index);
    let removed = prefix(removed.decor());
    let (before, own_lines) = split_first_line(&removed);
    let follow = |following: &str| match (split_first_line(following), own_lines) {
        // The line's end and what comes after it stay; what stands before it was about the removed value.
        ((_, Some(rest)), Some(_)) => format!("{before}\n{rest}"),
        ((_, Some(rest)), None) => format!("\n{rest}"),
        ((_, None), own) if index == 0 || own.is_some() => removed.clone(),
        ((_, None), _) => following.to_owned(),
    };
    if let Some(next) = array.get_mut(index) {
        let following = follow(&prefix(next.decor()));
        next.decor_mut().set_prefix(following);
        give_tail(array, &tail);
    } else {
        let following = if tail.contains('\n') { follow(&tail) } else { tail };
        give_tail(array, &following);
    }
}

/// Adds a key behind the last of a table within braces.
pub(super) fn insert(table: &mut InlineTable, key: &str, mut new: Value) {
    if let Some((_, last)) = table.iter_mut().last() {
        let suffix = suffix(last.decor());
        last.decor_mut().set_suffix("");
        new.decor_mut().set_prefix(" ");
        new.decor_mut().set_suffix(suffix);
    }
    table.insert(key, new);
}

/// What stands between the last value and the closing bracket, a comma aside; it is taken out.
fn take_tail(array: &mut Array) -> String {
    let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
    array.set_trailing("");
    let Some(last) = array.iter_mut().last() else { return trailing };
    let tail = suffix(last.decor()) + &trailing;
    last.decor_mut().set_suffix("");
    tail
}

/// Puts something between the last value and the closing bracket.
fn give_tail(array: &mut Array, tail: &str) {
    array.set_trailing(tail);
}

/// The text up to its last line, and that line.
fn split_last_line(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('\n')
}

/// The first line of a text, and the rest where there is one.
fn split_first_line(text: &str) -> (&str, Option<&str>) {
    text.split_once('\n').map_or((text, None), |(first, rest)| (first, Some(rest)))
}

fn prefix(decor: &Decor) -> String {
    decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned()
}

fn suffix(decor: &Decor) -> String {
    decor.suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default().to_owned()
}
