//! Whole systems in network namespaces: each story tells what a user relies on.
//!
//! Run them one at a time (`--test-threads=1`): they measure, and two cores are few.

mod agent_dies;
mod all_are_dead;
mod backends_change;
mod both_ends;
mod bulk;
mod controller_dies;
mod controller_side;
mod etcd_cluster;
mod every_way_in;
mod host_dies;
mod konnectivity;
mod long_connections;
mod many_at_once;
mod not_ready;
mod process_dies;
mod setting;
mod slow_start;
mod the_lab_itself;
mod uplink_dies;
mod web;
