//! Axes of plots: where a number lies, and which numbers are written.

/// From numbers to pixels.
pub struct Axis {
    low: f64,
    high: f64,
    log: bool,
    pixels: [f64; 2],
}

impl Axis {
    pub fn linear(range: [f64; 2], pixels: [f64; 2]) -> Self {
        let [low, high] = widened(range);
        Self {
            low,
            high,
            log: false,
            pixels,
        }
    }

    /// The same of logarithms, if `log` says so.
    pub fn logarithmic(self, log: bool) -> Self {
        Self { log, ..self }
    }

    pub fn place(&self, number: f64) -> f64 {
        // A range that was widened may reach to 0 and below.
        let scale = |number: f64| match self.log {
            true => number.max(f64::MIN_POSITIVE).log10(),
            false => number,
        };
        let (low, high) = (scale(self.low), scale(self.high));
        let share = (scale(number) - low) / (high - low);
        self.pixels[0] + share * (self.pixels[1] - self.pixels[0])
    }

    /// Round numbers inside, and how each is written.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        if self.log {
            let (low, high) = (self.low * (1.0 - 1e-9), self.high * (1.0 + 1e-9));
            let ticks = powers(self.low, self.high).into_iter();
            let inside = ticks.filter(|tick| (low..=high).contains(tick));
            return inside.map(|tick| (tick, short(tick))).collect();
        }
        let step = round_step((self.high - self.low) / 5.0);
        let first = (self.low / step).ceil();
        let ticks = (0..20).map(|number| (first + f64::from(number)) * step);
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        ticks
            .filter(|tick| *tick <= self.high + 1e-9 * step)
            .map(|tick| match (1e-5..1e6).contains(&step) {
                // Not -0.
                true => (tick, format!("{:.decimals$}", tick + 0.0)),
                false => (tick, format!("{tick:.1e}")),
            })
            .collect()
    }
}

/// 1, 2 or 5 times a power of ten, not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let fits = steps.into_iter().find(|&step| step >= least);
    fits.unwrap_or(10.0 * power)
}

/// Powers of ten from below `low` to above `high`, and twice and five times these where there are few.
fn powers(low: f64, high: f64) -> Vec<f64> {
    let least = low.max(f64::MIN_POSITIVE);
    let (first, last) = (least.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (last - first).max(1);
    let factors: &[f64] = if decades <= 3 {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let every = (decades as usize).div_ceil(10);
    (first..=last)
        .step_by(every)
        .flat_map(|power| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        })
        .collect()
}

/// A number in few signs.
fn short(number: f64) -> String {
    if (1e-4..1e6).contains(&number.abs()) {
        // Enough decimals for any of 1, 2 or 5 times a power of ten.
        let text = format!("{number:.4}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        return text.to_string();
    }
    format!("{number:.0e}")
}

/// A range with an extent, where it has none.
pub fn widened([low, high]: [f64; 2]) -> [f64; 2] {
    let least = 1e-9 * low.abs().max(high.abs()).max(1e-9);
    if high - low > least {
        return [low, high];
    }
    let half = match low.abs() {
        0.0 => 1.0,
        size => size / 2.0,
    };
    [low - half, high + half]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        let axis = Axis::linear([0.0, 10.0], [0.0, 100.0]);
        assert_eq!(texts(&axis), ["0", "2", "4", "6", "8", "10"]);
        let axis = Axis::linear([-0.013, 0.021], [0.0, 100.0]);
        assert_eq!(texts(&axis), ["-0.01", "0.00", "0.01", "0.02"]);
        let log = Axis {
            log: true,
            ..Axis::linear([0.005, 1.0], [0.0, 100.0])
        };
        let expected = ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"];
        assert_eq!(texts(&log), expected);
        let wide = Axis {
            log: true,
            ..Axis::linear([1.0, 1e6], [0.0, 100.0])
        };
        assert_eq!(texts(&wide)[..3], ["1", "10", "100"]);
    }

    #[test]
    fn places_lie_between_the_ends() {
        let axis = Axis::linear([2.0, 4.0], [100.0, 0.0]);
        assert_eq!([2.0, 3.0, 4.0].map(|x| axis.place(x)), [100.0, 50.0, 0.0]);
        let log = Axis {
            log: true,
            ..Axis::linear([1.0, 100.0], [0.0, 10.0])
        };
        assert!((log.place(10.0) - 5.0).abs() < 1e-9);
        // A single number lies in the middle.
        let single = Axis::linear([7.0, 7.0], [0.0, 10.0]);
        assert!((single.place(7.0) - 5.0).abs() < 1e-9);
    }
}
