//! What an edit makes of a text, byte for byte.

use super::super::{AdminState, BackendChange};
use super::{SHORT, right};
use crate::config::edit::changed_text;

fn add(name: &str, address: &str, weight: Option<u8>) -> BackendChange {
    BackendChange::Add { name: name.to_owned(), address: address.parse().expect("an address"), weight }
}

fn remove(name: &str) -> BackendChange {
    BackendChange::Remove { name: name.to_owned() }
}

fn state(name: &str, state: AdminState) -> BackendChange {
    BackendChange::SetState { name: name.to_owned(), state }
}

fn weight(name: &str, weight: u8) -> BackendChange {
    BackendChange::SetWeight { name: name.to_owned(), weight }
}

/// Makes the change, and compares the text and what it says.
fn becomes(before: &str, change: &BackendChange, after: &str) {
    let config = right(before);
    let next = config
        .changed(change)
        .unwrap_or_else(|error| panic!("{change:?} should be possible: {error}"))
        .unwrap_or_else(|| panic!("{change:?} should change something"));
    let text =
        changed_text(before, &config, change).unwrap_or_else(|| panic!("{change:?} should be editable"));
    assert_eq!(text, after, "after {change:?}");
    assert_eq!(right(&text), next, "after {change:?}");
}

/// A file as a careful operator writes it.
const CAREFUL: &str = r#"# balancer of the north cluster
# ask ops before you change this

# the first, in rack 4
[[backends]]
  name = "a"  # the old one
  address = "10.0.0.11"
  weight = 3 # faster

# --- the rest of the rack ---

# the second
[[backends]]
  name = "b"
  address = "10.0.0.12"
  # state = "draining"

[probe] # patient
fall = 5

# where packets come in
[[services]]
name = "api"
port = 6443
backends = ["a", "b"] # both
"#;

/// [`CAREFUL`] needs its top-level keys first.
fn careful(text: &str) -> String {
    format!("interfaces = [\"eth0\"]\n\n{text}")
}

#[test]
fn tables() {
    becomes(
        SHORT,
        &add("c", "10.0.0.13", None),
        &format!("{SHORT}\n[[backends]]\nname = \"c\"\naddress = \"10.0.0.13\"\n"),
    );
    becomes(
        SHORT,
        &add("c", "2001:db8::13", Some(7)),
        &format!("{SHORT}\n[[backends]]\nname = \"c\"\naddress = \"2001:db8::13\"\nweight = 7\n"),
    );
    becomes(SHORT, &add("b", "10.0.0.12", Some(7)), &format!("{SHORT}weight = 7\n"));
    becomes(SHORT, &state("b", AdminState::Draining), &format!("{SHORT}state = \"draining\"\n"));
    becomes(SHORT, &weight("a", 9), &SHORT.replace("11\"\n", "11\"\nweight = 9\n"));
    becomes(SHORT, &remove("b"), SHORT.split("\n[[backends]]\nname = \"b\"").next().expect("a first part"));
    becomes(
        SHORT,
        &remove("a"),
        &SHORT.replace("[[backends]]\nname = \"a\"\naddress = \"10.0.0.11\"\n\n", ""),
    );
}

#[test]
fn comments_and_order_stay() {
    let before = careful(CAREFUL);
    becomes(&before, &weight("a", 4), &before.replace("weight = 3 # faster", "weight = 4 # faster"));
    becomes(
        &before,
        &state("a", AdminState::Disabled),
        &before.replace("weight = 3 # faster\n", "weight = 3 # faster\n  state = \"disabled\"\n"),
    );
    becomes(
        &before.replace("backends = [\"a\", \"b\"] # both\n", ""),
        &add("c", "10.0.0.13", None),
        &before
            .replace("backends = [\"a\", \"b\"] # both\n", "")
            .replace("0.12\"\n", "0.12\"\n\n[[backends]]\nname = \"c\"\naddress = \"10.0.0.13\"\n"),
    );
}

#[test]
fn a_removed_backend_takes_its_own_comment_and_no_other() {
    let before = careful(CAREFUL);
    let first = before.find("# the first").expect("there");
    let rest = before.find("# --- the rest").expect("there");
    let without_a = format!("{}{}", &before[..first], &before[rest..]);
    becomes(&before, &remove("a"), &without_a.replace("[\"a\", \"b\"]", "[\"b\"]"));
    let second = before.find("# the second").expect("there");
    let commented = before.find("  # state").expect("there");
    let without_b = format!("{}{}", &before[..second], &before[commented..]);
    becomes(&before, &remove("b"), &without_b.replace("[\"a\", \"b\"]", "[\"a\"]"));
}

#[test]
fn the_head_of_the_file_survives_its_last_table() {
    becomes(
        "interfaces = [\"eth0\"]\nbackends = [{ address = \"10.0.0.11\" }, { name = \"b\", address = \"10.0.0.12\" }]\n",
        &remove("10.0.0.11"),
        "interfaces = [\"eth0\"]\nbackends = [{ name = \"b\", address = \"10.0.0.12\" }]\n",
    );
    let tail = "\n# end of the racks\n\n# c\n[[backends]]\nname = \"c\"\naddress = \"10.0.0.13\"\n";
    becomes(&format!("{SHORT}{tail}"), &remove("c"), &format!("{SHORT}\n# end of the racks\n"));
}

#[test]
fn lists_on_one_line() {
    let file = |list: &str| format!("interfaces = [\"eth0\"]\nbackends = {list} # all\n");
    let before = file(r#"[ { name = "a", address = "10.0.0.11" }, {name="b", address="10.0.0.12"} ]"#);
    for (change, after) in [
        (
            add("c", "10.0.0.13", Some(2)),
            r#"[ { name = "a", address = "10.0.0.11" }, {name="b", address="10.0.0.12"}, { name = "c", address = "10.0.0.13", weight = 2 } ]"#,
        ),
        (remove("a"), r#"[ {name="b", address="10.0.0.12"} ]"#),
        (remove("b"), r#"[ { name = "a", address = "10.0.0.11" } ]"#),
        (
            weight("a", 5),
            r#"[ { name = "a", address = "10.0.0.11", weight = 5 }, {name="b", address="10.0.0.12"} ]"#,
        ),
        (
            state("b", AdminState::Disabled),
            r#"[ { name = "a", address = "10.0.0.11" }, {name="b", address="10.0.0.12", state = "disabled"} ]"#,
        ),
    ] {
        becomes(&before, &change, &file(after));
    }
}

#[test]
fn lists_on_several_lines() {
    let file = |list: &str| format!("interfaces = [\"eth0\"]\nbackends = [\n{list}]\n");
    let a = "  { name = \"a\", address = \"10.0.0.11\" }";
    let b = "  { name = \"b\", address = \"10.0.0.12\" }";
    let c = "  { name = \"c\", address = \"10.0.0.13\" }";
    for (before, change, after) in [
        (format!("{a},\n{b},\n"), add("c", "10.0.0.13", None), format!("{a},\n{b},\n{c},\n")),
        (format!("{a},\n{b}\n"), add("c", "10.0.0.13", None), format!("{a},\n{b},\n{c}\n")),
        (
            format!("{a}, # first\n{b}, # second\n"),
            add("c", "10.0.0.13", None),
            format!("{a}, # first\n{b}, # second\n{c},\n"),
        ),
        (format!("{a}, # first\n{b}, # second\n"), remove("a"), format!("{b}, # second\n")),
        (format!("{a}, # first\n{b}, # second\n"), remove("b"), format!("{a}, # first\n")),
        (format!("{a}, # first\n{b}\n"), remove("b"), format!("{a} # first\n")),
        (
            format!("  # rack 1\n{a},\n  # rack 2\n{b},\n  # rack 3\n{c},\n"),
            remove("b"),
            format!("  # rack 1\n{a},\n  # rack 3\n{c},\n"),
        ),
    ] {
        becomes(&file(&before), &change, &file(&after));
    }
}

#[test]
fn line_ends_and_the_byte_order_mark_stay() {
    let before = format!("\u{feff}{}", SHORT.replace('\n', "\r\n"));
    becomes(&before, &weight("b", 2), &format!("{before}weight = 2\r\n"));
}

#[test]
fn what_is_true_already_changes_nothing() {
    let config = right(&careful(CAREFUL));
    for change in [
        add("a", "10.0.0.11", None),
        add("a", "10.0.0.11", Some(3)),
        remove("nobody"),
        state("b", AdminState::Enabled),
        weight("a", 3),
    ] {
        assert_eq!(config.changed(&change).expect("this is possible"), None, "{change:?} is true already");
    }
}

#[test]
fn the_changes_between_two_configurations_are_told_as_commands() {
    let before = right(SHORT);
    let changes = [
        add("c", "10.0.0.13", Some(7)),
        state("c", AdminState::Draining),
        state("b", AdminState::Disabled),
        weight("b", 5),
        remove("a"),
    ];
    let after = changes.iter().fold(before.clone(), |config, change| {
        config.changed(change).expect("this is possible").expect("this changes something")
    });
    let told: Vec<String> = before.changes_to(&after).iter().map(ToString::to_string).collect();
    assert_eq!(told, ["remove a", "weight b 5", "disable b", "add c=10.0.0.13 --weight 7", "drain c"]);
    assert!(after.changes_to(&after).is_empty());
}

#[test]
fn what_cannot_be_is_refused() {
    let one = "interfaces = [\"eth0\"]\nbackends = [{ name = \"a\", address = \"10.0.0.11\" }]\n";
    let own = format!("{SHORT}[[services]]\nname = \"api\"\nport = 6443\nbackends = [\"a\"]\n");
    for (text, change, expected) in [
        (one, remove("a"), "\"a\" is the last backend; add another before you remove it, or drain it"),
        (
            &own,
            remove("a"),
            "\"a\" is the last backend of the service \"api\"; add another to it before you remove it",
        ),
        (
            SHORT,
            add("a", "10.0.0.13", None),
            "there is a backend \"a\" already, with the address 10.0.0.11; use another name or remove it first",
        ),
        (
            SHORT,
            add("c", "10.0.0.11", None),
            "10.0.0.11 is the address of two backends, \"a\" and \"c\"; remove one of them",
        ),
        (
            SHORT,
            add("c", "192.0.2.10", None),
            "xdplb.toml:2:9: 192.0.2.10 is a VIP and the address of the backend \"c\"; give one of them another address",
        ),
        (
            SHORT,
            add("c d", "10.0.0.13", None),
            "\"c d\" cannot be a name; use 1 to 63 letters, digits, and any of - _ . :",
        ),
        (SHORT, weight("c", 3), "there is no backend \"c\"; did you mean \"a\"?"),
        (SHORT, weight("a", 0), "weight = 0 is not possible; give a whole number from 1 to 255"),
        (
            SHORT,
            state("controller-1", AdminState::Draining),
            "there is no backend \"controller-1\"; use one of a, b",
        ),
    ] {
        let told = right(text).changed(&change).err().map(|error| error.to_string());
        assert_eq!(told.as_deref(), Some(expected), "of {change:?}");
    }
}
