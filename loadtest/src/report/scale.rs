//! Axes: which values they cover, where their steps are. Not here: where that is on a drawing,
//! except as a fraction of the axis.

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From zero; the end is a step.
    Linear { end: f64, step: f64 },
    /// Between two powers of ten.
    Log { from: i32, to: i32 },
}

/// Values spread further than this are shown by their powers of ten.
const LOG_FROM: f64 = 50.0;

/// Steps of an axis, about.
const STEPS: f64 = 5.0;

impl Scale {
    /// From zero to the least step at or above `most`.
    pub fn linear(most: f64) -> Scale {
        let most = if most > 0.0 { most } else { 1.0 };
        let raw = most / STEPS;
        let power = 10_f64.powi(raw.log10().floor() as i32);
        let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|f| f * power >= raw * 0.999);
        let step = factor.unwrap_or(10.0) * power;
        Scale::Linear { end: (most / step - 1e-9).ceil().max(1.0) * step, step }
    }

    /// By powers of ten where the values need it and have logarithms, else linear from zero.
    pub fn covering(values: impl Iterator<Item = f64> + Clone) -> Scale {
        let most = values.clone().fold(0.0, f64::max);
        let least = values.fold(f64::INFINITY, f64::min);
        if least > 0.0 && most / least >= LOG_FROM {
            let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
            return Scale::Log { from, to: to.max(from + 1) };
        }
        Scale::linear(most)
    }

    /// Of the axis' length, from its beginning.
    pub fn fraction(self, value: f64) -> f32 {
        let fraction = match self {
            Scale::Linear { end, .. } => value / end,
            Scale::Log { from, to } => (value.log10() - f64::from(from)) / f64::from(to - from),
        };
        fraction as f32
    }

    pub fn ticks(self) -> Vec<f64> {
        match self {
            Scale::Linear { end, step } => {
                (0..=(end / step).round() as u32).map(|i| f64::from(i) * step).collect()
            }
            Scale::Log { from, to } => {
                // Not more than fit beside each other.
                let every = ((to - from) / 6 + 1) as usize;
                (from..=to).step_by(every).map(|power| 10_f64.powi(power)).collect()
            }
        }
    }

    /// What has to stand at an axis that is not linear.
    pub fn remark(self) -> &'static str {
        match self {
            Scale::Linear { .. } => "",
            Scale::Log { .. } => " (log scale)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_begins_at_zero_and_ends_at_a_step() {
        let cases = [
            (0.0, 1.0, 0.2),
            (1.0, 1.0, 0.2),
            (4.7, 5.0, 1.0),
            (10.0, 10.0, 2.0),
            (512.0, 600.0, 200.0),
            (19_500.0, 20_000.0, 5_000.0),
        ];
        for (most, end, step) in cases {
            assert_eq!(Scale::linear(most), Scale::Linear { end, step }, "{most}");
        }
        assert_eq!(Scale::linear(4.7).ticks(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(Scale::linear(4.7).fraction(2.5), 0.5);
    }

    #[test]
    fn what_spreads_far_is_shown_by_powers_of_ten() {
        let wide = [64.0, 1_048_576.0];
        let scale = Scale::covering(wide.into_iter());
        assert_eq!(scale, Scale::Log { from: 1, to: 7 });
        assert_eq!(scale.ticks().len(), 4);
        assert_eq!(scale.fraction(10.0), 0.0);
        assert_eq!(scale.remark(), " (log scale)");
        for narrow in [vec![100.0, 400.0], vec![0.0, 4e6], vec![]] {
            let scale = Scale::covering(narrow.clone().into_iter());
            assert!(matches!(scale, Scale::Linear { .. }), "{narrow:?}");
        }
    }
}
