//! What every page has around it: head, navigation, who is signed in, light or dark. Not here: the
//! pages.

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use maud::{DOCTYPE, Markup, html};

use super::parts::{self, Tone};
use super::rest::Refusal;
use super::viewer::{Submitted, THEME_COOKIE, Theme, Viewer};
use super::{Console, ROOT, assets};
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
}

impl Section {
    const ALL: [Section; 7] = [
        Section::Overview,
        Section::Domains,
        Section::Statistics,
        Section::Connections,
        Section::Usage,
        Section::Health,
        Section::Keys,
    ];

    /// Path below `/console`, text, and the least role that may see it.
    fn facts(self) -> (&'static str, &'static str, Role) {
        match self {
            Section::Overview => ("/", "Overview", Role::Read),
            Section::Domains => ("/domains", "Domain names", Role::Read),
            Section::Statistics => ("/statistics", "Statistics", Role::Read),
            Section::Connections => ("/connections", "Live connections", Role::Read),
            Section::Usage => ("/usage", "Usage and billing", Role::Read),
            Section::Health => ("/health", "Health", Role::Read),
            Section::Keys => ("/keys", "Access keys", Role::Admin),
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
            (top(viewer, self.section))
            main #content tabindex="-1" {
                @if let Some(notice) = notice { (parts::banner(Tone::Good, html! { (notice) })) }
                (self.body)
            }
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
                    meta name="color-scheme" content="light dark";
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

fn top(viewer: &Viewer, current: Option<Section>) -> Markup {
    let sections = Section::ALL.into_iter().filter(|section| viewer.may(section.facts().2));
    html! {
        header.top {
            a.brand href={ (ROOT) "/" } { "Hawser" }
            nav aria-label="Main" {
                @for section in sections {
                    @let (path, text, _) = section.facts();
                    a href={ (ROOT) (path) } aria-current=[(Some(section) == current).then_some("page")] {
                        (text)
                    }
                }
            }
            div.who {
                (themes(viewer))
                span title={ "Key " (viewer.key().id) } { (viewer.key().name) }
                (parts::badge(Tone::Plain, viewer.key().role.name()))
                (parts::form(viewer, "/sign-out", html! { button.quiet { "Sign out" } }))
            }
        }
    }
}

fn themes(viewer: &Viewer) -> Markup {
    parts::form(
        viewer,
        "/theme",
        html! {
            label.unseen for="theme" { "Colours" }
            select #theme name="theme" data-send-on-change {
                @for theme in Theme::ALL {
                    option value=(theme.name()) selected[theme == viewer.theme] { (theme.name()) }
                }
            }
            noscript { button { "Set" } }
        },
    )
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
