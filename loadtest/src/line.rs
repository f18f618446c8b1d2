//! The line through points of (how many, how much), by least squares. Not here: what it means.

pub struct Line {
    /// Growth for one more.
    pub slope: f64,
    /// Standard error of the slope; no number for two points.
    pub error: f64,
}

impl Line {
    /// `None` where all points stand above one place.
    pub fn through(points: &[(f64, f64)]) -> Option<Line> {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(|p| p.0), mean(|p| p.1));
        let along: f64 = points.iter().map(|p| (p.0 - x).powi(2)).sum();
        let across: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
        let slope = across / along;
        let rest: f64 = points.iter().map(|p| (p.1 - y - slope * (p.0 - x)).powi(2)).sum();
        let error = (rest / (n - 2.0) / along).sqrt();
        (points.len() > 1 && along > 0.0).then_some(Line { slope, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_needs_two_places() {
        for (points, slope) in [
            (vec![], None),
            (vec![(5.0, 1.0)], None),
            (vec![(5.0, 1.0), (5.0, 3.0)], None),
            (vec![(0.0, 7.0), (10.0, 27.0), (20.0, 47.0)], Some(2.0)),
            (vec![(0.0, 0.0), (1.0, 2.0), (2.0, 2.0)], Some(1.0)),
        ] {
            assert_eq!(Line::through(&points).map(|line| line.slope), slope, "{points:?}");
        }
    }
}
