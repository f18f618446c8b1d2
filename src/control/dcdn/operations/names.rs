//! Names of domains as DCDN writes them: a wildcard is `.example.com` there and `*.example.com`
//! here.

use std::sync::Arc;

use super::super::error::{self, Failure};
use super::super::request::Parameters;
use crate::control::config::store::checked_name;
use crate::limits::{DCDN_BATCH_MAX, DCDN_LISTED_DOMAINS_MAX};

/// # Errors
/// `InvalidDomainName.Malformed`.
pub fn own(wire: &str) -> Result<Arc<str>, Failure> {
    let name = wire.trim().to_ascii_lowercase();
    let name = if name.starts_with('.') { format!("*{name}") } else { name };
    checked_name(&name).map_err(|_| error::DOMAIN_MALFORMED)?;
    Ok(name.into())
}

pub fn wire(own: &str) -> String {
    own.strip_prefix('*').unwrap_or(own).to_owned()
}

/// The domains that a call changes together, each once.
///
/// # Errors
/// None, too many, or a name that is none.
pub fn batch(parameters: &Parameters, name: &str) -> Result<Vec<Arc<str>>, Failure> {
    parameters.required(name)?;
    let domains = list(parameters, name)?;
    match domains.len() {
        0 => Err(Failure::missing(name)),
        1..=DCDN_BATCH_MAX => Ok(domains),
        _ => Err(error::DOMAINS_EXCEED.into()),
    }
}

/// The domains that a call asks about, each once; it may be none.
///
/// # Errors
/// Too many, or a name that is none.
pub fn list(parameters: &Parameters, name: &str) -> Result<Vec<Arc<str>>, Failure> {
    let listed = parameters.listed(name);
    if listed.len() > DCDN_LISTED_DOMAINS_MAX {
        return Err(error::DOMAINS_EXCEED.into());
    }
    let mut domains: Vec<Arc<str>> = Vec::new();
    for text in listed {
        let domain = own(text)?;
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    Ok(domains)
}

#[cfg(test)]
mod tests {
    use super::*;

    // DCDN OpenAPI 2018-01-15: a leading dot is a wildcard; at most 50 domains in a batch.
    #[test]
    fn names_and_batches() {
        assert_eq!(&*own(" A.Example.com ").unwrap(), "a.example.com");
        assert_eq!(&*own(".example.com").unwrap(), "*.example.com");
        assert_eq!(wire("*.example.com"), ".example.com");
        assert_eq!(wire("a.example.com"), "a.example.com");
        for wrong in ["", "..", "a/b", "../x", "a b.example.com"] {
            assert_eq!(own(wrong).unwrap_err().code, "InvalidDomainName.Malformed", "{wrong:?}");
        }
        let read = |count: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("d{n}.example.com")).collect();
            Parameters::read(&format!("DomainNames={}", names.join(",")), b"").unwrap()
        };
        assert_eq!(batch(&read(50), "DomainNames").unwrap().len(), 50);
        let error = batch(&read(51), "DomainNames").unwrap_err();
        assert_eq!(error.code, "InvalidDomainNames.Exceed");
        assert_eq!(batch(&read(0), "DomainNames").unwrap_err().code, "MissingDomainNames");
        let twice = Parameters::read("DomainNames=a.b.c,%20A.b.c,", b"").unwrap();
        assert_eq!(batch(&twice, "DomainNames").unwrap().len(), 1);
    }
}
