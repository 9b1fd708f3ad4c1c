//! `xdplb k0s-config`: what the other side of the balancer needs, to be read and then applied. It only prints.

use clap::CommandFactory as _;

use super::{
    Exit,
    args::{Cli, K0sConfigArgs},
    put,
};

/// The role, and the commands that make a credential for it: YAML that kubectl takes as it is.
const PROBE_CREDENTIAL: &str = include_str!("k0s_config/probe_credential.yaml");

/// Prints what was asked for, or what there is.
pub(super) fn print(arguments: K0sConfigArgs) -> Exit {
    if arguments.probe_credential {
        put(PROBE_CREDENTIAL);
        return Exit::Done;
    }
    let mut cli = Cli::command();
    cli.build();
    if let Some(command) = cli.find_subcommand_mut("k0s-config") {
        put(&command.render_help().to_string());
    }
    Exit::Done
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Overrides};

    /// The commented lines from one to the next empty one.
    fn block(from: &str) -> String {
        let lines = PROBE_CREDENTIAL.lines().map(|line| line.trim_start_matches('#').trim());
        lines
            .skip_while(|line| *line != from)
            .take_while(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn what_it_tells_to_write_is_a_configuration() {
        let short = "interfaces = [\"eth0\"]\n[[backends]]\naddress = \"10.0.0.11\"\n";
        let parsed = |text: &str| Config::parse(Path::new("xdplb.toml"), text, &Overrides::default());
        let probe = block("[probe]");
        assert!(probe.lines().count() == 4, "the whole of it: {probe}");
        parsed(&format!("{short}{probe}\n")).unwrap_or_else(|error| panic!("{error}\n{probe}"));
        let lines: Vec<&str> = probe.lines().take(2).collect();
        let token = block("token_file = \"/etc/xdplb/probe.token\"");
        let token = token.lines().next().expect("the line about the token");
        parsed(&format!("{short}{}\n{token}\n", lines.join("\n"))).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn the_role_may_read_readyz_and_nothing_else() {
        let rules: Vec<&str> =
            PROBE_CREDENTIAL.lines().skip_while(|line| *line != "rules:").skip(1).take(3).collect();
        assert_eq!(rules, ["  - nonResourceURLs: [\"/readyz\"]", "    verbs: [\"get\"]", "---"]);
    }
}
