//! What Hawser counted against what its clients saw, domain by domain, when all are gone. Not here:
//! how either is read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Both sides of one domain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    pub domain: &'static str,
    pub clients: Counts,
    pub hawser: Counts,
    /// Tunnels that Hawser still counts as open.
    pub active: u64,
    /// Tunnels that it counted as ended, by cause.
    pub closed: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub opened: u64,
    /// Messages from clients, and to them. `None` where clients do not count: those that are cut
    /// off in the middle, or never read.
    pub from_clients: Option<u64>,
    pub to_clients: Option<u64>,
}

impl Account {
    /// Every difference, in words.
    pub fn differences(&self) -> Vec<String> {
        let domain = self.domain;
        let mut found = Vec::new();
        let mut compare = |what: &str, clients: Option<u64>, hawser: Option<u64>| {
            if let (Some(clients), Some(hawser)) = (clients, hawser)
                && clients != hawser
            {
                found.push(format!("{domain}: {what}: clients {clients}, Hawser {hawser}"));
            }
        };
        let (clients, hawser) = (self.clients, self.hawser);
        compare("tunnels opened", Some(clients.opened), Some(hawser.opened));
        compare("messages from clients", clients.from_clients, hawser.from_clients);
        compare("messages to clients", clients.to_clients, hawser.to_clients);
        if self.active != 0 {
            found.push(format!("{domain}: {} tunnels are open when all have ended", self.active));
        }
        let closed: u64 = self.closed.values().sum();
        if closed != hawser.opened {
            found.push(format!("{domain}: {} opened and {closed} ended", hawser.opened));
        }
        found
    }

    pub fn shown(&self) -> Value {
        json!({
            "domain": self.domain,
            "opened": [self.clients.opened, self.hawser.opened],
            "from_clients": [self.clients.from_clients, self.hawser.from_clients],
            "to_clients": [self.clients.to_clients, self.hawser.to_clients],
            "closed": self.closed,
            "active": self.active,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let counts = Counts { opened: 5, from_clients: Some(70), to_clients: Some(71) };
        let closed = |n| BTreeMap::from([("peer_close".to_owned(), n), ("drain".to_owned(), 2)]);
        let (domain, active) = ("a.test", 0);
        let even =
            || Account { domain, clients: counts, hawser: counts, active, closed: closed(3) };
        assert_eq!(even().differences(), Vec::<String>::new());
        let uncounted = Counts { from_clients: None, to_clients: None, ..counts };
        for (account, said) in [
            (Account { clients: uncounted, ..even() }, &[][..]),
            (
                Account { clients: Counts { opened: 6, ..counts }, ..even() },
                &["a.test: tunnels opened: clients 6, Hawser 5"],
            ),
            (
                Account { hawser: Counts { to_clients: Some(70), ..counts }, ..even() },
                &["a.test: messages to clients: clients 71, Hawser 70"],
            ),
            (
                Account { active: 1, closed: closed(2), ..even() },
                &["a.test: 1 tunnels are open when all have ended", "a.test: 5 opened and 4 ended"],
            ),
        ] {
            assert_eq!(account.differences(), said);
        }
    }
}
