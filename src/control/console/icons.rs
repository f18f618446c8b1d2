//! The few pictures of the console, drawn here so that they follow the colour of the text beside
//! them. They say nothing that a text does not say. Not here: where they stand.

use maud::{Markup, html};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Overview,
    Domains,
    Statistics,
    Connections,
    Usage,
    Health,
    Keys,
    Audit,
    Menu,
    Account,
}

impl Icon {
    /// Lines in a square of 20.
    fn path(self) -> &'static str {
        match self {
            Icon::Overview => "M3 3h6v7H3zM11 3h6v4h-6zM11 9h6v8h-6zM3 12h6v5H3z",
            Icon::Domains => {
                "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM3 10h14M10 3c-4 4-4 10 0 14c4-4 4-10 0-14"
            }
            Icon::Statistics => "M3 3v14h14M6 12l3-4 3 3 5-6",
            Icon::Connections => "M3 7h13M13 4l3 3-3 3M17 13H4M7 10l-3 3 3 3",
            Icon::Usage => "M5 2.5h10v15l-2.5-1.7-2.5 1.7-2.5-1.7L5 17.5zM8 7h4M8 10.5h4",
            Icon::Health => "M2.5 10.5H6l2-5 3.5 9 2-4h4",
            Icon::Keys => "M7 16.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM9.5 10.5l7-7M13.5 6.5L16 9",
            Icon::Audit => "M4 4h12M4 8h12M4 12h7M4 16h5M13 15l2 2 3-4",
            Icon::Menu => "M3 5h14M3 10h14M3 15h14",
            Icon::Account => "M10 10a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3.5 17c1-4 12-4 13 0",
        }
    }
}

pub fn icon(icon: Icon) -> Markup {
    html! {
        svg width="20" height="20" viewBox="0 0 20 20" fill="none" stroke="currentColor"
            stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
            path d=(icon.path());
        }
    }
}
