//! Which number the prober knows each probe by. Pure.
//!
//! Results wait in a channel, and the configuration may change meanwhile. So a probe keeps its number for as long as it is
//! wanted, and no number is given twice: a late answer belongs to whom it was asked of, or to nobody.

use std::collections::BTreeMap;

use super::machines::Probed;
use crate::health::TargetId;

/// The probes that run.
#[derive(Debug, Default)]
pub struct Targets {
    probed: BTreeMap<TargetId, Probed>,
    numbers: BTreeMap<Probed, TargetId>,
    /// How many numbers have been given.
    given: u64,
}

impl Targets {
    /// Makes the probes exactly these.
    pub fn replace(&mut self, wanted: impl Iterator<Item = Probed>) {
        let former = std::mem::take(&mut self.numbers);
        for probed in wanted {
            let number = former.get(&probed).copied().unwrap_or_else(|| {
                self.given += 1;
                TargetId(self.given)
            });
            self.numbers.insert(probed, number);
        }
        self.probed = self.numbers.iter().map(|(probed, number)| (*number, probed.clone())).collect();
    }

    /// What has this number.
    pub fn get(&self, number: TargetId) -> Option<&Probed> {
        self.probed.get(&number)
    }

    /// The number of a probe that runs.
    pub fn number_of(&self, probed: &Probed) -> Option<TargetId> {
        self.numbers.get(probed).copied()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&TargetId, &Probed)> {
        self.probed.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Family;

    fn probed(service: &str, backend: u16) -> Probed {
        Probed { service: service.into(), backend, family: Family::V4 }
    }

    #[test]
    fn a_number_stays_with_its_probe_and_is_never_given_again() {
        let mut targets = Targets::default();
        let (api, join, etcd) = (probed("api", 1), probed("join", 1), probed("etcd", 1));
        targets.replace([api.clone(), join.clone()].into_iter());
        let numbers = [&api, &join].map(|probed| targets.number_of(probed).expect("it runs"));
        assert_ne!(numbers[0], numbers[1], "each has one of its own");

        targets.replace([join.clone(), etcd.clone(), api.clone()].into_iter());
        let after = [&api, &join].map(|probed| targets.number_of(probed).expect("it runs"));
        assert_eq!(after, numbers, "another order is no change");

        targets.replace([join.clone(), etcd].into_iter());
        assert_eq!(targets.get(numbers[0]), None, "an answer that is late belongs to nobody");
        targets.replace([join, api.clone()].into_iter());
        let again = targets.number_of(&api).expect("it runs");
        assert!(again != numbers[0] && targets.get(again) == Some(&api), "it is another probe by now");
        assert_eq!(targets.iter().count(), 2);
    }
}
