//! The check as operators meet it, by theme.

mod any_tls;
mod documents;
mod files;
mod messages;
mod ranges;
mod round_trip;
mod tls;

use super::{Problems, Text, from_texts};

/// Text of a domain that is fine.
const DOMAIN: &str = "name = \"a.example.com\"\n[[origin]]\naddress = \"10.0.0.1\"\n";

fn text(path: &str, text: &str) -> Text {
    Text { path: path.into(), text: text.to_owned() }
}

/// The problems of a `hawser.toml`.
fn server_problems(server: &str) -> Problems {
    from_texts(&text("hawser.toml", server), &[]).expect_err(server)
}

/// The problems of a domain file.
fn domain_problems(domain: &str) -> Problems {
    let domain = text("a.example.com.toml", domain);
    from_texts(&Text::default(), std::slice::from_ref(&domain)).expect_err(&domain.text)
}
