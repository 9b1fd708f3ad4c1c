//! What the whole of `config` promises.

mod bad_combinations;
mod bad_input;
mod conduct;
mod defaults;
mod documentation;
mod edits;
mod files;
mod host;
mod probes;
mod property;

use std::fmt::Display;
use std::path::Path;

use super::{Config, ConfigError, Overrides};

/// The shortest useful file.
const SHORT: &str = "\
interfaces = [\"eth0\"]
vips = [\"192.0.2.10\"]

[[backends]]
name = \"a\"
address = \"10.0.0.11\"

[[backends]]
name = \"b\"
address = \"10.0.0.12\"
";

/// Parses a text without flags.
fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("xdplb.toml"), text, &Overrides::default())
}

/// Parses a text that is right.
fn right(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("this should be right: {error}\n{text}"))
}

/// Adds a line to a text.
fn line(text: &mut String, line: impl Display) {
    text.push_str(&line.to_string());
    text.push('\n');
}
