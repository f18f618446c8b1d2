//! Lists in parts: how long a part is, and where the next one begins.

use super::problem::Problem;
use crate::limits::{API_PAGE_DEFAULT, API_PAGE_MAX};

/// The `limit` that a caller sent.
///
/// # Errors
/// It is none.
pub fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    limit_to(asked, API_PAGE_DEFAULT, API_PAGE_MAX)
}

/// The same for a list with bounds of its own.
pub fn limit_to(asked: Option<usize>, default: usize, max: usize) -> Result<usize, Problem> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(limit) => {
            let accepted = format!("a number from 1 to {max}");
            Err(Problem::parameter("limit", &format!("{limit} is out of range"), &accepted))
        }
    }
}

/// The first `limit` of `items`, of which one more may have been looked up, and the name of the
/// last of them when there are more.
pub fn cut<T>(
    mut items: Vec<T>,
    limit: usize,
    name: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(name);
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_names_its_successor() {
        let page = |n: u32, limit| cut((0..n).collect(), limit, u32::to_string);
        assert_eq!(page(3, 2), (vec![0, 1], Some("1".into())));
        assert_eq!(page(2, 2), (vec![0, 1], None));
        assert_eq!(page(0, 2), (vec![], None));
    }

    #[test]
    fn limits_are_kept() {
        assert_eq!(limit(None), Ok(API_PAGE_DEFAULT));
        assert_eq!(limit(Some(1)), Ok(1));
        for wrong in [0, API_PAGE_MAX + 1] {
            assert_eq!(limit(Some(wrong)).unwrap_err().status, 400);
        }
    }
}
