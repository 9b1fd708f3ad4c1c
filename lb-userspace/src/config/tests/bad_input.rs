//! Everything that is refused, with the line that is told.

use super::super::{Config, Mode, Overrides};
use super::parse;

/// Puts lines on top of, or below, a file that is right.
fn around(top: &str, below: &str) -> String {
    format!("interfaces = [\"eth0\"]\n{top}\n[[backends]]\nname = \"a\"\naddress = \"10.0.0.11\"\n{below}\n")
}

fn top(lines: &str) -> String {
    around(lines, "")
}

fn below(lines: &str) -> String {
    around("vips = [\"192.0.2.10\"]", lines)
}

fn refused(text: &str, expected: &str) {
    match parse(text) {
        Ok(_) => panic!("this should be refused with `{expected}`:\n{text}"),
        Err(error) => assert_eq!(error.to_string(), expected, "of\n{text}"),
    }
}

#[test]
fn shape() {
    for (text, expected) in [
        (top("vips = ["), ""),
        (top("vip = [\"192.0.2.10\"]"), ""),
        (top("colour = \"red\""), ""),
        (below("wieght = 3"), ""),
        (below("[probe]\nintervall = \"2s\""), ""),
        (below("[proble]\ninterval = \"2s\""), ""),
        (top("mode = 3"), ""),
        (below("weight = \"3\""), ""),
        (top("vips = \"192.0.2.10\""), ""),
        (top("snat_ports = true"), ""),
        (top("probe = 3"), ""),
        (top("mode = \"nat\"\nmode = \"nat\""), ""),
        ("interfaces = [\"eth0\"]\nbackends = 3".to_owned(), ""),
        ("interfaces = [\"eth0\"]\n[backends]\nname = \"a\"".to_owned(), ""),
    ] {
        refused(&text, expected);
    }
}
