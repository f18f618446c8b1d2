//! Functions of domains (DCDN OpenAPI 2018-01-15): set, listed, deleted, and the domains that have
//! one. What each means stands in `functions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::functions::{self, Arguments, FUNCTIONS, Function, Written};
use super::{Answer, Call, domains, names, sources};
use crate::control::dcdn::attributes::{self, Attributes, Configured};
use crate::control::dcdn::error::{self, Failure};

/// One entry of `Functions`.
struct Wanted {
    function: &'static Function,
    written: Written,
    config_id: Option<i64>,
}

pub async fn batch_set(call: &Call<'_>) -> Answer {
    let domains = names::batch(call.parameters, "DomainNames")?;
    let wanted = read(call.parameters.required("Functions")?)?;
    let known = call.known_domains(&domains).await?;
    for Wanted { function, config_id, .. } in &wanted {
        let Some(id) = config_id else { continue };
        let is_it = |attributes: &Attributes| {
            attributes.functions.get(function.name).is_some_and(|configured| configured.id == *id)
        };
        if !known.values().all(is_it) {
            return Err(error::CONFIG_NOT_FOUND.into());
        }
    }
    let mut plan = Plan::of(&known);
    for Wanted { function, written, .. } in &wanted {
        plan.set(function, written);
    }
    plan.carry_out(call, &domains).await?;
    let known = call.known_domains(&domains).await?;
    let mut list = Vec::new();
    for (domain, Wanted { function, .. }) in
        domains.iter().flat_map(|domain| wanted.iter().map(move |wanted| (domain, wanted)))
    {
        let configured = known.get(&**domain).and_then(|a| a.functions.get(function.name));
        list.push(json!({
            "ConfigId": configured.map_or(0, |configured| configured.id),
            "DomainName": names::wire(domain),
            "FunctionName": function.name,
        }));
    }
    Ok(json!({"DomainConfigList": {"DomainConfigModel": list}}))
}

pub async fn describe(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    let view = domains::one(call, &name).await?;
    let only = call.parameters.listed("FunctionNames");
    let id = call.parameters.text("ConfigId");
    let mut list = Vec::new();
    for function in FUNCTIONS {
        let Some(configured) = view.attributes.functions.get(function.name) else { continue };
        let wanted = (only.is_empty() || only.contains(&function.name))
            && id.is_none_or(|id| *id == configured.id.to_string());
        if !wanted {
            continue;
        }
        let arguments = functions::arguments(function, view.config(), configured);
        let arguments: Vec<Value> = arguments
            .into_iter()
            .map(|(name, value)| json!({"ArgName": name, "ArgValue": value}))
            .collect();
        list.push(json!({
            "ConfigId": configured.id.to_string(),
            "FunctionName": function.name,
            "Status": "success",
            "FunctionArgs": {"FunctionArg": arguments},
        }));
    }
    Ok(json!({"DomainConfigs": {"DomainConfig": list}}))
}

pub async fn batch_delete(call: &Call<'_>) -> Answer {
    let domains = names::batch(call.parameters, "DomainNames")?;
    call.parameters.required("FunctionNames")?;
    let found: Result<Vec<_>, _> =
        call.parameters.listed("FunctionNames").into_iter().map(functions::find).collect();
    let found = found?;
    let known = call.known_domains(&domains).await?;
    let mut plan = Plan::of(&known);
    for function in found {
        plan.clear(function);
    }
    plan.carry_out(call, &domains).await?;
    Ok(json!({}))
}

pub async fn delete_specific(call: &Call<'_>) -> Answer {
    let name = names::own(call.parameters.required("DomainName")?)?;
    call.parameters.required("ConfigId")?;
    let domains = [name];
    let known = call.known_domains(&domains).await?;
    let mut plan = Plan::of(&known);
    for id in call.parameters.listed("ConfigId") {
        let function = FUNCTIONS.iter().find(|function| {
            known.values().any(|attributes| {
                let configured = attributes.functions.get(function.name);
                configured.is_some_and(|configured| configured.id.to_string() == id)
            })
        });
        plan.clear(function.ok_or(error::CONFIG_NOT_FOUND)?);
    }
    plan.carry_out(call, &domains).await?;
    Ok(json!({}))
}

pub async fn domains_by_function(call: &Call<'_>) -> Answer {
    let id = call.parameters.required("FuncId")?;
    let id: u32 = id.parse().map_err(|_| Failure::unsupported("FuncId", "a whole number"))?;
    let filter = call.parameters.choice("FuncFilter", &["config", "unconfig"])?;
    let wants_configured = filter != Some("unconfig");
    let matching = call.parameters.choice("MatchType", &["exact_match", "fuzzy_match"])?;
    let page = call.parameters.page()?;
    let name = call.parameters.text("DomainName").map(str::to_ascii_lowercase);
    let group = call.parameters.text("ResourceGroupId");
    let function = FUNCTIONS.iter().find(|function| function.id == id);
    let mut found = domains::all(call).await?;
    found.retain(|view| {
        let configured =
            function.is_some_and(|function| view.attributes.functions.contains_key(function.name));
        let wire = names::wire(&view.config().name);
        configured == wants_configured
            && group.is_none_or(|group| *group == view.attributes.resource_group)
            && name.as_deref().is_none_or(|name| match matching {
                Some("fuzzy_match") => wire.contains(name),
                _ => wire == name,
            })
    });
    let total = found.len();
    let rows: Vec<Value> =
        page.of(found).iter().map(|view| view.row(call, "SslProtocol")).collect();
    Ok(json!({
        "PageNumber": page.number,
        "PageSize": page.size,
        "TotalCount": total,
        "Domains": {"PageData": rows},
    }))
}

// === The parameter `Functions` ===

fn read(text: &str) -> Result<Vec<Wanted>, Failure> {
    let list: Value = serde_json::from_str(text).map_err(|_| error::FUNCTIONS_MALFORMED)?;
    let list = list.as_array().filter(|list| !list.is_empty()).ok_or(error::FUNCTIONS_MALFORMED)?;
    let mut wanted: Vec<Wanted> = Vec::new();
    for entry in list {
        let name = field(entry, "functionName").and_then(Value::as_str);
        let function = functions::find(name.ok_or(error::FUNCTIONS_MALFORMED)?)?;
        if wanted.iter().any(|known| known.function.name == function.name) {
            return Err(error::FUNCTIONS_MALFORMED.into());
        }
        // Rules that functions are tied to are not there; `-1` takes such a tie away.
        let parent = field(entry, "parentId").and_then(text_of);
        if parent.is_some_and(|parent| !matches!(parent.as_str(), "" | "-1")) {
            let message = "ParentId is not supported: there are no conditions here.";
            return Err(Failure::bad("InvalidParentId.ValueNotSupported", message));
        }
        let config_id = match field(entry, "configId").and_then(text_of).as_deref() {
            None | Some("") => None,
            Some(id) => Some(id.parse().map_err(|_| error::FUNCTIONS_MALFORMED)?),
        };
        let arguments = arguments(field(entry, "functionArgs"))?;
        let written = functions::written(function, &arguments)?;
        wanted.push(Wanted { function, written, config_id });
    }
    Ok(wanted)
}

fn arguments(list: Option<&Value>) -> Result<Arguments, Failure> {
    let list = list.and_then(Value::as_array).ok_or(error::FUNCTIONS_MALFORMED)?;
    let read = |entry: &Value| {
        let name = field(entry, "argName")?.as_str()?.to_owned();
        Some((name, text_of(field(entry, "argValue")?)?))
    };
    let read: Option<Arguments> = list.iter().map(read).collect();
    read.ok_or_else(|| error::FUNCTIONS_MALFORMED.into())
}

/// By its name in any case: clients write `parentId` and `parentid`.
fn field<'a>(entry: &'a Value, name: &str) -> Option<&'a Value> {
    let (_, value) = entry.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    (!value.is_null()).then_some(value)
}

/// Texts; clients send some numbers as numbers.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

// === What becomes of each domain ===

/// Which functions each domain has, what its file is told, and what is noted with it.
struct Plan {
    /// By domain; the present functions of each, changed as the plan grows.
    functions: BTreeMap<String, Domain>,
    patch: Value,
    changed: Vec<(&'static Function, Option<Option<String>>)>,
}

struct Domain {
    functions: BTreeMap<String, Configured>,
    had_scheme: bool,
    wants_https: bool,
}

impl Plan {
    fn of(known: &BTreeMap<String, Attributes>) -> Plan {
        let functions = known.iter().map(|(name, attributes)| {
            let functions = attributes.functions.clone();
            let had_scheme = functions.values().any(|configured| configured.scheme.is_some());
            let wants_https = sources::are_https(&attributes.sources);
            (name.clone(), Domain { functions, had_scheme, wants_https })
        });
        Plan { functions: functions.collect(), patch: json!({}), changed: Vec::new() }
    }

    fn set(&mut self, function: &'static Function, written: &Written) {
        functions::merge(&mut self.patch, written.patch.clone());
        for domain in self.functions.values_mut() {
            let new = Configured { id: 0, scheme: written.scheme.clone() };
            domain.functions.insert(function.name.to_owned(), new);
        }
        self.changed.push((function, Some(written.scheme.clone())));
    }

    fn clear(&mut self, function: &'static Function) {
        functions::merge(&mut self.patch, functions::cleared(function));
        for domain in self.functions.values_mut() {
            domain.functions.remove(function.name);
        }
        self.changed.push((function, None));
    }

    /// The patch of one domain. The functions that ask for an origin protocol share one key: they
    /// must agree. When none asks any more, the ports of the origins decide again.
    fn patch(&self, name: &str) -> Result<Value, Failure> {
        let mut patch = self.patch.clone();
        let Some(domain) = self.functions.get(name) else { return Ok(patch) };
        let mut asked: Option<(&str, &str)> = None;
        for (function, configured) in &domain.functions {
            let Some(scheme) = &configured.scheme else { continue };
            match asked {
                Some((other, known)) if known != scheme => {
                    let message = format!(
                        "A domain has one origin protocol here: {other} asks for {known}, and \
                         {function} for {scheme}. Set both in one call, or delete one."
                    );
                    return Err(Failure::bad("InvalidOriginScheme.Conflict", message));
                }
                _ => asked = Some((function, scheme)),
            }
        }
        let scheme = match asked {
            Some((_, scheme)) => Value::from(scheme),
            None if domain.had_scheme && domain.wants_https => Value::from("https"),
            None if domain.had_scheme => Value::Null,
            None => return Ok(patch),
        };
        functions::merge(&mut patch, json!({"websocket": {"origin_scheme": scheme}}));
        Ok(patch)
    }

    async fn carry_out(self, call: &Call<'_>, domains: &[Arc<str>]) -> Result<(), Failure> {
        let mut patches = BTreeMap::new();
        for name in domains {
            patches.insert(name.to_string(), self.patch(name)?);
        }
        let names = domains.to_vec();
        let changed = self.changed;
        call.change(
            domains,
            Box::new(move |work| {
                for name in &names {
                    for (function, set) in &changed {
                        match set {
                            Some(scheme) => attributes::put_function(
                                work,
                                name,
                                function.name,
                                scheme.as_deref(),
                            )?,
                            None => attributes::remove_function(work, name, function.name)?,
                        }
                    }
                }
                Ok(())
            }),
            move |name, text| {
                let text = text.ok_or(error::DOMAIN_NOT_FOUND)?;
                let empty = json!({});
                Ok(Some(super::patched(text, patches.get(name).unwrap_or(&empty))?))
            },
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_read() {
        let text = r#"[{"functionName":"websocket","functionArgs":[
            {"argName":"enabled","argValue":"on"},{"argName":"heartbeat","argValue":60}],
            "configId":"5068995","parentid":"-1"}]"#;
        let wanted = read(text).unwrap();
        assert_eq!(wanted[0].config_id, Some(5_068_995));
        assert_eq!(wanted[0].written.patch["websocket"]["heartbeat"], 60);
        let as_number = text.replace("\"5068995\"", "5068995");
        assert_eq!(read(&as_number).unwrap()[0].config_id, Some(5_068_995));
        for (wrong, code) in [
            ("", "InvalidFunctions.Malformed"),
            ("{}", "InvalidFunctions.Malformed"),
            ("[]", "InvalidFunctions.Malformed"),
            (r#"[{"functionName":"websocket"}]"#, "InvalidFunctions.Malformed"),
            (r#"[{"functionArgs":[]}]"#, "InvalidFunctions.Malformed"),
            (
                r#"[{"functionName":"ipv6","functionArgs":[]}]"#,
                "InvalidFunctionName.ValueNotSupported",
            ),
            (&text.replace("-1", "12"), "InvalidParentId.ValueNotSupported"),
            (&text.replace("\"5068995\"", "\"x\""), "InvalidFunctions.Malformed"),
            (&text.replace("60", "[]"), "InvalidFunctions.Malformed"),
        ] {
            assert_eq!(read(wrong).err().unwrap().code, code, "{wrong}");
        }
    }

    fn attributes(functions: &[(&str, Option<&str>)]) -> BTreeMap<String, Attributes> {
        let functions = functions.iter().map(|(name, scheme)| {
            let scheme = scheme.map(str::to_owned);
            ((*name).to_owned(), Configured { id: 1, scheme })
        });
        let attributes = Attributes { functions: functions.collect(), ..Attributes::new(0) };
        BTreeMap::from([("a.b".to_owned(), attributes)])
    }

    fn asking(scheme: Option<&str>) -> Written {
        Written { patch: json!({}), scheme: scheme.map(str::to_owned) }
    }

    // DCDN OpenAPI 2018-01-15, `origin_scheme` that is not set: that of `dynamic`, else follow.
    #[test]
    fn functions_share_one_origin_protocol() {
        let websocket = functions::find("websocket").unwrap();
        let dynamic = functions::find("dynamic").unwrap();
        let scheme = |plan: &Plan| {
            plan.patch("a.b").map(|patch| patch["websocket"].get("origin_scheme").cloned())
        };
        let mut plan = Plan::of(&attributes(&[]));
        plan.set(websocket, &asking(None));
        assert_eq!(scheme(&plan), Ok(None), "what the file says is left alone");
        plan.set(dynamic, &asking(Some("http")));
        assert_eq!(scheme(&plan), Ok(Some(json!("http"))));

        let mut plan = Plan::of(&attributes(&[("dynamic", Some("http"))]));
        plan.set(websocket, &asking(Some("https")));
        assert_eq!(scheme(&plan).unwrap_err().code, "InvalidOriginScheme.Conflict");
        plan.set(dynamic, &asking(Some("https")));
        assert_eq!(scheme(&plan), Ok(Some(json!("https"))));

        let mut plan = Plan::of(&attributes(&[("dynamic", Some("http")), ("websocket", None)]));
        plan.clear(dynamic);
        assert_eq!(scheme(&plan), Ok(Some(Value::Null)));
        plan.set(websocket, &asking(Some("follow")));
        assert_eq!(scheme(&plan), Ok(Some(json!("follow"))));
    }
}
