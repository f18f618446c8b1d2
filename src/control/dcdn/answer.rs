//! How an answer is written: one value, as JSON or as XML (DCDN OpenAPI 2018-01-15).
//!
//! Not here: what is answered.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::{Value, json};

use super::error::Failure;

/// Exactly this: SDKs parse XML only under the exact name of its type, and all else as JSON.
const JSON: HeaderValue = HeaderValue::from_static("application/json;charset=utf-8");
const XML: HeaderValue = HeaderValue::from_static("text/xml;charset=utf-8");
/// Where the errors are explained.
const RECOMMEND: &str = "docs/dcdn.md of Hawser";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

/// What every answer to one request carries.
#[derive(Debug, Clone)]
pub struct Envelope {
    pub format: Format,
    /// An upper-case UUID.
    pub request_id: String,
    /// The host that was asked.
    pub host_id: String,
}

impl Envelope {
    /// The answer of an operation, an object.
    pub fn success(&self, action: &str, mut body: Value) -> Response<Body> {
        body["RequestId"] = Value::from(&*self.request_id);
        self.written(StatusCode::OK, &format!("{action}Response"), &body)
    }

    pub fn failure(&self, failure: &Failure) -> Response<Body> {
        let body = json!({
            "RequestId": self.request_id,
            "HostId": self.host_id,
            "Code": failure.code,
            "Message": failure.message,
            "Recommend": RECOMMEND,
        });
        let status = StatusCode::from_u16(failure.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = self.written(status, "Error", &body);
        if let Some(wait) = failure.retry_after {
            response.headers_mut().insert("x-acs-retry-after", HeaderValue::from(wait));
        }
        response
    }

    fn written(&self, status: StatusCode, root: &str, body: &Value) -> Response<Body> {
        let (content_type, text) = match self.format {
            Format::Json => (JSON, body.to_string()),
            Format::Xml => (XML, xml(root, body)),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Ok(id) = HeaderValue::from_str(&self.request_id) {
            headers.insert("x-acs-request-id", id);
        }
        response
    }
}

/// Objects become elements, the entries of a list repeat the element that the list stands under.
fn xml(root: &str, value: &Value) -> String {
    let mut writer = Writer::new(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
    write(&mut writer, root, value);
    String::from_utf8(writer.into_inner()).unwrap_or_default()
}

fn write(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) {
    if let Value::Array(entries) = value {
        entries.iter().for_each(|entry| write(writer, name, entry));
        return;
    }
    let _ = writer.write_event(Event::Start(BytesStart::new(name)));
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| write(writer, name, value));
        }
        Value::String(text) => {
            let text: String = text.chars().map(allowed).collect();
            let _ = writer.write_event(Event::Text(BytesText::new(&text)));
        }
        Value::Null | Value::Array(_) => {}
        other => {
            let _ = writer.write_event(Event::Text(BytesText::new(&other.to_string())));
        }
    }
    let _ = writer.write_event(Event::End(BytesEnd::new(name)));
}

/// XML 1.0 2.2: characters that no document may hold, however they are written.
fn allowed(c: char) -> char {
    match c {
        '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'.. => c,
        _ => '\u{fffd}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(format: Format) -> Envelope {
        let (request_id, host_id) = ("ID".to_owned(), "127.0.0.1:9080".to_owned());
        Envelope { format, request_id, host_id }
    }

    async fn text(response: Response<Body>) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    // DCDN OpenAPI 2018-01-15: root `<{Action}Response>`, list items repeat their element name.
    #[tokio::test]
    async fn one_value_in_two_languages() {
        let body = json!({"Domains": {"PageData": [
            {"DomainName": "a<b>&\"\u{1}é", "Port": 80, "Value": 0.5, "Sandbox": true},
            {"DomainName": "", "Sources": {"Source": []}},
        ]}});
        let response = envelope(Format::Xml).success("DescribeX", body.clone());
        assert_eq!(response.headers()["content-type"], "text/xml;charset=utf-8");
        assert_eq!(
            text(response).await,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><DescribeXResponse><Domains>\
             <PageData><DomainName>a&lt;b&gt;&amp;&quot;\u{fffd}é</DomainName><Port>80</Port>\
             <Sandbox>true</Sandbox><Value>0.5</Value></PageData>\
             <PageData><DomainName></DomainName><Sources></Sources></PageData>\
             </Domains><RequestId>ID</RequestId></DescribeXResponse>"
        );
        let response = envelope(Format::Json).success("DescribeX", body);
        assert_eq!(response.headers()["content-type"], "application/json;charset=utf-8");
        let json: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(json["RequestId"], "ID");
        assert_eq!(json["Domains"]["PageData"][0]["Port"], 80);
    }

    // DCDN OpenAPI 2018-01-15: `{RequestId, HostId, Code, Message, Recommend}`, or `<Error>`.
    #[tokio::test]
    async fn errors_have_five_fields() {
        let failure = Failure { retry_after: Some(7), ..Failure::missing("DomainName") };
        let response = envelope(Format::Json).failure(&failure);
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["x-acs-retry-after"], "7");
        let json: Value = serde_json::from_str(&text(response).await).unwrap();
        let names: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(names, ["Code", "HostId", "Message", "Recommend", "RequestId"]);
        assert_eq!(json["Code"], "MissingDomainName");
        let xml = text(envelope(Format::Xml).failure(&failure)).await;
        assert!(xml.contains("<Error><Code>MissingDomainName</Code><HostId>"), "{xml}");
    }
}
