//! Answers as tables: CSV (RFC 4180), for those who ask for it. Not here: what is in them.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Json,
    Csv,
}

impl Format {
    /// What the query asks for, else the first of the Accept header that there is.
    pub fn of(asked: Option<Format>, headers: &HeaderMap) -> Format {
        if let Some(format) = asked {
            return format;
        }
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        let types = accept.unwrap_or_default().split(',');
        let known = |kind: &str| match kind.split(';').next().unwrap_or_default().trim() {
            "text/csv" => Some(Format::Csv),
            "application/json" | "application/*" | "*/*" => Some(Format::Json),
            _ => None,
        };
        types.into_iter().find_map(known).unwrap_or(Format::Json)
    }
}

/// Rows below a line of names.
pub struct Table(csv::Writer<Vec<u8>>);

impl Table {
    pub fn new(columns: &[String]) -> Table {
        let mut table = Table(
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new()),
        );
        table.row(columns);
        table
    }

    pub fn row(&mut self, fields: &[String]) {
        self.0.write_record(fields).expect("every row has a field for each column");
    }
}

impl IntoResponse for Table {
    fn into_response(self) -> Response {
        // Memory takes every byte.
        csv_answer(self.0.into_inner().unwrap_or_default())
    }
}

/// A table that is written already.
pub fn csv_answer(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], bytes).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_a_table() {
        let format = |accept: &str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            Format::of(None, &headers)
        };
        assert_eq!(Format::of(None, &HeaderMap::new()), Format::Json);
        for accept in ["text/csv", "text/csv; q=1, */*", "text/html, text/csv"] {
            assert_eq!(format(accept), Format::Csv, "{accept}");
        }
        for accept in ["*/*", "application/json, text/csv", "text/html", ""] {
            assert_eq!(format(accept), Format::Json, "{accept}");
        }
        assert_eq!(Format::of(Some(Format::Csv), &HeaderMap::new()), Format::Csv);
    }

    // RFC 4180 2.
    #[test]
    fn rows_end_with_both_letters_and_names_are_quoted_where_needed() {
        let mut table = Table::new(&["domain".to_owned(), "n".to_owned()]);
        table.row(&["a,\"b\"".to_owned(), "1".to_owned()]);
        let bytes = table.0.into_inner().unwrap();
        assert_eq!(bytes, b"domain,n\r\n\"a,\"\"b\"\"\",1\r\n");
    }
}
