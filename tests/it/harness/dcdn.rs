//! A client of the DCDN wire API that signs as the specification says, written without a look at
//! how the edge verifies. Every part of a call can be chosen, also wrongly.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::api::{Answer, Request};
use super::{Api, Clock, Edge};

/// RFC 3986 2.3: what stays as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const VERSION: &str = "2018-01-15";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RPC with HMAC-SHA1.
    V1,
    /// ACS3-HMAC-SHA256.
    V3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Get,
    /// Everything in the query, no body: what most SDKs do.
    PostQuery,
    /// What is the operation's stands in a form body; for V1 everything does.
    PostForm,
}

pub const SCHEMES: [Scheme; 2] = [Scheme::V1, Scheme::V3];
pub const WAYS: [Way; 3] = [Way::Get, Way::PostQuery, Way::PostForm];

#[derive(Clone)]
pub struct Dcdn {
    pub api: Api,
    pub id: String,
    pub secret: String,
    pub scheme: Scheme,
    pub way: Way,
    /// By which its calls are stamped.
    pub clock: Option<Clock>,
}

impl Dcdn {
    /// With the edge's first key.
    pub fn of(edge: &Edge) -> Dcdn {
        Dcdn::with(edge, &edge.admin_key())
    }

    /// With a key that stands as `ID.SECRET`.
    pub fn with(edge: &Edge, key: &str) -> Dcdn {
        let (id, secret) = key.split_once('.').expect("ID.SECRET");
        Dcdn {
            api: Api::anonymous(edge),
            id: id.into(),
            secret: secret.into(),
            scheme: Scheme::V3,
            way: Way::PostQuery,
            clock: None,
        }
    }

    fn now(&self) -> jiff::Timestamp {
        self.clock.as_ref().map_or_else(jiff::Timestamp::now, Clock::now)
    }

    /// How its calls go out unless they say otherwise.
    pub fn by(&self, scheme: Scheme, way: Way) -> Dcdn {
        Dcdn { scheme, way, ..self.clone() }
    }

    pub fn call(&self, action: &str, params: &[(&str, &str)]) -> Call<'_> {
        Call {
            client: self,
            action: action.into(),
            version: VERSION.into(),
            params: params.iter().map(|&(k, v)| (k.into(), v.into())).collect(),
            scheme: self.scheme,
            way: self.way,
            format: Some("JSON"),
            timestamp: stamp(self.now()),
            nonce: uuid::Uuid::new_v4().simple().to_string(),
            spaces: Spaces::Percent,
            unsigned: Vec::new(),
            unsigned_fields: Vec::new(),
        }
    }

    /// The JSON of a call that must succeed.
    pub fn ask(&self, action: &str, params: &[(&str, &str)]) -> Value {
        let answer = self.call(action, params).send();
        assert_eq!(answer.status, 200, "{action} {params:?}: {}", answer.text());
        answer.json()
    }

    /// A call that must fail with this status and code; its message.
    pub fn refused(&self, action: &str, params: &[(&str, &str)], error: (u16, &str)) -> String {
        self.call(action, params).refused(error)
    }
}

/// How a client writes a space into a query or a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spaces {
    Percent,
    Plus,
}

#[must_use = "a call that is not sent does nothing"]
#[derive(Clone)]
pub struct Call<'a> {
    client: &'a Dcdn,
    pub action: String,
    pub version: String,
    pub params: Vec<(String, String)>,
    pub scheme: Scheme,
    pub way: Way,
    /// The parameter `Format` of V1; for V3 `accept`, where `None` and JSON are the same.
    pub format: Option<&'static str>,
    pub timestamp: String,
    pub nonce: String,
    pub spaces: Spaces,
    /// Added to the query after signing.
    pub unsigned: Vec<(String, String)>,
    /// Header fields that V3 should have signed.
    pub unsigned_fields: Vec<(String, String)>,
}

impl<'a> Call<'a> {
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        self
    }

    pub fn way(mut self, way: Way) -> Self {
        self.way = way;
        self
    }

    pub fn format(mut self, format: Option<&'static str>) -> Self {
        self.format = format;
        self
    }

    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// Seconds from now, which may be negative.
    pub fn seconds_off(mut self, seconds: i64) -> Self {
        let span = jiff::SignedDuration::from_secs(seconds);
        self.timestamp = stamp(self.client.now() + span);
        self
    }

    pub fn timestamp(mut self, text: &str) -> Self {
        self.timestamp = text.into();
        self
    }

    pub fn nonce(mut self, nonce: &str) -> Self {
        self.nonce = nonce.into();
        self
    }

    pub fn spaces(mut self, spaces: Spaces) -> Self {
        self.spaces = spaces;
        self
    }

    /// A pair that nobody signed.
    pub fn unsigned(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push((name.into(), value.into()));
        self
    }

    /// A header field that nobody signed.
    pub fn unsigned_field(mut self, name: &str, value: &str) -> Self {
        self.unsigned_fields.push((name.into(), value.into()));
        self
    }

    /// Fails with this status and code, as a whole error body; its message.
    pub fn refused(self, (status, code): (u16, &str)) -> String {
        let what = format!("{} {:?} {:?} {:?}", self.action, self.scheme, self.way, self.params);
        let answer = self.send();
        let body = answer.json();
        assert_eq!((answer.status, &body["Code"]), (status, &Value::from(code)), "{what}: {body}");
        for field in ["RequestId", "HostId", "Message", "Recommend"] {
            assert!(body[field].is_string(), "{what}: {field} in {body}");
        }
        body["Message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn send(self) -> Answer {
        self.request().send()
    }

    /// The answer, or `None` when the edge went away before it was whole.
    pub fn try_send(self) -> Option<Answer> {
        self.request().try_send()
    }

    fn request(self) -> Request<'a> {
        match self.scheme {
            Scheme::V1 => self.request_v1(),
            Scheme::V3 => self.request_v3(),
        }
    }

    fn method(&self) -> &'static str {
        if self.way == Way::Get { "GET" } else { "POST" }
    }

    /// Section 3.1: every pair but the signature, and the string to sign.
    fn signed_v1(&self) -> (Vec<(String, String)>, String) {
        let own = [
            ("Action", self.action.as_str()),
            ("Version", self.version.as_str()),
            ("Timestamp", self.timestamp.as_str()),
            ("SignatureNonce", self.nonce.as_str()),
            ("AccessKeyId", self.client.id.as_str()),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
        ];
        let mut all: Vec<_> = own.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        all.extend(self.format.map(|format| ("Format".to_owned(), format.to_owned())));
        all.extend(self.params.iter().cloned());
        let text = format!("{}&%2F&{}", self.method(), encoded(&canonical(&all)));
        (all, text)
    }

    /// What a client of scheme V1 compares with the end of the message of SignatureDoesNotMatch.
    pub fn string_to_sign(&self) -> String {
        self.signed_v1().1
    }

    fn request_v1(mut self) -> Request<'a> {
        let (mut all, text) = self.signed_v1();
        let key = format!("{}&", self.client.secret);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
        let signature = hmac::sign(&key, text.as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(signature);
        all.push(("Signature".into(), signature));
        all.append(&mut self.unsigned);
        let pairs = written(&all, self.spaces);
        match self.way {
            Way::PostForm => {
                let request = self.client.api.request("POST", "/");
                request.body("application/x-www-form-urlencoded", pairs)
            }
            _ => self.client.api.request(self.method(), &format!("/?{pairs}")),
        }
    }

    /// Section 3.2: what is common stands in fields, and the body in a hash.
    fn request_v3(self) -> Request<'a> {
        let form = self.way == Way::PostForm;
        let (query, body) = match form {
            true => (Vec::new(), written(&self.params, self.spaces)),
            false => (self.params.clone(), String::new()),
        };
        let mut fields = vec![
            ("host".to_owned(), self.client.api.addr.to_string()),
            ("x-acs-action".to_owned(), self.action.clone()),
            ("x-acs-content-sha256".to_owned(), sha256(body.as_bytes())),
            ("x-acs-date".to_owned(), self.timestamp.clone()),
            ("x-acs-signature-nonce".to_owned(), self.nonce.clone()),
            ("x-acs-version".to_owned(), self.version.clone()),
        ];
        if self.format == Some("XML") {
            fields.push(("accept".into(), "application/xml".into()));
        } else {
            fields.push(("accept".into(), "application/json".into()));
        }
        if form {
            fields.push(("content-type".into(), "application/x-www-form-urlencoded".into()));
        }
        fields.sort();
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String = fields.iter().map(|(n, v)| format!("{n}:{}\n", v.trim())).collect();
        let request = format!(
            "{}\n/\n{}\n{lines}\n{names}\n{}",
            self.method(),
            canonical(&query),
            sha256(body.as_bytes())
        );
        let text = format!("ACS3-HMAC-SHA256\n{}", sha256(request.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.client.secret.as_bytes());
        let authorization = format!(
            "ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={}",
            self.client.id,
            hex(hmac::sign(&key, text.as_bytes()).as_ref())
        );
        let sent: Vec<_> = query.iter().chain(&self.unsigned).cloned().collect();
        let target = match sent.as_slice() {
            [] => "/".to_owned(),
            pairs => format!("/?{}", written(pairs, self.spaces)),
        };
        let mut out = self.client.api.request(self.method(), &target);
        for (name, value) in fields.iter().filter(|(name, _)| name != "content-type") {
            out = out.field(name, value);
        }
        for (name, value) in &self.unsigned_fields {
            out = out.field(name, value);
        }
        out = out.field("Authorization", &authorization);
        if form {
            out = out.body("application/x-www-form-urlencoded", body);
        }
        out
    }
}

/// As the API writes moments: UTC, whole seconds.
pub fn stamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn canonical(pairs: &[(String, String)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort();
    written(&sorted, Spaces::Percent)
}

fn written(pairs: &[(String, String)], spaces: Spaces) -> String {
    let pairs = pairs.iter().map(|(k, v)| format!("{}={}", encoded(k), encoded(v)));
    let text = pairs.collect::<Vec<_>>().join("&");
    match spaces {
        Spaces::Percent => text,
        Spaces::Plus => text.replace("%20", "+"),
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
