//! Curves of a run: one logged number over the steps, in bounded memory, and robust figures of its parts.

/// The most points that are kept of one curve, 1 MB. Beyond, every second one is dropped, again and again.
const MOST_POINTS: usize = 1 << 16;
/// The newest part of a curve stands for the present: a tenth of it, but no fewer points than a median needs to be
/// indifferent to two outliers.
const NEWEST: f64 = 0.1;
const FEWEST: usize = 5;

/// A number that was logged at a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub step: u64,
    pub value: f64,
}

/// One number over the steps, in their order.
#[derive(Debug, Clone)]
pub struct Curve {
    points: Vec<Point>,
    /// One of so many numbers is kept.
    every: u64,
    seen: u64,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            every: 1,
            seen: 0,
        }
    }
}

impl Curve {
    /// Adds a number; one at the same step as the newest takes its place.
    pub fn push(&mut self, step: u64, value: f64) {
        if let Some(last) = self.points.last_mut()
            && last.step == step
        {
            last.value = value;
            return;
        }
        if self.seen.is_multiple_of(self.every) {
            self.make_room();
            self.points.push(Point { step, value });
        }
        self.seen += 1;
    }

    fn make_room(&mut self) {
        if self.points.len() < MOST_POINTS {
            return;
        }
        let mut index = 0;
        self.points.retain(|_| {
            index += 1;
            index % 2 == 1
        });
        self.every *= 2;
    }

    /// Forgets what was logged at this step and later.
    pub fn forget_from(&mut self, step: u64) {
        while self.points.last().is_some_and(|last| last.step >= step) {
            self.points.pop();
        }
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }
}

/// The points of this step and later.
pub fn since(points: &[Point], step: u64) -> &[Point] {
    &points[points.partition_point(|point| point.step < step)..]
}

/// The points before this step.
pub fn before(points: &[Point], step: u64) -> &[Point] {
    &points[..points.partition_point(|point| point.step < step)]
}

/// The newest `count` points, or all if there are fewer.
pub fn newest(points: &[Point], count: usize) -> &[Point] {
    &points[points.len().saturating_sub(count)..]
}

/// The points that stand for the present.
pub fn lately(points: &[Point]) -> &[Point] {
    let part = (NEWEST * points.len() as f64).ceil() as usize;
    newest(points, part.max(FEWEST))
}

/// The points that stand for the beginning.
pub fn at_first(points: &[Point]) -> &[Point] {
    let part = (NEWEST * points.len() as f64).ceil() as usize;
    &points[..part.max(FEWEST).min(points.len())]
}

/// The value at exactly this step.
pub fn at(points: &[Point], step: u64) -> Option<f64> {
    let place = points
        .binary_search_by_key(&step, |point| point.step)
        .ok()?;
    Some(points[place].value)
}

/// The point with the lowest value, the first of equals.
pub fn lowest(points: &[Point]) -> Option<Point> {
    let lower = |a: &&Point, b: &&Point| a.value.total_cmp(&b.value);
    points.iter().min_by(lower).copied()
}

pub fn median(points: &[Point]) -> Option<f64> {
    middle(points.iter().map(|point| point.value).collect())
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[half]),
        _ => Some(values[half - 1] / 2.0 + values[half] / 2.0),
    }
}

/// The medians of so many parts of equal length, oldest first; `None` if they would be too short.
pub fn medians(points: &[Point], parts: usize) -> Option<Vec<f64>> {
    if points.len() < parts * FEWEST {
        return None;
    }
    let part = |index: usize| {
        let range = index * points.len() / parts..(index + 1) * points.len() / parts;
        median(&points[range])
    };
    (0..parts).map(part).collect()
}

/// How much a curve jumps from one point to the next, as a fraction of its level: the noise of single batches.
pub fn jitter(points: &[Point]) -> Option<f64> {
    let jumps = points
        .windows(2)
        .map(|pair| (pair[1].value - pair[0].value).abs());
    Some(middle(jumps.collect())? / median(points)?.abs())
}

/// `steps 10 to 90`.
pub fn steps(points: &[Point]) -> String {
    match points {
        [] => "no steps".into(),
        [only] => format!("step {}", only.step),
        [first, .., last] => format!("steps {} to {}", first.step, last.step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: &[f64]) -> Vec<Point> {
        (1..)
            .zip(values)
            .map(|(step, &value)| Point { step, value })
            .collect()
    }

    #[test]
    fn memory_is_bounded_and_the_whole_run_stays_in_sight() {
        let mut curve = Curve::default();
        for step in 0..10 * MOST_POINTS as u64 {
            curve.push(step, step as f64);
        }
        let points = curve.points();
        assert!(points.len() <= MOST_POINTS && points.len() > MOST_POINTS / 4);
        assert_eq!(points[0].step, 0);
        let last = points[points.len() - 1];
        assert!(last.step + 16 >= 10 * MOST_POINTS as u64, "{last:?}");
        assert!(points.windows(2).all(|pair| pair[0].step < pair[1].step));
    }

    #[test]
    fn a_repeated_step_replaces_and_a_step_back_forgets() {
        let mut curve = Curve::default();
        for (step, value) in [(1, 1.0), (2, 2.0), (2, 3.0), (3, 4.0)] {
            curve.push(step, value);
        }
        assert_eq!(at(curve.points(), 2), Some(3.0));
        curve.forget_from(2);
        assert_eq!(
            curve.points(),
            [Point {
                step: 1,
                value: 1.0
            }]
        );
    }

    #[test]
    fn figures_of_known_curves() {
        let points = curve(&[5.0, 1.0, 4.0, 2.0, 3.0, 900.0]);
        assert_eq!(median(&points), Some(3.5));
        assert_eq!(median(&points[..5]), Some(3.0));
        assert_eq!(median(&[]), None);
        assert_eq!(lowest(&points).unwrap().step, 2);
        assert_eq!(jitter(&curve(&[1.0, 2.0, 1.0])), Some(1.0));
        assert_eq!(jitter(&points[..1]), None);
        let ten = curve(&[1.0, 1.0, 1.0, 1.0, 9.0, 2.0, 2.0, 2.0, 2.0, 9.0]);
        assert_eq!(medians(&ten, 2), Some(vec![1.0, 2.0]));
        assert_eq!(medians(&ten, 3), None);
    }

    #[test]
    fn parts_by_step() {
        let points = curve(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(since(&points, 3).len(), 2);
        assert_eq!(before(&points, 3).len(), 2);
        assert_eq!(newest(&points, 9).len(), 4);
        assert_eq!(lately(&points).len(), 4);
        assert_eq!(at_first(&points).len(), 4);
        assert_eq!(steps(&points), "steps 1 to 4");
        assert_eq!(steps(&points[..1]), "step 1");
    }
}
