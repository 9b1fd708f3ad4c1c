//! What most stories begin with.

pub(crate) use lb_tests::setting::{API, KONNECTIVITY, MANY, Setting};
