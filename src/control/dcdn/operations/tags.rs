//! Tags of domains (DCDN OpenAPI 2018-01-15).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::attributes;
use super::super::error::{self, Failure};
use super::super::request::Parameters;
use super::{Answer, Call, domains, names};
use crate::limits::{DCDN_BATCH_MAX, DCDN_TAG_CHARS_MAX, DCDN_TAGS_MAX};

/// The tags of a call, at most 20.
///
/// # Errors
/// `InvalidTag.Malformed`.
pub fn given(parameters: &Parameters) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for (key, value) in parameters.numbered_pairs("Tag") {
        let value = value.unwrap_or_default();
        let fits = |text: &str| text.chars().count() <= DCDN_TAG_CHARS_MAX;
        if key.is_empty() || !fits(key) || !fits(value) {
            return Err(error::TAG_MALFORMED.into());
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    match tags.len() {
        0..=DCDN_TAGS_MAX => Ok(tags),
        _ => Err(error::TAG_MALFORMED.into()),
    }
}

pub async fn describe(call: &Call<'_>) -> Answer {
    resource_type(call.parameters)?;
    let wanted = resources(call.parameters)?;
    let filter = call.parameters.numbered_pairs("Tag");
    let all = domains::all(call).await?;
    let found = all.iter().filter(|view| {
        let tags = &view.attributes.tags;
        let is_wanted = wanted.is_empty() || wanted.contains(&view.config().name);
        is_wanted
            && !tags.is_empty()
            && filter.iter().all(|(key, value)| {
                tags.get(*key).is_some_and(|found| value.is_none_or(|value| *value == **found))
            })
    });
    let resources: Vec<Value> = found
        .map(|view| {
            let tags: Vec<Value> = view
                .attributes
                .tags
                .iter()
                .map(|(key, value)| json!({"Key": key, "Value": value}))
                .collect();
            json!({"ResourceId": view.name(), "Tag": tags})
        })
        .collect();
    Ok(json!({"TagResources": resources}))
}

pub async fn tag(call: &Call<'_>) -> Answer {
    resource_type(call.parameters)?;
    let domains = required_resources(call.parameters)?;
    let tags = given(call.parameters)?;
    if tags.is_empty() {
        return Err(Failure::missing("Tag"));
    }
    for attributes in call.known_domains(&domains).await?.values() {
        let new = tags.keys().filter(|key| !attributes.tags.contains_key(*key)).count();
        if attributes.tags.len() + new > DCDN_TAGS_MAX {
            return Err(error::TAG_MALFORMED.into());
        }
    }
    let about = about(&domains);
    let put = move |work: &rusqlite::Transaction<'_>| {
        domains.iter().try_for_each(|domain| attributes::put_tags(work, domain, &tags))
    };
    call.note(about, Box::new(put)).await?;
    Ok(json!({}))
}

pub async fn untag(call: &Call<'_>) -> Answer {
    resource_type(call.parameters)?;
    let domains = required_resources(call.parameters)?;
    let keys: Vec<String> =
        call.parameters.numbered("TagKey").into_iter().map(str::to_owned).collect();
    let all = call.parameters.flag("All")?.unwrap_or(false);
    if keys.is_empty() && !all {
        return Err(Failure::missing("TagKey"));
    }
    call.known_domains(&domains).await?;
    let about = about(&domains);
    let remove = move |work: &rusqlite::Transaction<'_>| {
        let keys = (!keys.is_empty()).then_some(&keys[..]);
        domains.iter().try_for_each(|domain| attributes::remove_tags(work, domain, keys))
    };
    call.note(about, Box::new(remove)).await?;
    Ok(json!({}))
}

/// All tags of all domains, with their values.
pub async fn of_all(call: &Call<'_>) -> Answer {
    let mut tags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for view in domains::all(call).await? {
        for (key, value) in view.attributes.tags {
            tags.entry(key).or_default().insert(value);
        }
    }
    let tags: Vec<Value> =
        tags.into_iter().map(|(key, values)| json!({"Key": key, "Value": values})).collect();
    Ok(json!({"Tags": tags}))
}

fn resource_type(parameters: &Parameters) -> Result<(), Failure> {
    match parameters.required("ResourceType")? {
        "DOMAIN" => Ok(()),
        _ => Err(error::RESOURCE_TYPE.into()),
    }
}

fn resources(parameters: &Parameters) -> Result<Vec<Arc<str>>, Failure> {
    let listed = parameters.numbered("ResourceId");
    if listed.len() > DCDN_BATCH_MAX {
        return Err(error::DOMAINS_EXCEED.into());
    }
    let mut domains = Vec::new();
    for text in listed {
        let domain = names::own(text)?;
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    Ok(domains)
}

fn required_resources(parameters: &Parameters) -> Result<Vec<Arc<str>>, Failure> {
    let domains = resources(parameters)?;
    match domains.is_empty() {
        true => Err(Failure::missing("ResourceId")),
        false => Ok(domains),
    }
}

fn about(domains: &[Arc<str>]) -> String {
    format!("tags of {}", domains.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    // DCDN OpenAPI 2018-01-15: at most 20 tags.
    #[test]
    fn tags_are_bounded() {
        let read = |query: &str| given(&Parameters::read(query, b"").unwrap());
        let tags = read("Tag.1.Key=env&Tag.1.Value=x&Tag.2.Key=empty").unwrap();
        let expected = [("empty", ""), ("env", "x")];
        assert!(tags.iter().map(|(k, v)| (&**k, &**v)).eq(expected));
        let many: String = (1..=21).map(|n| format!("Tag.{n}.Key=k{n}&")).collect();
        let long = format!("Tag.1.Key={}", "k".repeat(DCDN_TAG_CHARS_MAX + 1));
        for wrong in [&*many, &long, "Tag.1.Value=x"] {
            assert_eq!(read(wrong).unwrap_err().code, "InvalidTag.Malformed");
        }
    }
}
