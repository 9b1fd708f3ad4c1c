//! The documented sample and the reference, made from the table of keys.

use std::fmt::Write;

use super::{Absent, Key, Section};

/// How wide the sample's comments may be: a terminal of 80 columns shows them.
const SAMPLE_WIDTH: usize = 78;

/// The sample: `docs/xdplb.toml`. Required keys are set, every other stands in a comment with its default.
pub fn sample() -> String {
    let mut out = String::from(
        "# The configuration of xdplb, with every key. What stands in a comment with no \"example\" beside it is\n\
         # the default. Made from the reference in the source; see docs/configuration.md.\n",
    );
    for section in Section::ALL {
        out.push('\n');
        comment(&mut out, section.doc());
        let optional = matches!(section, Section::Services);
        if section != Section::Top {
            line(&mut out, optional, section.header());
        }
        for key in section.keys() {
            if section == Section::Top {
                out.push('\n');
            }
            comment(&mut out, key.doc);
            sample_value(&mut out, optional, key);
        }
    }
    out
}

/// The line that sets a key, in a comment unless it is required.
fn sample_value(out: &mut String, optional: bool, key: &Key) {
    match key.default {
        Absent::Required(value) => line(out, optional, &format!("{} = {value}", key.name)),
        Absent::Is(value) => line(out, true, &format!("{} = {value}", key.name)),
        Absent::Says(what, example) => {
            comment(out, &format!("Default: {what}. An example:"));
            line(out, true, &format!("{} = {example}", key.name));
        }
    }
}

/// A line of TOML, or the same in a comment: with no space after the sign, to be told from prose.
fn line(out: &mut String, commented: bool, text: &str) {
    writeln!(out, "{}{text}", if commented { "#" } else { "" }).expect("a string takes every line");
}

/// Prose in a comment, wrapped.
fn comment(out: &mut String, text: &str) {
    let mut width = 0;
    for word in text.split_whitespace() {
        if width > 0 && width + 1 + word.len() > SAMPLE_WIDTH {
            out.push('\n');
            width = 0;
        }
        if width == 0 {
            out.push('#');
            width = 1;
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + word.len();
    }
    out.push('\n');
}

/// The reference: `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# The configuration\n\n\
         <!-- Made from lb-userspace/src/config/reference.rs by `XDPLB_BLESS=1 cargo test -p lb-userspace`. -->\n\n\
         One TOML file, `/etc/xdplb/xdplb.toml` by custom; `xdplb run --config FILE` reads it, flags go over it, and\n\
         `xdplb check FILE` prints it with every default filled in. A short file is enough:\n\n\
         ```toml\n\
         interfaces = [\"eth0\"]\n\
         vips = [\"192.0.2.10\"]\n\n\
         [[backends]]\n\
         name = \"controller-1\"\n\
         address = \"10.0.0.11\"\n\
         ```\n\n\
         An unknown key, a value out of its range and everything else that cannot work is refused with its line, and\n\
         an agent that runs keeps what it has. [xdplb.toml](xdplb.toml) is a sample with every key.\n",
    );
    for section in Section::ALL {
        let title =
            if section == Section::Top { "Top".to_owned() } else { format!("`{}`", section.header()) };
        write!(out, "\n## {title}\n\n{}\n\n", section.doc()).expect("a string takes every line");
        out.push_str("| key | takes | default | meaning |\n| --- | --- | --- | --- |\n");
        for key in section.keys() {
            let default = match key.default {
                Absent::Required(_) => "none: required".to_owned(),
                Absent::Is(value) => format!("`{value}`"),
                Absent::Says(what, _) => what.to_owned(),
            };
            writeln!(out, "| `{}` | {} | {default} | {} |", key.name, key.takes, key.doc)
                .expect("a string takes every line");
        }
    }
    out.push_str(DEFAULT_SERVICES);
    out
}

/// The end of the reference; a test compares the table with [`crate::config::Service::defaults_for_k0s`].
const DEFAULT_SERVICES: &str = "
### The default services

What `xdplb check` prints has them in full.

| name | port | policy | probe |
| --- | --- | --- | --- |
| `kubernetes-api` | 6443 | maglev | https: `GET /readyz`, shown the credential of `[probe]` |
| `konnectivity-agent` | 8132 | spread | tls with ALPN `h2`, and follows kubernetes-api |
| `konnectivity-server` | 8133 | maglev | follow:kubernetes-api |
| `controller-join` | 9443 | maglev | https: `GET /`, any status is up, never shown a credential |
";
