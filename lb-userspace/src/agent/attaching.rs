//! The program on the configured interfaces: in the driver where that works, else generic, and it is said which.

use std::collections::BTreeMap;

use super::{Agent, news::News};
use crate::{
    config::XdpMode,
    control::types::{EventKind, Status, XdpMode as Shown},
    kernel::{self, Attachment, pins},
    net::{self, XdpAdvice},
};

/// A program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The interface's name.
    pub name: String,
    /// How.
    pub how: Attachment,
    /// How the pinned link has it, where a former agent said so.
    pub pinned: Option<Attachment>,
    /// Whether it is attached by now.
    pub done: bool,
}

/// How the program is to be attached to each interface, as far as that is known before it is tried: as it is attached
/// already, or as the configuration and the driver suggest.
pub fn plan(agent: &Agent, former: Option<&Status>) -> BTreeMap<u32, Attached> {
    let wanted = agent.state.config().xdp_mode;
    let plan = |interface: &crate::config::InterfaceFacts| {
        let before = former
            .and_then(|status| status.interfaces.iter().find(|old| old.name == interface.name))
            .and_then(|old| attachment_of(old.xdp_mode));
        let how = chosen(wanted, before, interface.driver.as_deref());
        (interface.index, Attached { name: interface.name.clone(), how, pinned: before, done: false })
    };
    agent.state.resolved().interfaces.iter().map(plan).collect()
}

/// How a program is to be attached: as it is wanted, else as it is attached already, else as the driver suggests.
pub fn chosen(wanted: XdpMode, before: Option<Attachment>, driver: Option<&str>) -> Attachment {
    let advised = match net::xdp_advice(driver) {
        XdpAdvice::Generic(_) => Attachment::Generic,
        XdpAdvice::Native(_) | XdpAdvice::TryNative(_) => Attachment::Native,
    };
    match wanted {
        XdpMode::Native => Attachment::Native,
        XdpMode::Generic => Attachment::Generic,
        XdpMode::Auto => before.unwrap_or(advised),
    }
}

fn attachment_of(shown: Shown) -> Option<Attachment> {
    match shown {
        Shown::Native => Some(Attachment::Native),
        Shown::Generic => Some(Attachment::Generic),
        Shown::Detached => None,
    }
}

impl Agent {
    /// Attaches to every interface, and takes the program off those that are not configured any more.
    ///
    /// # Errors
    ///
    /// The first interface that refuses; in the mode `auto` only if it refuses generic XDP too.
    pub(super) fn attach_all(&mut self) -> Result<(), kernel::Error> {
        let wanted: Vec<u32> = self.attached.keys().copied().collect();
        for index in wanted {
            if !self.attached[&index].done {
                self.attach_one(index)?;
            }
        }
        for name in pins::linked_interfaces(self.pins.path()) {
            if !self.attached.values().any(|attached| attached.name == name) {
                match pins::remove_link(&self.pins.link(&name)) {
                    Ok(()) => {
                        self.events
                            .tell(News::info(EventKind::Attachment, format!("{name}: the program is off")));
                    }
                    Err(error) => {
                        let news =
                            News::warning(EventKind::Attachment, format!("{name}: the program stays on"));
                        self.events.tell(news.why(error.to_string()));
                    }
                }
            }
        }
        Ok(())
    }

    fn attach_one(&mut self, index: u32) -> Result<(), kernel::Error> {
        let Attached { name, mut how, pinned, .. } = self.attached[&index].clone();
        let program = self.applier.plane().forwarder()?;
        let mut attempt = match pinned {
            Some(old) if old != how => kernel::attach_anew(program, &self.pins, (&name, index), how),
            _ => kernel::attach(program, &self.pins, (&name, index), how),
        };
        if let Err(error) = &attempt
            && how == Attachment::Native
            && self.state.config().xdp_mode == XdpMode::Auto
        {
            let driver = self.driver_of(index);
            let words = format!("{name}: the driver {driver} takes no native XDP");
            let why = format!("{error}; generic XDP is used, which is slower");
            self.events.tell(News::warning(EventKind::Attachment, words).why(why));
            how = Attachment::Generic;
            let program = self.applier.plane().forwarder()?;
            attempt = kernel::attach_anew(program, &self.pins, (&name, index), how);
        }
        attempt?;
        let mode = shown_of(how).as_str();
        let news = News::info(EventKind::Attachment, format!("{name}: attached in {mode} mode"));
        let news = match net::xdp_advice(Some(&self.driver_of(index))) {
            XdpAdvice::Generic(reason) if how == Attachment::Generic => news.why(reason),
            _ => news,
        };
        self.events.tell(news.change(None, Some(mode)));
        self.attached.insert(index, Attached { name, how, pinned: Some(how), done: true });
        Ok(())
    }

    fn driver_of(&self, index: u32) -> String {
        let interfaces = &self.state.resolved().interfaces;
        let facts = interfaces.iter().find(|interface| interface.index == index);
        facts.and_then(|facts| facts.driver.clone()).unwrap_or_else(|| "(unknown)".into())
    }

    /// Attaches anew to interfaces that have come back under another number.
    pub(super) fn reattach(&mut self) {
        let lost: Vec<u32> = self
            .attached
            .iter()
            .filter(|(index, attached)| self.network.index_of(&attached.name) != Some(**index))
            .map(|(index, _)| *index)
            .collect();
        for index in lost {
            let Some(now) =
                self.attached.get(&index).and_then(|attached| self.network.index_of(&attached.name))
            else {
                continue;
            };
            if let Some(attached) = self.attached.remove(&index) {
                let words = format!("{}: it has come back as interface {now}", attached.name);
                self.events
                    .tell(News::warning(EventKind::Attachment, words).why("the program is attached anew"));
                self.attached.insert(now, Attached { done: false, ..attached });
            }
        }
        if self.attached.values().any(|attached| !attached.done)
            && let Err(error) = self.attach_all()
        {
            log::error!("{error}");
        }
        let attached: Vec<u32> = self.attached.keys().copied().collect();
        self.network.assign_links(&attached);
    }
}

/// How an attachment is called.
pub fn shown_of(how: Attachment) -> Shown {
    match how {
        Attachment::Native => Shown::Native,
        Attachment::Generic => Shown::Generic,
    }
}
