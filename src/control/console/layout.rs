//! What every page has around it: head, navigation, who is signed in, light or dark. Not here: the
//! pages.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use maud::{DOCTYPE, Markup, html};

use super::icons::{Icon, icon};
use super::parts::{self, Tone};
use super::rest::Refusal;
use super::viewer::{Submitted, THEME_COOKIE, Theme, Viewer};
use super::{Console, ROOT, assets};
use crate::control::edge::Phase;
use crate::control::keys::Role;

/// The entries of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    Overview,
    Domains,
    Statistics,
    Connections,
    Usage,
    Health,
    Keys,
    Audit,
}

impl Section {
    const ALL: [Section; 8] = [
        Section::Overview,
        Section::Domains,
        Section::Statistics,
        Section::Connections,
        Section::Usage,
        Section::Health,
        Section::Keys,
        Section::Audit,
    ];

    /// Path below `/console`, text, picture, and the least role that may see it.
    fn facts(self) -> (&'static str, &'static str, Icon, Role) {
        match self {
            Section::Overview => ("/", "Overview", Icon::Overview, Role::Read),
            Section::Domains => ("/domains", "Domain names", Icon::Domains, Role::Read),
            Section::Statistics => ("/statistics", "Statistics", Icon::Statistics, Role::Read),
            Section::Connections => {
                ("/connections", "Live connections", Icon::Connections, Role::Read)
            }
            Section::Usage => ("/usage", "Usage and billing", Icon::Usage, Role::Read),
            Section::Health => ("/health", "Health", Icon::Health, Role::Read),
            Section::Keys => ("/keys", "Access keys", Icon::Keys, Role::Admin),
            Section::Audit => ("/audit", "Audit log", Icon::Audit, Role::Read),
        }
    }
}

/// A page, ready to be shown.
pub struct Page<'a> {
    pub section: Option<Section>,
    pub title: &'a str,
    /// Styles and ES modules of `assets/` of its own.
    pub files: &'a [&'a str],
    /// Whether it draws charts: uPlot comes along.
    pub charts: bool,
    pub body: Markup,
}

impl Page<'_> {
    pub fn show(self, console: &Console, viewer: &Viewer) -> Markup {
        let notice = console.sessions.take_notice(&viewer.token);
        let body = html! {
            a.skip href="#content" { "Skip to content" }
            div.shell {
                (bar(console, viewer))
                (side(viewer, self.section))
                main #content tabindex="-1" {
                    (warnings(console, viewer))
                    @if let Some(notice) = notice {
                        (parts::banner(Tone::Good, html! { (notice) }))
                    }
                    (self.body)
                }
            }
            div #toasts .toasts role="status" {}
        };
        let csrf = Some(viewer.session.csrf.as_str());
        Head { title: self.title, theme: viewer.theme, csrf, charts: self.charts }
            .around(self.files, body)
    }
}

/// The outermost part of a page, signed in or not.
pub struct Head<'a> {
    pub title: &'a str,
    pub theme: Theme,
    pub csrf: Option<&'a str>,
    pub charts: bool,
}

impl Head<'_> {
    pub fn around(self, files: &[&str], body: Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" data-theme=(self.theme.name()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content=(self.theme.schemes());
                    @if let Some(csrf) = self.csrf { meta name="csrf" content=(csrf); }
                    title { (self.title) " · Hawser" }
                    link rel="icon" type="image/svg+xml" href=(assets::url("icon.svg"));
                    @if self.charts {
                        link rel="stylesheet" href=(assets::url("vendor/uPlot.min.css"));
                        script defer src=(assets::url("vendor/uPlot.iife.min.js")) {}
                    }
                    link rel="stylesheet" href=(assets::url("console.css"));
                    script type="module" src=(assets::url("console.js")) {}
                    @for file in files {
                        @if file.ends_with(".css") {
                            link rel="stylesheet" href=(assets::url(file));
                        } @else {
                            script type="module" src=(assets::url(file)) {}
                        }
                    }
                }
                body { (body) }
            }
        }
    }
}

/// Over every page: how the node does, who is signed in, light or dark.
fn bar(console: &Console, viewer: &Viewer) -> Markup {
    let phase = console.edge.phase();
    let tone = match phase {
        Phase::Serving => Tone::Good,
        Phase::Starting | Phase::Draining => Tone::Notice,
    };
    html! {
        header.bar {
            button.quiet.icon-only.menu-button type="button" popovertarget="menu"
                aria-label="Menu" {
                (icon(Icon::Menu))
            }
            a.brand href={ (ROOT) "/" } {
                img src=(assets::url("icon.svg")) width="24" height="24" alt="";
                "Hawser"
            }
            span.state.(tone.class()) data-phase { (phase.name()) }
            span.push {}
            button.quiet.account type="button" popovertarget="account" {
                (icon(Icon::Account))
                span.name { (viewer.key().name) }
                span.unseen { ", account" }
            }
            (account(viewer))
        }
    }
}

fn account(viewer: &Viewer) -> Markup {
    let key = viewer.key();
    html! {
        div #account .sheet popover role="dialog" aria-label="Account" {
            div.who {
                span.line { strong { (key.name) } (parts::badge(Tone::Plain, key.role.name())) }
                span.soft.small { "Access key " code { (key.id) } }
            }
            (parts::form(viewer, "/theme", html! {
                fieldset.stack {
                    legend.soft.small { "Colours" }
                    div.segments {
                        @for theme in Theme::ALL {
                            @let pressed = if theme == viewer.theme { "true" } else { "false" };
                            button name="theme" value=(theme.name())
                                aria-pressed=(pressed) {
                                (theme.text())
                            }
                        }
                    }
                }
            }))
            (parts::form(viewer, "/sign-out", html! { button { "Sign out" } }))
        }
    }
}

/// Beside every page; where there is no room for it, behind the button of the bar.
fn side(viewer: &Viewer, current: Option<Section>) -> Markup {
    let sections = Section::ALL.into_iter().filter(|section| viewer.may(section.facts().3));
    html! {
        nav #menu .side popover aria-label="Main" {
            @for section in sections {
                @let (path, text, picture, _) = section.facts();
                a href={ (ROOT) (path) }
                    aria-current=[(Some(section) == current).then_some("page")] {
                    (icon(picture))
                    (text)
                }
            }
            p.version { "Hawser " (env!("CARGO_PKG_VERSION")) }
        }
    }
}

/// What whoever looks at any page should know first.
fn warnings(console: &Console, viewer: &Viewer) -> Markup {
    html! {
        @if console.edge.phase() == Phase::Draining {
            (parts::banner(Tone::Notice, html! {
                "This node is draining: it takes no new connection, and ends when the last one has "
                "ended or at the deadline."
            }))
        }
        @if !console.edge.plan_in_effect() {
            (parts::banner(Tone::Notice, html! {
                p {
                    "No billing plan is in effect, so WebSocket is off for every domain. "
                    @if viewer.may(Role::Admin) {
                        a href={ (ROOT) "/usage" } { "Choose a plan" }
                    } @else {
                        "An admin key can choose one."
                    }
                }
            }))
        }
    }
}

/// Why there is no page.
pub fn refused(console: &Console, viewer: &Viewer, refusal: &Refusal) -> Markup {
    let body = html! {
        (parts::heading(&refusal.title, "", html! {}))
        (parts::refusal(refusal, &[]))
        p { a href={ (ROOT) "/" } { "Go to the overview" } }
    };
    let page = Page { section: None, title: &refusal.title, files: &[], charts: false, body };
    page.show(console, viewer)
}

pub fn routes() -> Router<Console> {
    Router::new().route("/theme", post(set_theme)).route("/sign-out", post(sign_out))
}

async fn set_theme(headers: HeaderMap, form: Submitted) -> Response {
    let wanted = form.fields.text("theme");
    let theme = Theme::ALL.into_iter().find(|theme| theme.name() == wanted).unwrap_or_default();
    let year = 365 * 24 * 60 * 60;
    let cookie =
        format!("{THEME_COOKIE}={}; Path={ROOT}; Max-Age={year}; SameSite=Lax", theme.name());
    ([(header::SET_COOKIE, cookie)], back(&headers)).into_response()
}

/// To the page that the form stood on; the browser says which one that was.
fn back(headers: &HeaderMap) -> Redirect {
    let from = headers.get(header::REFERER).and_then(|from| from.to_str().ok());
    let path = from
        .and_then(|from| from.split_once("://"))
        .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
    Redirect::to(path.filter(|path| path.starts_with(ROOT)).unwrap_or("/console/"))
}

async fn sign_out(State(console): State<Console>, form: Submitted) -> Response {
    console.sessions.end(&form.viewer.token);
    let gone =
        format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax", crate::control::sessions::COOKIE);
    ([(header::SET_COOKIE, gone)], Redirect::to("/console/sign-in")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_leads_back_to_the_page_it_was_chosen_on() {
        let to = |referer: Option<&'static str>| {
            let from = referer.map(|from| (header::REFERER, from.parse().unwrap()));
            let back = back(&HeaderMap::from_iter(from)).into_response();
            back.headers()[header::LOCATION].to_str().unwrap().to_owned()
        };
        let page = "https://edge.test:9080/console/domains?search=a";
        assert_eq!(to(Some(page)), "/console/domains?search=a");
        for other in [None, Some("https://evil.test/"), Some("https://evil.test"), Some("x")] {
            assert_eq!(to(other), "/console/", "{other:?}");
        }
    }

    /// WCAG 2.2: relative luminance of `#rrggbb`.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    /// A custom property of the styles, light and dark.
    fn colours(name: &str) -> [&'static str; 2] {
        let css = include_str!("assets/console.css");
        let (_, rest) = css.split_once(&format!("--{name}: light-dark(")).expect(name);
        let (value, _) = rest.split_once(");").expect(name);
        let (light, dark) = value.split_once(", ").expect(name);
        [light, dark]
    }

    // WCAG 2.2, 1.4.3 (texts: 4.5) and 1.4.11 (borders of controls, lines of charts: 3).
    #[test]
    fn colours_stand_out_in_both_themes() {
        let grounds = ["page", "surface", "raised"];
        let mut pairs: Vec<(&str, &str, f64)> = vec![
            ("on-accent", "accent", 4.5),
            ("on-accent", "accent-strong", 4.5),
            ("on-bad", "bad", 4.5),
            ("accent", "accent-tint", 4.5),
            ("ok", "ok-tint", 4.5),
            ("notice", "notice-tint", 4.5),
            ("bad", "bad-tint", 4.5),
            ("ink", "ok-tint", 4.5),
            ("ink", "notice-tint", 4.5),
            ("ink", "bad-tint", 4.5),
        ];
        for ground in grounds {
            for text in ["ink", "soft", "accent", "accent-strong", "ok", "notice", "bad"] {
                pairs.push((text, ground, 4.5));
            }
            pairs.push(("edge", ground, 3.0));
        }
        let series = ["series-1", "series-2", "series-3", "series-4", "series-5", "series-6"];
        pairs.extend(series.map(|series| (series, "surface", 3.0)));
        for (front, ground, least) in pairs {
            for (front_colour, ground_colour) in colours(front).into_iter().zip(colours(ground)) {
                let [a, b] = [front_colour, ground_colour].map(|colour| luminance(colour) + 0.05);
                let contrast = if a > b { a / b } else { b / a };
                let of = format!("{front} {front_colour} on {ground} {ground_colour}");
                assert!(contrast >= least, "{of}: {contrast:.2}, needed {least}");
            }
        }
    }
}
