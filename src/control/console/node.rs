//! What pages need to know of the node. Not here: what it does (`health`, `overview`).

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::rest::Refusal;
use super::units;
use super::viewer::Viewer;

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Node {
    pub utc_offset_s: i32,
}

impl Node {
    pub async fn read(viewer: &Viewer) -> Result<Node, Refusal> {
        viewer.rest.read("/status").await
    }

    /// RFC 3339 as people here read it.
    pub fn time(self, text: &str) -> Markup {
        match text.parse::<Timestamp>() {
            Ok(at) => html! {
                time datetime=(text) { (units::time(at.as_second(), self.utc_offset_s)) }
            },
            Err(_) => html! { (text) },
        }
    }
}
