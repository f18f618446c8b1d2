//! Origins with their health, and certificates with their ends: what needs somebody first, all on
//! demand.

use maud::{Markup, html};
use serde::Deserialize;

use super::super::ROOT;
use super::super::parts::{self, Column, Tone};
use super::super::rest::{Refusal, part};
use super::super::units;
use super::super::viewer::Viewer;
use super::answers::{Certificate, Endpoint, Part, Status};

/// Two months of Let's Encrypt are left when it renews, one when somebody should look.
const DAYS_SOON: i64 = 30;
/// Two working weeks are little for a certificate that people order.
const DAYS_URGENT: i64 = 14;

/// What is shown of the lists; nothing: what needs somebody.
#[derive(Debug, Default, Deserialize)]
pub struct Asked {
    #[serde(default)]
    origins: Extent,
    #[serde(default)]
    certificates: Extent,
    /// Where the part of a whole list begins.
    origins_after: Option<String>,
    certificates_after: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Extent {
    #[default]
    Few,
    All,
}

impl Asked {
    fn path(&self, origins: Extent, certificates: Extent) -> String {
        let mut query = Vec::new();
        if origins == Extent::All {
            query.push("origins=all");
        }
        if certificates == Extent::All {
            query.push("certificates=all");
        }
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/health{mark}{}", query.join("&"))
    }
}

// === Origins ===

pub async fn origins(viewer: &Viewer, asked: &Asked) -> Result<Markup, Refusal> {
    let mut path = match asked.origins {
        Extent::Few => "/origins?up=false".to_owned(),
        Extent::All => "/origins?".to_owned(),
    };
    if let Some(after) = &asked.origins_after {
        path += &format!("&after={}", part(after));
    }
    let found: Part<Endpoint> = viewer.rest.read(&path).await?;
    let few = asked.path(Extent::Few, asked.certificates);
    let all = asked.path(Extent::All, asked.certificates);
    let current = if asked.origins == Extent::All { &all } else { &few };
    let extent = parts::segments("Which origins", &[("Down", &few), ("All", &all)], current);
    let body = html! {
        @if found.items.is_empty() {
            @if asked.origins == Extent::Few {
                (parts::empty("Every origin is up", html! {
                    p { "Addresses that refuse connections stand here, and get no new ones." }
                }))
            } @else {
                (parts::empty("No origins", html! {
                    p {
                        "Origins come with domains: "
                        a href={ (ROOT) "/domains" } { "Domain names" }
                    }
                }))
            }
        } @else {
            (table_of_origins(&found.items))
            (more(current, "origins_after", found.next.as_deref()))
        }
    };
    Ok(parts::card_with("Origins", extent, body))
}

fn table_of_origins(items: &[Endpoint]) -> Markup {
    let columns = [
        Column::Text("Domain"),
        Column::Text("Origin"),
        Column::Text("Address"),
        Column::Text("Protocol"),
        Column::Text("Health"),
        Column::Number("Connections"),
    ];
    let rows = html! {
        @for one in items {
            tr {
                th scope="row" { (owner(&one.domain)) }
                td { (one.origin) }
                td.mono { (one.address) }
                td { @if one.tls { "HTTPS" } @else { "HTTP" } }
                td {
                    @if one.up { (parts::badge(Tone::Good, "Up")) }
                    @else { (parts::badge(Tone::Bad, "Down")) }
                }
                td.num { (units::count(one.connections)) }
            }
        }
    };
    parts::table_of("Origins with their health", &columns, rows)
}

// === Certificates ===

pub async fn certificates(
    viewer: &Viewer,
    asked: &Asked,
    status: &Status,
) -> Result<Markup, Refusal> {
    let mut path = match asked.certificates {
        Extent::Few => format!("/certificates?ends_within_days={DAYS_SOON}"),
        Extent::All => "/certificates?".to_owned(),
    };
    if let Some(after) = &asked.certificates_after {
        path += &format!("&after={}", part(after));
    }
    let found: Part<Certificate> = viewer.rest.read(&path).await?;
    let few = asked.path(asked.origins, Extent::Few);
    let all = asked.path(asked.origins, Extent::All);
    let current = if asked.certificates == Extent::All { &all } else { &few };
    let entries = [("Ending soon", &*few), ("All", &*all)];
    let extent = parts::segments("Which certificates", &entries, current);
    let body = html! {
        @if found.items.is_empty() {
            @if asked.certificates == Extent::Few {
                (parts::empty(&format!("None ends within {DAYS_SOON} days"), html! {}))
            } @else {
                (parts::empty("No certificates", html! {
                    p { "A domain gets one on its page, below Certificates." }
                }))
            }
        } @else {
            (table_of_certificates(&found.items, status))
            (more(current, "certificates_after", found.next.as_deref()))
        }
    };
    Ok(parts::card_with("Certificates", extent, body))
}

fn table_of_certificates(items: &[Certificate], status: &Status) -> Markup {
    let columns = [
        Column::Text("Domain"),
        Column::Text("Ends"),
        Column::Text("In"),
        Column::Text("Names"),
        Column::Text("Issuer"),
        Column::Text("Source"),
        Column::Text("Key"),
    ];
    let rows = html! {
        @for one in items {
            tr {
                th scope="row" { (owner(&one.domain)) }
                td { (status.time(&one.not_after)) }
                td { (left(one.days_left)) }
                td { (one.names.join(", ")) }
                td { (one.issuer) }
                td { (one.source) }
                td { (one.kind) }
            }
        }
    };
    parts::table_of("Certificates with their ends", &columns, rows)
}

fn owner(domain: &str) -> Markup {
    html! {
        @match domain {
            "*" => "for unknown names",
            "[admin]" => "the admin listener",
            name => a href={ (ROOT) "/domains/" (part(name)) } { (name) },
        }
    }
}

fn left(days: i64) -> Markup {
    let tone = match days {
        i64::MIN..DAYS_URGENT => Tone::Bad,
        DAYS_URGENT..=DAYS_SOON => Tone::Notice,
        _ => Tone::Plain,
    };
    match days {
        ..0 => parts::badge(Tone::Bad, "Ended"),
        0 => parts::badge(Tone::Bad, "Less than a day"),
        1 => parts::badge(Tone::Bad, "1 day"),
        _ => parts::badge(tone, &format!("{days} days")),
    }
}

/// To the next part of a list.
fn more(path: &str, name: &str, next: Option<&str>) -> Markup {
    let mark = if path.contains('?') { '&' } else { '?' };
    html! {
        @if let Some(next) = next {
            (parts::pager("", None, Some(&format!("{ROOT}{path}{mark}{name}={}", part(next)))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_end_soon_stand_out() {
        for (days, class, words) in [
            (-1, "bad", "Ended"),
            (0, "bad", "Less than a day"),
            (1, "bad", "1 day"),
            (13, "bad", "13 days"),
            (14, "notice", "14 days"),
            (30, "notice", "30 days"),
            (31, "plain", "31 days"),
        ] {
            let shown = left(days).into_string();
            assert!(shown.contains(class) && shown.contains(words), "{days}: {shown}");
        }
    }

    #[test]
    fn one_list_keeps_its_extent_when_the_other_changes() {
        let asked = Asked::default();
        assert_eq!(asked.path(Extent::Few, Extent::Few), "/health");
        assert_eq!(asked.path(Extent::All, Extent::Few), "/health?origins=all");
        assert_eq!(asked.path(Extent::All, Extent::All), "/health?origins=all&certificates=all");
    }
}
