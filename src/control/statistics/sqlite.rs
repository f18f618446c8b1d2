//! Statistics in the node's SQLite database. Not here: where the numbers come from.

use std::sync::Arc;

use super::{Query, Row, Slot, StatisticsError, Store};
use crate::control::database::Database;

#[derive(Debug)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    pub fn new(database: Database) -> SqliteStore {
        SqliteStore { database }
    }
}

impl Store for SqliteStore {
    fn add(&self, _rows: &[Row]) -> Result<(), StatisticsError> {
        todo!("{:?}", self.database)
    }

    fn query(&self, _query: &Query) -> Result<Vec<Slot>, StatisticsError> {
        todo!()
    }

    fn bytes_by_domain(
        &self,
        _start: i64,
        _end: i64,
    ) -> Result<Vec<(Arc<str>, i64, u64)>, StatisticsError> {
        todo!()
    }

    fn names(&self) -> Result<[Vec<Arc<str>>; 3], StatisticsError> {
        todo!()
    }

    fn tidy(&self, _now: i64) -> Result<(), StatisticsError> {
        todo!()
    }
}
