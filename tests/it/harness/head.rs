//! A message head as a peer received it: start line and fields in order, nothing interpreted.

use super::show;

#[derive(Debug, Clone)]
pub struct Head {
    pub start: String,
    pub fields: Vec<(String, String)>,
    /// Every byte, the empty line included.
    pub raw: Vec<u8>,
}

impl Head {
    /// `raw` ends with the empty line.
    pub fn parse(raw: &[u8]) -> Head {
        let text: String = raw.iter().map(|&b| char::from(b)).collect();
        let mut lines = text.strip_suffix("\r\n\r\n").expect("a whole head").split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .map(|line| {
                let (name, value) = line
                    .split_once(':')
                    .unwrap_or_else(|| panic!("field without colon in {}", show(raw)));
                (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
            })
            .collect();
        Head { start, fields, raw: raw.to_vec() }
    }

    pub fn status(&self) -> u16 {
        let code = self.start.strip_prefix("HTTP/1.1 ").and_then(|s| s.get(..3));
        code.and_then(|c| c.parse().ok())
            .unwrap_or_else(|| panic!("not a status line: {:?}", self.start))
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// Values of every field of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|(_, v)| v.as_str()).collect()
    }

    /// The value of a field that occurs at most once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} occurs {} times in {}", all.len(), show(&self.raw));
        all.first().copied()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    /// Whether a comma list contains the token.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        let mut items = self.all(name).into_iter().flat_map(|v| v.split(','));
        items.any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    pub fn content_length(&self) -> Option<usize> {
        self.field("content-length").map(|v| v.parse().expect("a length"))
    }
}
