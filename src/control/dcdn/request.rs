//! What a caller sent: the parameters of query and form body as one list, and how single ones are
//! read (DCDN OpenAPI 2018-01-15).
//!
//! Not here: signatures, and what a parameter means to an operation.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::error::Failure;
use crate::limits::{DCDN_PAGE_MAX, DCDN_PAGE_SIZE_MAX, DCDN_PARAMETERS_MAX};

const PAGE_SIZE: usize = 20;

/// Decoded pairs, in the order in which they came.
pub struct Parameters(Vec<(String, String)>);

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    pub number: usize,
    pub size: usize,
}

impl Page {
    pub fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip((self.number - 1) * self.size).take(self.size).collect()
    }
}

/// Names only: a value may be a private key.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl Parameters {
    /// Merges query and form body. In both, `+` is a space and `%2B` a plus sign.
    ///
    /// # Errors
    /// Too many, or one name twice: it would not be clear which one counts.
    pub fn read(query: &str, form: &[u8]) -> Result<Parameters, Failure> {
        let pairs = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(form));
        let pairs: Vec<(String, String)> = pairs
            .take(DCDN_PARAMETERS_MAX + 1)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        if pairs.len() > DCDN_PARAMETERS_MAX {
            let message = format!("At most {DCDN_PARAMETERS_MAX} parameters are accepted.");
            return Err(Failure::bad("InvalidParameter", message));
        }
        let mut seen = HashSet::new();
        if let Some((twice, _)) = pairs.iter().find(|(name, _)| !seen.insert(name)) {
            let message = format!("The parameter {twice} is given more than once.");
            return Err(Failure::bad("InvalidParameter", message));
        }
        Ok(Parameters(pairs))
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A value, also an empty one.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// A value; an empty one counts as not given: SDKs send an empty argument as `Name=`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// # Errors
    /// `Missing<Name>`.
    pub fn required(&self, name: &str) -> Result<&str, Failure> {
        self.text(name).ok_or_else(|| Failure::missing(name))
    }

    /// `true` and `false` in any case: Python sends `True`, Node `true`.
    ///
    /// # Errors
    /// It is neither.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(Failure::unsupported(name, "true or false")),
        }
    }

    /// One of a few words.
    ///
    /// # Errors
    /// `Invalid<Name>.ValueNotSupported`.
    pub fn choice<'a>(&self, name: &str, accepted: &[&'a str]) -> Result<Option<&'a str>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = accepted.iter().find(|word| **word == text);
        let unsupported = || Failure::unsupported(name, &accepted.join(", "));
        found.copied().map(Some).ok_or_else(unsupported)
    }

    /// # Errors
    /// `InvalidPageNumber.ValueNotSupported`, `InvalidPageSize.ValueNotSupported`.
    pub fn page(&self) -> Result<Page, Failure> {
        let number = self.whole("PageNumber", 1, DCDN_PAGE_MAX)?;
        let size = self.whole("PageSize", 1, DCDN_PAGE_SIZE_MAX)?;
        Ok(Page { number: number.unwrap_or(1), size: size.unwrap_or(PAGE_SIZE) })
    }

    /// # Errors
    /// `Invalid<Name>.ValueNotSupported`.
    pub fn whole(&self, name: &str, min: usize, max: usize) -> Result<Option<usize>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        let unsupported = || Failure::unsupported(name, &format!("{min} to {max}"));
        number.map(Some).ok_or_else(unsupported)
    }

    /// The entries of a comma list, without space around them; none that is empty.
    pub fn listed(&self, name: &str) -> Vec<&str> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect()
    }

    /// The values of a flattened list, `Name.1`, `Name.2`, in the order of their numbers.
    pub fn numbered(&self, name: &str) -> Vec<&str> {
        let found = self.0.iter().filter_map(|(key, value)| {
            let number = key.strip_prefix(name)?.strip_prefix('.')?.parse::<u32>().ok()?;
            Some((number, &**value))
        });
        found.collect::<BTreeMap<u32, &str>>().into_values().collect()
    }

    /// A flattened list of pairs, `Tag.1.Key` with `Tag.1.Value`. A value that is not there is
    /// `None`, a key that is not there is empty.
    pub fn numbered_pairs(&self, name: &str) -> Vec<(&str, Option<&str>)> {
        let mut found: BTreeMap<u32, (&str, Option<&str>)> = BTreeMap::new();
        for (key, value) in &self.0 {
            let Some(rest) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            let Some((number, field)) = rest.split_once('.') else { continue };
            let Ok(number) = number.parse() else { continue };
            match field {
                "Key" => found.entry(number).or_default().0 = value,
                "Value" => found.entry(number).or_default().1 = Some(value),
                _ => {}
            }
        }
        found.into_values().collect()
    }
}

/// Seconds since the Unix epoch of `yyyy-MM-ddTHH:mm:ssZ`, and of nothing else.
pub fn time(text: &str) -> Option<i64> {
    const SHAPE: &[u8; 20] = b"0000-00-00T00:00:00Z";
    let fits = |(is, shall): (u8, &u8)| match shall {
        b'0' => is.is_ascii_digit(),
        other => is == *other,
    };
    let is_shaped = text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(fits);
    let time = text.parse().ok().filter(|_| is_shaped);
    time.map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    // DCDN OpenAPI 2018-01-15: query and form body are one list; a plus sign is a space.
    #[test]
    fn query_and_form_are_one_list() {
        let query = "DomainName=a.example.com%2Cb.example.com&Functions=x+y%2A~%2B%C3%A9";
        let parameters = Parameters::read(query, b"Empty=&Tag.1.Key=a%20b").unwrap();
        let names: Vec<&str> = parameters.pairs().iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["DomainName", "Functions", "Empty", "Tag.1.Key"]);
        assert_eq!(parameters.text("Functions"), Some("x y*~+é"));
        assert_eq!(parameters.listed("DomainName"), ["a.example.com", "b.example.com"]);
        assert_eq!((parameters.given("Empty"), parameters.text("Empty")), (Some(""), None));
        assert_eq!(parameters.text("domainname"), None, "names are case-sensitive");
        assert_eq!(parameters.required("Empty").unwrap_err().code, "MissingEmpty");
        assert!(!format!("{parameters:?}").contains("a b"), "values may be secrets");
    }

    #[test]
    fn a_name_twice_and_too_many_names_are_refused() {
        let error = Parameters::read("A=1", b"A=1").unwrap_err();
        assert_eq!(error.message, "The parameter A is given more than once.");
        let many: String = (0..=DCDN_PARAMETERS_MAX).map(|i| format!("p{i}=1&")).collect();
        let error = Parameters::read(&many, b"").unwrap_err();
        assert!(error.message.starts_with("At most "), "{}", error.message);
    }

    #[test]
    fn flattened_lists() {
        let query = "Tag.2.Key=b&Tag.2.Value=2&Tag.1.Key=a&Tag.x.Key=c&Tag.3.Value=3&\
                     ResourceId.10=ten&ResourceId.9=nine&ResourceId.y=no&Tagged.1.Key=no";
        let parameters = Parameters::read(query, b"").unwrap();
        let tags = [("a", None), ("b", Some("2")), ("", Some("3"))];
        assert_eq!(parameters.numbered_pairs("Tag"), tags);
        assert_eq!(parameters.numbered("ResourceId"), ["nine", "ten"]);
        assert!(parameters.numbered("TagKey").is_empty());
    }

    #[test]
    fn times() {
        assert_eq!(time("1970-01-01T00:01:00Z"), Some(60));
        for text in ["", "x", "1970-01-01", "1970-01-01 00:01:00Z", "1970-01-01T00:01:00+00:00"] {
            assert_eq!(time(text), None, "{text:?}");
        }
        for text in ["1970-13-01T00:01:00Z", "1970-01-01T24:01:00Z", "1970-01-01T00:01:00.0Z"] {
            assert_eq!(time(text), None, "{text:?}");
        }
    }

    #[test]
    fn words_numbers_and_flags() {
        let read = |query: &str| Parameters::read(query, b"").unwrap();
        for (text, flag) in [("True", true), ("false", false), ("FALSE", false)] {
            assert_eq!(read(&format!("F={text}")).flag("F"), Ok(Some(flag)), "{text}");
        }
        assert_eq!(read("F=").flag("F"), Ok(None));
        assert_eq!(read("F=1").flag("F").unwrap_err().code, "InvalidF.ValueNotSupported");
        assert_eq!(read("").page(), Ok(Page { number: 1, size: 20 }));
        let page = read("PageNumber=2&PageSize=500").page().unwrap();
        assert_eq!(page, Page { number: 2, size: 500 });
        for (query, code) in [
            ("PageNumber=0", "InvalidPageNumber.ValueNotSupported"),
            ("PageNumber=100001", "InvalidPageNumber.ValueNotSupported"),
            ("PageSize=501", "InvalidPageSize.ValueNotSupported"),
            ("PageSize=x", "InvalidPageSize.ValueNotSupported"),
        ] {
            assert_eq!(read(query).page().unwrap_err().code, code);
        }
        assert_eq!(Page { number: 2, size: 2 }.of(vec![1, 2, 3]), [3]);
        let accepted = ["on", "off"];
        assert_eq!(read("S=off").choice("S", &accepted), Ok(Some("off")));
        assert_eq!(read("S=ON").choice("S", &accepted).unwrap_err().status, 400);
    }
}
