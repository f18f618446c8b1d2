//! A client of the admin listener: one request on one connection, plain or TLS, with a bearer key
//! or without. Nothing here knows what a path means.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Edge, Head, TlsClient, Wire};

#[derive(Clone)]
pub struct Api {
    pub addr: SocketAddr,
    /// With the name to ask for.
    tls: Option<(TlsClient, String)>,
    /// `ID.SECRET`.
    bearer: Option<String>,
}

impl Api {
    /// As the first key, which the edge wrote at its first start.
    pub fn of(edge: &Edge) -> Api {
        Api::anonymous(edge).bearing(&edge.admin_key())
    }

    pub fn anonymous(edge: &Edge) -> Api {
        Api { addr: edge.admin(), tls: None, bearer: None }
    }

    pub fn bearing(&self, key: &str) -> Api {
        Api { bearer: Some(key.into()), ..self.clone() }
    }

    pub fn over_tls(&self, client: &TlsClient, name: &str) -> Api {
        Api { tls: Some((client.clone(), name.into())), ..self.clone() }
    }

    pub fn connect(&self) -> Wire {
        match &self.tls {
            None => Wire::connect(self.addr),
            Some((client, name)) => client.connect(self.addr, name),
        }
    }

    pub fn request(&self, method: &str, path: &str) -> Request<'_> {
        let authorization = self.bearer.as_ref().map(|key| format!("Bearer {key}"));
        let fields = authorization.map(|value| ("Authorization".to_owned(), value));
        Request {
            api: self,
            method: method.into(),
            target: path.into(),
            fields: fields.into_iter().collect(),
            body: Vec::new(),
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send()
    }

    /// The JSON of a 200.
    pub fn read(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.request("POST", path).json(body).send()
    }
}

#[must_use = "a request that is not sent does nothing"]
pub struct Request<'a> {
    api: &'a Api,
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request<'_> {
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn json(self, body: Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub fn body(mut self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self.field("Content-Type", content_type)
    }

    /// The head as it goes out; a `Host` among the fields replaces the usual one.
    fn bytes(&self) -> Vec<u8> {
        let named = |name: &str| self.fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !named("host") {
            head += &format!("Host: {}\r\n", self.api.addr);
        }
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Connection: close\r\nContent-Length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }

    pub fn send(self) -> Answer {
        let mut wire = self.api.connect();
        // What is too large is answered before it was taken, and the rest may find nobody.
        wire.try_send(self.bytes());
        let (head, body) = wire.answer();
        Answer { status: head.status(), head, body }
    }
}

impl Request<'_> {
    /// The answer, or `None` when the edge went away before it was whole.
    pub fn try_send(self) -> Option<Answer> {
        let stream = std::net::TcpStream::connect(self.api.addr).ok()?;
        let mut wire = Wire::new(stream);
        wire.try_send(self.bytes());
        let head = wire.try_head().ok()?;
        let length: usize = head.field("content-length")?.parse().ok()?;
        let (body, _) = wire.rest();
        (body.len() == length).then(|| Answer { status: head.status(), head, body })
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: Head,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}
