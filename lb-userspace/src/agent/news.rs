//! What there is to say of a change, before it has a number and a time. Pure.

use crate::{
    config::{AdminState, Backend, Config, Family},
    control::types::{Event, EventKind, EventLevel, Timestamp},
};

/// A change that is about to become an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News(Event);

impl News {
    /// Good to know.
    pub fn info(kind: EventKind, message: impl Into<String>) -> Self {
        // Number and time come when it is told.
        Self(Event::new(0, Timestamp::new(std::time::UNIX_EPOCH), kind, message))
    }

    /// Somebody should look at it.
    pub fn warning(kind: EventKind, message: impl Into<String>) -> Self {
        Self::info(kind, message).warn()
    }

    /// The same in other words.
    #[must_use]
    pub fn message(self, message: impl Into<String>) -> Self {
        Self(Event { message: message.into(), ..self.0 })
    }

    /// The same, and somebody should look at it.
    #[must_use]
    pub fn warn(self) -> Self {
        Self(Event { level: EventLevel::Warning, ..self.0 })
    }

    /// About this service.
    #[must_use]
    pub fn service(self, name: &str) -> Self {
        Self(Event { service: Some(name.to_owned()), ..self.0 })
    }

    /// About this backend.
    #[must_use]
    pub fn backend(self, name: &str) -> Self {
        Self(Event { backend: Some(name.to_owned()), ..self.0 })
    }

    /// About the backend's address of this family.
    #[must_use]
    pub fn family(self, family: Family) -> Self {
        let word = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        Self(Event { family: Some(word.into()), ..self.0 })
    }

    /// From one word to another.
    #[must_use]
    pub fn change(self, from: Option<&str>, to: Option<&str>) -> Self {
        Self(Event { from: from.map(Into::into), to: to.map(Into::into), ..self.0 })
    }

    /// About so many.
    #[must_use]
    pub fn count(self, count: u64) -> Self {
        Self(Event { count: Some(count), ..self.0 })
    }

    /// Why, or what to do about it.
    #[must_use]
    pub fn why(self, why: impl Into<String>) -> Self {
        Self(Event { why: Some(why.into()), ..self.0 })
    }

    /// The event, now that it is told.
    pub fn into_event(self, sequence: u64, at: Timestamp) -> Event {
        let Event { unix_ms, .. } = Event::new(sequence, at, EventKind::Agent, "");
        Event { sequence, at, unix_ms, ..self.0 }
    }
}

/// What has become of the backends from one configuration to another, one piece of news for each change.
pub fn of_backends(before: &Config, now: &Config, why: &str) -> Vec<News> {
    let find = |config: &'_ Config, name: &str| {
        config.backend_index(name).map(|index| config.backends[index].value.clone())
    };
    let mut news = Vec::new();
    for gone in before.backends.iter().filter(|old| find(now, &old.name).is_none()) {
        news.push(
            News::info(EventKind::BackendRemoved, format!("{}: removed", gone.name)).backend(&gone.name),
        );
    }
    for backend in &now.backends {
        match find(before, &backend.name) {
            Some(old) if addresses(&old) == addresses(backend) => news.extend(of_backend(&old, backend)),
            old => {
                let was = old.map(|old| format!(", was {}", addresses(&old))).unwrap_or_default();
                let words = format!("{}: added with {}{was}", backend.name, addresses(backend));
                news.push(News::info(EventKind::BackendAdded, words).backend(&backend.name));
            }
        }
    }
    news.into_iter().map(|news| news.why(why)).collect()
}

/// What has become of one backend that kept its addresses.
fn of_backend(before: &Backend, now: &Backend) -> Vec<News> {
    let mut news = Vec::new();
    let mut add = |kind, from: &str, to: &str, words: String| {
        if from != to {
            news.push(News::info(kind, words).backend(&now.name).change(Some(from), Some(to)));
        }
    };
    let (from, to) = (admin(before.state), admin(now.state));
    add(EventKind::Admin, from, to, format!("{}: {to}, was {from}", now.name));
    let (from, to) = (before.weight.to_string(), now.weight.to_string());
    add(EventKind::Weight, &from, &to, format!("{}: weight {to}, was {from}", now.name));
    news
}

fn admin(state: AdminState) -> &'static str {
    match state {
        AdminState::Enabled => "enabled",
        AdminState::Draining => "draining",
        AdminState::Disabled => "disabled",
    }
}

fn addresses(backend: &Backend) -> String {
    let all: Vec<String> = backend.addresses.iter().map(|address| address.value.to_string()).collect();
    all.join(" and ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Overrides;

    fn config(backends: &str) -> Config {
        let text = format!("interfaces = [\"eth0\"]\n{backends}");
        Config::parse(Path::new("xdplb.toml"), &text, &Overrides::default()).expect("this should be right")
    }

    #[test]
    fn each_change_of_a_backend_is_one_piece_of_news() {
        let before = config(
            "[[backends]]\nname = \"a\"\naddress = \"10.0.0.1\"\n[[backends]]\nname = \"b\"\naddress = \"10.0.0.2\"\n\
             [[backends]]\nname = \"c\"\naddress = \"10.0.0.3\"\n",
        );
        let now = config(
            "[[backends]]\nname = \"a\"\naddress = \"10.0.0.1\"\nweight = 3\nstate = \"draining\"\n\
             [[backends]]\nname = \"c\"\naddress = \"10.0.0.4\"\n[[backends]]\nname = \"d\"\naddress = \"10.0.0.5\"\n",
        );
        assert_eq!(of_backends(&before, &before, "by a command"), [], "nothing has changed");
        let lines: Vec<String> = of_backends(&before, &now, "by a command")
            .into_iter()
            .map(|news| news.into_event(1, Timestamp::new(std::time::UNIX_EPOCH)))
            .map(|event| format!("{}: {event}", event.kind))
            .collect();
        assert_eq!(
            lines,
            [
                "backend-removed: b: removed (by a command)",
                "admin: a: draining, was enabled (by a command)",
                "weight: a: weight 3, was 1 (by a command)",
                "backend-added: c: added with 10.0.0.4, was 10.0.0.3 (by a command)",
                "backend-added: d: added with 10.0.0.5 (by a command)",
            ]
        );
    }
}
