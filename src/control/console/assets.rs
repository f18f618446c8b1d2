//! The files of the console: styles, ES modules, uPlot. They are in the binary, compressed once,
//! and may be kept by browsers for ever: their folder is named after what they hold.
//!
//! Pages are not compressed: they hold a secret beside what a visitor can choose (BREACH).

use std::io::Write;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Console, ROOT};

struct File {
    name: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(File { name: $name, bytes: include_bytes!(concat!("assets/", $name)) }),*]
    };
}

const FILES: &[File] = files![
    "console.css",
    "connections.css",
    "connections.js",
    "console.js",
    "dialog.js",
    "domains.css",
    "domains.js",
    "icon.svg",
    "live.js",
    "overview.css",
    "overview.js",
    "rest.js",
    "chart.js",
    "statistics.css",
    "statistics.js",
    "units.js",
    "usage.css",
    "usage.js",
    "vendor/uPlot.iife.min.js",
    "vendor/uPlot.min.css",
    "vendor/LICENSE.uPlot",
];

struct Packed {
    name: &'static str,
    plain: &'static [u8],
    gzip: Vec<u8>,
}

struct Folder {
    hash: String,
    files: Vec<Packed>,
}

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let mut all = digest::Context::new(&digest::SHA256);
    for file in FILES {
        all.update(file.name.as_bytes());
        all.update(file.bytes);
    }
    let hash = all.finish();
    let hash = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let packed =
        |file: &File| Packed { name: file.name, plain: file.bytes, gzip: gzip(file.bytes) };
    Folder { hash, files: FILES.iter().map(packed).collect() }
});

/// Where a file of the console is. Modules import each other by `./name.js`.
pub fn url(name: &str) -> String {
    debug_assert!(FILES.iter().any(|file| file.name == name), "{name}");
    format!("{ROOT}/assets/{}/{name}", FOLDER.hash)
}

pub fn routes() -> Router<Console> {
    Router::new().route("/assets/{folder}/{*name}", get(file))
}

async fn file(Path((folder, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let found = FOLDER.files.iter().find(|file| file.name == name);
    let Some(file) = found.filter(|_| folder == FOLDER.hash) else {
        return (StatusCode::NOT_FOUND, "404: no such file\n").into_response();
    };
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let gzip = accepted.is_some_and(takes_gzip);
    let body: &'static [u8] = if gzip { &file.gzip } else { file.plain };
    let mut response = ([(header::CONTENT_TYPE, kind(file.name))], body).into_response();
    let headers = response.headers_mut();
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, kept);
    response
}

/// RFC 9110 12.5.3, as far as browsers use it.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |q: &str| q.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(refused)
    })
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail; a file that is packed to nothing would show in the test.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn files_are_packed_whole() {
        for file in &FOLDER.files {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&*file.gzip).read_to_end(&mut text).unwrap();
            assert!(text == file.plain && !text.is_empty(), "{}", file.name);
        }
    }

    // RFC 9110 12.5.3.
    #[test]
    fn who_takes_gzip() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("br", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(accepted), takes, "{accepted}");
        }
    }

    #[test]
    fn what_comes_from_others_is_what_they_published() {
        // uPlot 1.6.32 as the npm registry has it.
        for (name, hash) in [
            (
                "vendor/uPlot.iife.min.js",
                "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
            ),
            (
                "vendor/uPlot.min.css",
                "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
            ),
        ] {
            let file = FILES.iter().find(|file| file.name == name).unwrap();
            let seen = digest::digest(&digest::SHA256, file.bytes);
            let seen: String = seen.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(seen, hash, "{name}");
        }
    }
}
