//! From text to [`RawConfig`]: TOML's own errors, unknown keys and wrong types, each with its place.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};
use super::place::Source;
use super::raw::RawConfig;
use super::reference::Section;
use super::suggest::nearest;

/// Reads the text as it is written.
pub(crate) fn read(source: &Source<'_>) -> Result<RawConfig, ConfigError> {
    let table = DeTable::parse(source.text()).map_err(|error| {
        let place = error.span().map_or_else(|| source.whole(), |span| source.place(&span));
        Problem::Syntax(one_line(error.message())).at(&place)
    })?;
    refuse_unknown_keys(source, table.get_ref())?;
    toml::from_str(source.text()).map_err(|error| wrong_type(source, table.get_ref(), &error))
}

/// Walks every table and refuses the first key that [`Section::keys`] does not have.
fn refuse_unknown_keys(source: &Source<'_>, top: &DeTable<'_>) -> Result<(), ConfigError> {
    check_keys(source, top, Section::Top)?;
    for (section, table) in sections(top) {
        check_keys(source, table, section)?;
    }
    Ok(())
}

/// The tables below the top, each with what it is. A value that is not a table is serde's to refuse.
fn sections<'t, 'i>(top: &'t DeTable<'i>) -> impl Iterator<Item = (Section, &'t DeTable<'i>)> {
    let below = Section::ALL.into_iter().filter(|section| *section != Section::Top);
    below.flat_map(move |section| {
        let value = top.get(section.key()).map(Spanned::get_ref);
        let one = value.and_then(DeValue::as_table).into_iter();
        let many = value.and_then(DeValue::as_array).into_iter().flatten();
        one.chain(many.filter_map(|element| element.get_ref().as_table())).map(move |table| (section, table))
    })
}

/// Refuses the first key of one table that does not belong there.
fn check_keys(source: &Source<'_>, table: &DeTable<'_>, section: Section) -> Result<(), ConfigError> {
    let mut keys: Vec<_> = table.keys().collect();
    keys.sort_by_key(|key| key.span().start);
    for key in keys {
        let name = key.get_ref().as_ref();
        let mut known: Vec<&'static str> = section.keys().map(|key| key.name).collect();
        if section == Section::Top {
            known.extend(Section::ALL[1..].iter().map(|section| section.key()));
        }
        if known.contains(&name) {
            continue;
        }
        let within =
            if section == Section::Top { String::new() } else { format!(" in {}", section.header()) };
        let problem = match nearest(name, known.iter().copied()) {
            Some(nearest) => Problem::MisspeltKey { key: name.to_owned(), section: within, nearest },
            None => Problem::UnknownKey { key: name.to_owned(), section: within, known: known.join(", ") },
        };
        return Err(problem.at(&source.place(&key.span())));
    }
    Ok(())
}

/// Says what the key takes in whose value serde stumbled.
fn wrong_type(source: &Source<'_>, top: &DeTable<'_>, error: &toml::de::Error) -> ConfigError {
    let message = one_line(error.message());
    let Some(span) = error.span() else {
        return Problem::Other(message).at(&source.whole());
    };
    let mut tables = vec![(Section::Top, top)];
    tables.extend(sections(top));
    let key = tables.into_iter().find_map(|(section, table)| {
        let name = key_around(table, &span)?;
        section.keys().find(|key| key.name == name)
    });
    let below = || {
        let name = key_around(top, &span)?;
        Section::ALL.into_iter().find(|section| section.key() == name)
    };
    let problem = if let Some(key) = key {
        // What serde expected is Rust's name for it; what the key takes says more.
        let found = message.rsplit_once(", expected ").map_or(&*message, |(found, _)| found).to_owned();
        Problem::Type { found, key: key.name, takes: key.takes }
    } else if let Some(section) = below() {
        Problem::Shape { key: section.key(), header: section.header() }
    } else {
        Problem::Other(message)
    };
    problem.at(&source.place(&span))
}

/// The key of this table in whose value the span lies.
fn key_around<'t>(table: &'t DeTable<'_>, span: &Range<usize>) -> Option<&'t str> {
    let (name, _) = table.iter().find(|(_, value)| {
        let around = value.span();
        around.start <= span.start && span.end <= around.end
    })?;
    Some(name.get_ref().as_ref())
}

/// A message of a library, made one line.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "?")
}
