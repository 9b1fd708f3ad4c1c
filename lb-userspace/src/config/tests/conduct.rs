//! What is said of backends that come, leave and fail.

use std::time::Duration;

use super::super::WhenDown;
use super::bad_input::{all_refused, below, top};
use super::{SHORT, right};

const SERVICES: &str = r#"
[[services]]
name = "hashed"
port = 6443

[[services]]
name = "in-turn"
port = 8132
policy = "spread"
"#;

/// Slow start, fail open and when down of each service.
fn conduct(text: &str) -> Vec<(u64, bool, WhenDown)> {
    let of = |service: &super::super::Located<super::super::Service>| {
        (service.slow_start.as_secs(), service.fail_open, service.when_down)
    };
    right(text).services.iter().map(of).collect()
}

#[test]
fn services_have_what_the_top_says_and_spread_starts_at_once() {
    use WhenDown::{Keep, Reset};
    let [usual, at_once] = [(30, true, Reset), (0, true, Reset)];
    assert_eq!(
        conduct(SHORT),
        [usual, at_once, usual, usual],
        "the four of k0s, where nobody says otherwise"
    );
    let said = "slow_start = \"2m\"\nfail_open = false\nwhen_down = \"keep\"\n";
    let [said_usual, said_at_once] = [(120, false, Keep), (0, false, Keep)];
    let defaults = conduct(&format!("{said}{SHORT}"));
    assert_eq!(
        defaults,
        [said_usual, said_at_once, said_usual, said_usual],
        "the four of k0s, as the top says"
    );
    assert_eq!(conduct(&format!("{said}{SHORT}{SERVICES}")), [said_usual, said_at_once], "own services");
}

#[test]
fn a_service_may_say_otherwise() {
    let own = "slow_start = \"5s\"\nfail_open = false\nwhen_down = \"keep\"\n";
    let all = conduct(&format!("{SHORT}{SERVICES}{own}"));
    assert_eq!(all, [(30, true, WhenDown::Reset), (5, false, WhenDown::Keep)], "also one that spreads");
    let off = conduct(&format!("{SHORT}[[services]]\nname = \"api\"\nport = 6443\nslow_start = \"0s\"\n"));
    assert_eq!(off, [(0, true, WhenDown::Reset)], "nothing is a duration too");
}

#[test]
fn drains_end_by_themselves_unless_somebody_says() {
    assert_eq!(right(SHORT).drain_timeout, None);
    let said = right(&format!("drain_timeout = \"90m\"\n{SHORT}"));
    assert_eq!(said.drain_timeout, Some(Duration::from_secs(5400)));
}

#[test]
fn what_is_not_possible_is_told_where_it_stands() {
    let service = |line: &str| below(&format!("[[services]]\nname = \"api\"\nport = 6443\n{line}"));
    all_refused(&[
        (
            top("slow_start = \"2h\""),
            r#"xdplb.toml:2:14: slow_start = "2h" is not possible; give a duration from 0s to 1h, such as "30s""#,
        ),
        (
            service("slow_start = \"soon\""),
            r#"xdplb.toml:9:14: slow_start = "soon" is not possible; give a duration from 0s to 1h, such as "30s""#,
        ),
        (
            top("slow_start = 30"),
            r#"xdplb.toml:2:14: invalid type: integer `30`; slow_start takes a duration from 0s to 1h, such as "30s""#,
        ),
        (
            top("drain_timeout = \"0s\""),
            r#"xdplb.toml:2:17: drain_timeout = "0s" is not possible; give a duration from 1s to 30days, such as "1h""#,
        ),
        (
            top("drain_timeout = false"),
            r#"xdplb.toml:2:17: invalid type: boolean `false`; drain_timeout takes a duration from 1s to 30days, such as "1h""#,
        ),
        (
            top("fail_open = \"no\""),
            r#"xdplb.toml:2:13: invalid type: string "no"; fail_open takes true or false"#,
        ),
        (
            service("fail_open = 0"),
            r"xdplb.toml:9:13: invalid type: integer `0`; fail_open takes true or false",
        ),
        (
            top("when_down = \"close\""),
            r#"xdplb.toml:2:13: when_down = "close" is not possible; give one of reset, keep"#,
        ),
        (
            service("when_down = true"),
            r#"xdplb.toml:9:13: invalid type: boolean `true`; when_down takes "reset" or "keep""#,
        ),
    ]);
}
