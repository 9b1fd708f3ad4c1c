//! The command line: what every command takes, and nothing of what it does.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::{BackendSpec, DEFAULT_PATH, Mode, Overrides, XdpMode};

/// Where the agent listens when nobody says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/xdplb/xdplb.sock";
/// Where the kernel's state is pinned when nobody says otherwise.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/xdplb";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "xdplb", version, about = "a layer-4 load balancer in XDP for kubernetes control planes")]
#[command(disable_help_subcommand = true, disable_help_flag = true, disable_version_flag = true)]
#[command(max_term_width = 100)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// print the version
    #[arg(short = 'V', long, action = ArgAction::Version, display_order = 903)]
    version: Option<bool>,
}

/// What every command takes, before or after its own words.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// the agent's control socket
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET, display_order = 900)]
    #[arg(env = "XDPLB_SOCKET", hide_env_values = true)]
    pub socket: PathBuf,
    /// the directory on bpffs that holds the pinned programs and tables
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_PIN_DIR, display_order = 901)]
    pub pin_dir: PathBuf,
    /// print this help
    #[arg(short, long, global = true, action = ArgAction::Help, display_order = 902)]
    help: Option<bool>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// run the agent: attach the programs, fill the tables, probe the backends
    Run(RunArgs),
    /// validate a configuration and print it with every default filled in
    Check(CheckArgs),
    /// show services, backends, their health, interfaces and totals
    Status(JsonArgs),
    /// list the backends, or change one in the running agent and in its file
    #[command(subcommand)]
    Backend(BackendCommand),
    /// list the connections, or reset them
    Flows(FlowsArgs),
    /// show how many packets met which verdict or drop reason
    Counters(JsonArgs),
    /// show what changed, when and why
    Events(EventsArgs),
    /// exit 0 when this balancer can serve, for keepalived, bird and probes
    Ready,
    /// read the configuration file again, as SIGHUP does; a bad one is refused and nothing changes
    Reload,
    /// print what k0s needs for what this balancer does; it changes nothing
    K0sConfig(K0sConfigArgs),
    /// on a controller: take packets to the VIPs out of the tunnels of a balancer (dsr-ipip, dsr-gue)
    Decap(DecapArgs),
    /// take the programs off the interfaces and remove the pinned state; a running agent exits
    Detach,
}

/// `xdplb run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// the configuration file; without one, the flags below are the configuration
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// an interface to attach to; once for each, instead of those in the file
    #[arg(long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// an address to balance; once for each, instead of those in the file
    #[arg(long = "vip", value_name = "IP")]
    pub vips: Vec<IpAddr>,
    /// a backend; once for each, instead of those in the file; two of one name are its two addresses
    #[arg(long = "backend", value_name = "[NAME=]IP")]
    pub backends: Vec<BackendSpec>,
    /// how packets reach the backends; this version has nat
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(Mode::WORDS).try_map(|word| word.parse::<Mode>()))]
    pub mode: Option<Mode>,
    /// where in the kernel the programs run
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(XdpMode::WORDS).try_map(|word| word.parse::<XdpMode>()))]
    pub xdp_mode: Option<XdpMode>,
    /// log every packet that is dropped, with the reason and its addresses
    #[arg(long)]
    pub log_drops: bool,
    /// take the programs off when the agent exits; else they go on forwarding until the next agent
    #[arg(long)]
    pub detach_on_exit: bool,
    /// replace pinned tables that do not fit this version or these limits, and forget their connections
    #[arg(long)]
    pub discard_flows: bool,
}

impl RunArgs {
    /// What these flags put over the file.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            interfaces: self.interfaces.clone(),
            vips: self.vips.clone(),
            backends: self.backends.clone(),
            mode: self.mode,
            xdp_mode: self.xdp_mode,
            log_drops: self.log_drops,
        }
    }
}

/// `xdplb check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// the configuration file
    #[arg(value_name = "FILE", default_value = DEFAULT_PATH)]
    pub file: PathBuf,
}

/// `xdplb k0s-config`.
#[derive(Debug, Clone, Copy, Args)]
pub struct K0sConfigArgs {
    /// a role that may read /readyz, and how to make a client certificate or a token for the probes
    #[arg(long)]
    pub probe_credential: bool,
}

/// `xdplb decap`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Clone, Args)]
pub struct DecapArgs {
    /// an interface that the tunnels come by; once for each
    #[arg(long = "interface", value_name = "IF")]
    pub interfaces: Vec<String>,
    /// an address that the clients use, on this host's loopback; once for each
    #[arg(long = "vip", value_name = "IP")]
    pub vips: Vec<IpAddr>,
    /// the udp port of gue; 6080 where it is left out
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub gue_port: Option<u16>,
    /// where in the kernel the program runs
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(XdpMode::WORDS).try_map(|word| word.parse::<XdpMode>()))]
    pub xdp_mode: Option<XdpMode>,
    /// tell whether this controller is ready for dsr, and what to run where it is not; it changes nothing
    #[arg(long, group = "shown")]
    pub check: bool,
    /// show what is attached, and how many packets met what
    #[arg(long, group = "shown", conflicts_with_all = ["interfaces", "vips", "gue_port", "xdp_mode"])]
    pub status: bool,
    /// take the program off and remove what is pinned
    #[arg(long, conflicts_with_all = ["shown", "interfaces", "vips", "gue_port", "xdp_mode"])]
    pub remove: bool,
    /// print json, in a stable schema
    #[arg(long, requires = "shown")]
    pub json: bool,
}

/// Commands that only show something.
#[derive(Debug, Clone, Copy, Args)]
pub struct JsonArgs {
    /// print json, in a stable schema
    #[arg(long)]
    pub json: bool,
}

/// `xdplb backend`.
#[derive(Debug, Subcommand)]
pub enum BackendCommand {
    /// list the backends with their addresses, weights, states and connections
    List(JsonArgs),
    /// add a backend, enabled
    Add {
        /// its address, and what to call it; the name is the address where none is given
        #[arg(value_name = "[NAME=]IP")]
        backend: BackendSpec,
        /// its share of new connections, relative to the others'; 1 where it is left out
        #[arg(long, value_name = "N", value_parser = weight())]
        weight: Option<u8>,
        /// Whether the file stays as it is.
        #[command(flatten)]
        edit: EditArgs,
    },
    /// remove a backend; its connections end by themselves
    Remove {
        /// the backend
        name: String,
        /// reset its connections at once
        #[arg(long)]
        now: bool,
        /// Whether the file stays as it is.
        #[command(flatten)]
        edit: EditArgs,
    },
    /// give a backend no new connections; those it has end by themselves
    Drain {
        /// the backend
        name: String,
        /// come back when its last connection has ended, or fail after DURATION, such as 10m
        #[arg(
            long,
            value_name = "DURATION",
            num_args = 0..=1,
            require_equals = true,
            value_parser = humantime::parse_duration,
        )]
        wait: Option<Option<Duration>>,
        /// Whether the file stays as it is.
        #[command(flatten)]
        edit: EditArgs,
    },
    /// give a backend no new connections and reset those it has
    Disable {
        /// the backend
        name: String,
        /// Whether the file stays as it is.
        #[command(flatten)]
        edit: EditArgs,
    },
    /// give a drained or disabled backend new connections again
    Enable {
        /// the backend
        name: String,
        /// Whether the file stays as it is.
        #[command(flatten)]
        edit: EditArgs,
    },
    /// set a backend's share of new connections
    Weight {
        /// the backend
        name: String,
        /// its share, relative to the others', 1 to 255
        #[arg(value_name = "N", value_parser = weight())]
        weight: u8,
        /// Whether the file stays as it is.
        #[command(flatten)]
        edit: EditArgs,
    },
}

/// What every edit takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct EditArgs {
    /// change the running agent only, and leave the file as it is
    #[arg(long)]
    pub runtime: bool,
}

/// A weight: one byte that is not zero.
fn weight() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..)
}

/// `xdplb flows`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub struct FlowsArgs {
    /// print json, in a stable schema
    #[arg(long)]
    pub json: bool,
    /// Which connections.
    #[command(flatten)]
    pub filter: FlowFilter,
    /// What to do with them; they are listed where it is absent.
    #[command(subcommand)]
    pub command: Option<FlowsCommand>,
}

/// What to do with connections.
#[derive(Debug, Subcommand)]
pub enum FlowsCommand {
    /// reset the connections, both ends; all of them where no filter is given
    Reset,
}

/// Which connections: those that match everything given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct FlowFilter {
    /// connections to this backend
    #[arg(long, global = true, value_name = "NAME")]
    pub backend: Option<String>,
    /// connections from this client
    #[arg(long, global = true, value_name = "IP")]
    pub client: Option<IpAddr>,
    /// the connection that a backend sees from this address and port; an ipv6 address stands in brackets
    #[arg(long, global = true, value_name = "IP:PORT")]
    pub snat: Option<SocketAddr>,
}

/// `xdplb events`.
#[derive(Debug, Clone, Copy, Args)]
pub struct EventsArgs {
    /// go on and show what comes
    #[arg(long)]
    pub follow: bool,
    /// print json, in a stable schema: an array, or with --follow one object a line
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    fn parsed(line: &str) -> Cli {
        parse(line).unwrap_or_else(|error| panic!("`{line}` should be a command line: {error}"))
    }

    #[test]
    fn clap_finds_nothing_wrong() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_globals_stand_before_or_after_the_words_of_every_command() {
        for words in [
            "run",
            "check",
            "status",
            "backend list",
            "backend add 10.0.0.1",
            "backend remove a",
            "backend drain a",
            "backend disable a",
            "backend enable a",
            "backend weight a 3",
            "flows",
            "flows reset",
            "counters",
            "events",
            "ready",
            "reload",
            "k0s-config --probe-credential",
            "decap --status",
            "detach",
        ] {
            for line in [
                format!("xdplb --socket /a --pin-dir /b {words}"),
                format!("xdplb {words} --socket /a --pin-dir /b"),
            ] {
                let cli = parsed(&line);
                assert_eq!(cli.global.socket, PathBuf::from("/a"), "`{line}` should set the socket");
                assert_eq!(cli.global.pin_dir, PathBuf::from("/b"), "`{line}` should set the pin directory");
            }
        }
    }

    #[test]
    fn run_takes_a_whole_configuration() {
        let line = "xdplb run --interface eth0 --interface eth1 --vip 192.0.2.10 --vip 2001:db8::10 \
                    --backend a=10.0.0.1 --backend 10.0.0.2 --mode nat --xdp-mode generic --log-drops \
                    --detach-on-exit --discard-flows";
        let parsed_run = |line| match parsed(line).command {
            Command::Run(run) => run,
            other => panic!("`{line}` should be run, not {other:?}"),
        };
        let run = parsed_run(line);
        assert!(run.detach_on_exit && run.discard_flows && run.config.is_none());
        let flags = run.overrides();
        assert!(flags.log_drops && !parsed_run("xdplb run").overrides().log_drops);
        assert_eq!(flags.interfaces, ["eth0", "eth1"]);
        assert_eq!(flags.vips.len(), 2);
        assert_eq!(flags.backends[0].name, "a");
        assert_eq!(flags.backends[1].name, "10.0.0.2");
        assert_eq!((flags.mode, flags.xdp_mode), (Some(Mode::Nat), Some(XdpMode::Generic)));
    }

    #[test]
    fn drain_waits_not_for_ever_or_for_a_while() {
        let wait = |line| match parsed(line).command {
            Command::Backend(BackendCommand::Drain { wait, .. }) => wait,
            other => panic!("`{line}` should drain, not {other:?}"),
        };
        assert_eq!(wait("xdplb backend drain a"), None);
        assert_eq!(wait("xdplb backend drain a --wait"), Some(None));
        assert_eq!(wait("xdplb backend drain --wait a"), Some(None));
        assert_eq!(wait("xdplb backend drain a --wait=90s"), Some(Some(Duration::from_secs(90))));
    }

    #[test]
    fn the_filters_of_flows_stand_before_or_after_reset() {
        for line in [
            "xdplb flows --backend a --client 10.0.0.9 --snat 10.0.0.1:12345 reset",
            "xdplb flows reset --backend a --client 10.0.0.9 --snat 10.0.0.1:12345",
        ] {
            let Command::Flows(flows) = parsed(line).command else { panic!("`{line}` should be flows") };
            assert!(matches!(flows.command, Some(FlowsCommand::Reset)), "`{line}` should reset");
            assert_eq!(flows.filter.backend.as_deref(), Some("a"), "`{line}` should name the backend");
            assert!(flows.filter.client.is_some() && flows.filter.snat.is_some(), "`{line}` filters more");
        }
        let Command::Flows(flows) = parsed("xdplb flows --json --client 10.0.0.9").command else {
            panic!("this should be flows")
        };
        assert!(flows.json && flows.command.is_none() && flows.filter.client.is_some());
    }

    #[test]
    fn help_and_version_exit_0() {
        for line in ["xdplb --help", "xdplb -V", "xdplb backend drain --help", "xdplb flows reset -h"] {
            let told = parse(line).err().unwrap_or_else(|| panic!("`{line}` should print something"));
            assert_eq!(told.exit_code(), 0, "`{line}` is no error");
        }
        let help = parse("xdplb backend drain --help").err().map(|help| help.to_string()).unwrap_or_default();
        assert!(
            help.starts_with("give a backend no new connections"),
            "the command's own words come first: {help}"
        );
    }

    #[test]
    fn usage_errors_exit_2() {
        for line in [
            "xdplb",
            "xdplb backend",
            "xdplb fly",
            "xdplb run --mode dsr",
            "xdplb run --vip eth0",
            "xdplb run --backend a=b",
            "xdplb backend weight a 0",
            "xdplb backend weight a 256",
            "xdplb backend drain a --wait=soon",
            "xdplb flows --snat 10.0.0.1",
            "xdplb status --yaml",
            "xdplb decap --interface eth0 --vip 192.0.2.10 --gue-port 0",
            "xdplb decap --vip eth0",
            "xdplb decap --check --status",
            "xdplb decap --remove --vip 192.0.2.10",
            "xdplb decap --interface eth0 --vip 192.0.2.10 --json",
        ] {
            let error = parse(line).err().unwrap_or_else(|| panic!("`{line}` should be refused"));
            assert_eq!(error.exit_code(), 2, "`{line}` should be a usage error");
        }
    }
}
