//! The operations: which there are, who may call them and how often, and what they have in common.
//! One file for each section of DCDN's reference.

mod certificates;
mod configs;
mod domains;
pub mod functions;
mod names;
mod places;
mod requests;
mod service;
mod shares;
mod sm;
mod sources;
mod statistics;
mod tags;
mod usage;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Transaction;
use serde_json::Value;

use super::Dcdn;
use super::attributes::{self, Attributes, Turn};
use super::error::{self, Failure};
use super::request::Parameters;
use crate::control::changes::{
    Author, ChangeError, Order, Records, certificates as pairs, note_within,
};
use crate::control::config::edit;
use crate::control::edge::Edge;
use crate::control::keys::Role;

/// What an operation answers, an object without `RequestId`.
pub type Answer = Result<Value, Failure>;

/// One call of an operation.
pub struct Call<'a> {
    pub dcdn: &'a Arc<Dcdn>,
    pub parameters: &'a Parameters,
    pub author: &'a Author,
    pub action: &'static str,
    pub now: Timestamp,
    /// Of a call that changes something.
    pub turn: Option<Turn<'a>>,
}

/// Which rate an operation counts under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    Statistics,
    Domains,
    Lists,
    Deletions,
    Service,
}

pub struct Operation {
    pub name: &'static str,
    pub role: Role,
    pub rate: Rate,
    /// Whether its parameters must not be repeated in an error.
    pub carries_secrets: bool,
    pub run: for<'a> fn(&'a Call<'a>) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>>,
}

pub fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

macro_rules! operations {
    ($($name:literal: $role:ident, $rate:ident $(, $secrets:ident)? => $run:path;)+) => {
        static OPERATIONS: &[Operation] = &[$(Operation {
            name: $name,
            role: Role::$role,
            rate: Rate::$rate,
            carries_secrets: operations!(@ $($secrets)?),
            run: |call| Box::pin($run(call)),
        }),+];
    };
    (@) => { false };
    (@ secrets) => { true };
}

operations! {
    "DescribeDcdnDomainWebsocketTrafficData": Read, Statistics => statistics::traffic;
    "DescribeDcdnDomainWebsocketBpsData": Read, Statistics => statistics::bandwidth;
    "DescribeDcdnDomainWebsocketHttpCodeData": Read, Statistics => statistics::codes;

    "DescribeDcdnDomainBpsDataByLayer": Read, Statistics => statistics::bandwidth_by_layer;

    "BatchSetDcdnDomainConfigs": Operate, Domains => configs::batch_set;
    "DescribeDcdnDomainConfigs": Read, Domains => configs::describe;
    "BatchDeleteDcdnDomainConfigs": Operate, Domains => configs::batch_delete;
    "DeleteDcdnSpecificConfig": Operate, Domains => configs::delete_specific;
    "DescribeDcdnUserDomainsByFunc": Read, Lists => configs::domains_by_function;

    "AddDcdnDomain": Operate, Domains => domains::add;
    "UpdateDcdnDomain": Operate, Domains => domains::update;
    "StartDcdnDomain": Operate, Domains => domains::start;
    "StopDcdnDomain": Operate, Domains => domains::stop;
    "BatchStartDcdnDomain": Operate, Domains => domains::batch_start;
    "BatchStopDcdnDomain": Operate, Domains => domains::batch_stop;
    "DeleteDcdnDomain": Operate, Deletions => domains::delete;
    "ModifyDCdnDomainSchdmByProperty": Operate, Domains => domains::modify_property;
    "DescribeDcdnDomainDetail": Read, Domains => domains::detail;
    "DescribeDcdnUserDomains": Read, Lists => domains::list;
    "DescribeDcdnDomainCname": Read, Domains => domains::cname;
    "DescribeDcdnDomainsBySource": Read, Domains => domains::by_source;
    "DescribeDcdnTagResources": Read, Domains => tags::describe;
    "TagDcdnResources": Operate, Domains => tags::tag;
    "UntagDcdnResources": Operate, Domains => tags::untag;
    "DescribeDcdnUserTags": Read, Domains => tags::of_all;

    "SetDcdnDomainSSLCertificate": Operate, Domains, secrets => certificates::set;
    "SetDcdnDomainCertificate": Operate, Domains, secrets => certificates::set_old;
    "BatchSetDcdnDomainCertificate": Operate, Domains, secrets => certificates::batch_set;
    "CreateDcdnCertificateSigningRequest": Operate, Domains => requests::create;
    "SetDcdnDomainCSRCertificate": Operate, Domains, secrets => requests::set;
    "SetDcdnDomainSMCertificate": Operate, Domains => sm::set;
    "DescribeDcdnSMCertificateList": Read, Domains => sm::list;
    "DescribeDcdnSMCertificateDetail": Read, Domains => sm::detail;
    "DescribeDcdnDomainCertificateInfo": Read, Domains => certificates::info;
    "DescribeDcdnHttpsDomainList": Read, Lists => certificates::https_domains;
    "DescribeDcdnCertificateList": Read, Domains => certificates::list;
    "DescribeDcdnCertificateDetail": Read, Domains => certificates::detail;
    "DescribeDcdnUserCertificateExpireCount": Read, Domains => certificates::expire_count;

    "DescribeDcdnService": Read, Domains => service::describe;
    "OpenDcdnService": Admin, Service => service::open;
    "ModifyDcdnService": Admin, Service => service::modify;
    "DescribeUserDcdnStatus": Read, Domains => service::status;
    "DescribeDcdnUserQuota": Read, Domains => service::quota;
    "DescribeDcdnUserBillType": Read, Domains => usage::bill_types;
    "DescribeDcdnUserBillHistory": Read, Domains => usage::bill_history;
    "DescribeDcdnDomainUsageData": Read, Statistics => usage::usage;
    "DescribeDcdnDomainMultiUsageData": Read, Statistics => usage::multi_usage;
    "DescribeDcdnTopDomainsByFlow": Read, Statistics => shares::top_domains;
    "DescribeDcdnDomainRegionData": Read, Statistics => shares::regions;
    "DescribeDcdnDomainIspData": Read, Statistics => shares::isps;
    "DescribeDcdnRegionAndIsp": Read, Domains => places::describe;
    "DescribeDcdnIpInfo": Read, Domains => places::of_address;
}

impl Call<'_> {
    /// The attributes of domains that must all be there.
    async fn known_domains(
        &self,
        domains: &[Arc<str>],
    ) -> Result<BTreeMap<String, Attributes>, Failure> {
        let Dcdn { edge, book, .. } = &**self.dcdn;
        let loaded = edge.publisher.configured();
        let is_there = |name: &Arc<str>| {
            loaded.domains.binary_search_by(|config| config.name.cmp(name)).is_ok()
        };
        if !domains.iter().all(is_there) {
            return Err(error::DOMAIN_NOT_FOUND.into());
        }
        let mut all = match domains {
            [one] => book.read(edge, Some(one), self.turn.as_ref()).await?,
            _ => book.read(edge, None, self.turn.as_ref()).await?,
        };
        all.retain(|name, _| domains.iter().any(|domain| **domain == **name));
        Ok(all)
    }

    /// Changes the files of `domains` together, or none; `attributes` belong to it. What `edit`
    /// refuses is answered as it says.
    async fn change(
        &self,
        domains: &[Arc<str>],
        attributes: Write,
        edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, Failure> + Send,
    ) -> Result<(), Failure> {
        self.change_with(domains, None, attributes, edit).await
    }

    /// The same, and all of them get this certificate; the inner `None`: they lose theirs.
    async fn change_with(
        &self,
        domains: &[Arc<str>],
        certificate: Option<Option<(&[u8], &[u8])>>,
        attributes: Write,
        mut edit: impl FnMut(&str, Option<&str>) -> Result<Option<String>, Failure> + Send,
    ) -> Result<(), Failure> {
        let edge = &self.dcdn.edge;
        let order = Order {
            author: self.author,
            action: self.action,
            domains,
            expected: None,
            records: Some(undoable(domains, attributes)),
        };
        let mut refused = None;
        let edit = |name: &str, text: Option<&str>| {
            edit(name, text).map_err(|failure| {
                let said = failure.message.clone();
                refused = Some(failure);
                ChangeError::Refused(said)
            })
        };
        let applied = match certificate {
            None => edge.changes.apply(edge, order, edit).await,
            Some(pair) => pairs::apply(edge, order, pair, edit).await,
        };
        match (applied, refused) {
            (Ok(_), _) => Ok(()),
            (Err(_), Some(failure)) => Err(failure),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Writes what is about no file: with a line in the audit log.
    async fn note(&self, about: String, attributes: Write) -> Result<(), Failure> {
        let (author, action) = (self.author.clone(), self.action);
        let written = self.dcdn.edge.database.off_the_runtime(move |database| {
            database.write(|work| {
                attributes(work)?;
                note_within(work, &author, action, &about)
            })
        });
        written.await.map_err(|error: rusqlite::Error| Failure::internal(&error))
    }

    /// Asks statistics or the ledger; how many may ask at once is for them to say.
    async fn ask<T: Send + 'static, E: Into<Failure> + Send + 'static>(
        &self,
        question: impl FnOnce(&Edge) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure> {
        let edge = Arc::clone(&self.dcdn.edge);
        let answer = self.dcdn.edge.database.off_the_runtime(move |_| question(&edge)).await;
        answer.map_err(Into::into)
    }
}

/// Writes to the tables of DCDN.
type Write = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

/// Attributes of `domains` that are written with a change set, and gone with it.
fn undoable(domains: &[Arc<str>], write: Write) -> Records {
    let domains = domains.to_vec();
    Box::new(move |work| {
        let before = attributes::of(work, &domains)?;
        write(work)?;
        Ok(Box::new(move |work| attributes::put_back(work, &domains, &before)))
    })
}

/// `text` with a merge patch.
fn patched(text: &str, patch: &Value) -> Result<String, Failure> {
    edit::patched(text, patch).map_err(|error| Failure::bad("InvalidParameter", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::database::Database;

    #[test]
    fn attributes_outlived_an_addition_that_was_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::open(dir.path()).unwrap();
        let add = |work: &Transaction<'_>| {
            attributes::put_domain(work, "a.test", &Attributes::new(7))?;
            let tags = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
            attributes::put_tags(work, "a.test", &tags)
        };
        let names = ["a.test".into()];
        let known = |work: &Transaction<'_>| attributes::of(work, &names).map(|all| all.len());
        let steps = database.write(|work| -> rusqlite::Result<_> {
            let undo = undoable(&names, Box::new(add))(work)?;
            let added = known(work)?;
            undo(work)?;
            Ok((added, known(work)?))
        });
        assert_eq!(steps.unwrap(), (1, 0));
    }

    #[test]
    fn every_operation_is_there_once() {
        let mut names: Vec<&str> = OPERATIONS.iter().map(|operation| operation.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        // Whoever may only read changes nothing.
        for operation in OPERATIONS {
            let reads = operation.name.starts_with("Describe");
            assert_eq!(reads, operation.role == Role::Read, "{}", operation.name);
        }
        assert!(find("describeDcdnService").is_none(), "names are case-sensitive");
    }
}
