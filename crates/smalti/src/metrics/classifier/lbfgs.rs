//! Minimising a smooth convex function: L-BFGS (Liu and Nocedal, "On the Limited Memory BFGS Method for Large Scale
//! Optimization", 1989), with steps that are halved until the function falls enough (Armijo).

use crate::metrics::linear_algebra::{add_scaled, dot};
use std::collections::VecDeque;

/// How many steps are remembered.
const MEMORY: usize = 10;

/// The part of the fall that the slope promises which is enough.
const ENOUGH: f64 = 1e-4;

/// How often a step is halved before it is given up: then rounding errors are all that is left.
const HALVINGS: usize = 40;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// No part of the gradient is larger.
    pub gradient: f64,
    pub steps: usize,
}

/// A place, and the function's value and gradient there.
struct Point {
    place: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// A step that was taken, and how the gradient changed with it.
struct Step {
    moved: Vec<f64>,
    change: Vec<f64>,
    /// Their inner product.
    curvature: f64,
}

/// The place where `function`, which returns value and gradient, is smallest, found from `start` on.
pub fn minimise(
    start: Vec<f64>,
    stop: Stop,
    mut function: impl FnMut(&[f64]) -> (f64, Vec<f64>),
) -> Vec<f64> {
    let (value, gradient) = function(&start);
    let mut point = Point {
        place: start,
        value,
        gradient,
    };
    let mut steps: VecDeque<Step> = VecDeque::new();
    for _ in 0..stop.steps {
        if largest(&point.gradient) <= stop.gradient {
            break;
        }
        let direction = direction(&point.gradient, &steps);
        let Some(next) = search(&point, &direction, &mut function) else {
            break;
        };
        if let Some(step) = Step::between(&point, &next) {
            steps.push_back(step);
        }
        if steps.len() > MEMORY {
            steps.pop_front();
        }
        point = next;
    }
    point.place
}

fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |most: f64, value| most.max(value.abs()))
}

/// Minus the gradient times the inverse of the second derivatives, as far as the steps tell of them.
fn direction(gradient: &[f64], steps: &VecDeque<Step>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|value| -value).collect();
    let mut factors = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let factor = dot(&step.moved, &direction) / step.curvature;
        add_scaled(&mut direction, -factor, &step.change);
        factors.push(factor);
    }
    let scale = match steps.back() {
        Some(step) => step.curvature / dot(&step.change, &step.change),
        None => 1.0 / dot(gradient, gradient).sqrt().max(1.0),
    };
    direction.iter_mut().for_each(|value| *value *= scale);
    for (step, factor) in steps.iter().zip(factors.iter().rev()) {
        let back = dot(&step.change, &direction) / step.curvature;
        add_scaled(&mut direction, factor - back, &step.moved);
    }
    direction
}

/// The first point along `direction` where the function has fallen enough; `None` where it does not fall any more.
fn search(
    from: &Point,
    direction: &[f64],
    function: &mut impl FnMut(&[f64]) -> (f64, Vec<f64>),
) -> Option<Point> {
    let slope = dot(&from.gradient, direction);
    let mut length = 1.0;
    for _ in 0..HALVINGS {
        let mut place = from.place.clone();
        add_scaled(&mut place, length, direction);
        let (value, gradient) = function(&place);
        if value <= from.value + ENOUGH * length * slope {
            return Some(Point {
                place,
                value,
                gradient,
            });
        }
        length /= 2.0;
    }
    None
}

impl Step {
    /// `None` where the slope is as good as the same at both, so that its change is a rounding error.
    fn between(from: &Point, to: &Point) -> Option<Self> {
        let difference = |to: &[f64], from: &[f64]| -> Vec<f64> {
            to.iter().zip(from).map(|(to, from)| to - from).collect()
        };
        let moved = difference(&to.place, &from.place);
        let change = difference(&to.gradient, &from.gradient);
        let curvature = dot(&moved, &change);
        let fall = dot(&moved, &from.gradient).abs();
        (curvature > 1e-10 * fall).then_some(Self {
            moved,
            change,
            curvature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: Stop = Stop {
        gradient: 1e-9,
        steps: 300,
    };

    #[test]
    fn a_stretched_bowl_has_its_bottom_where_it_is() {
        let stretch = |index: usize| 100.0_f64.powf(index as f64 / 9.0);
        let found = minimise(vec![0.0; 10], STOP, |place| {
            let (mut value, mut gradient) = (0.0, Vec::new());
            for (index, place) in place.iter().enumerate() {
                let distance = place - index as f64;
                value += 0.5 * stretch(index) * distance * distance;
                gradient.push(stretch(index) * distance);
            }
            (value, gradient)
        });
        for (index, place) in found.iter().enumerate() {
            assert!((place - index as f64).abs() < 1e-5, "{index}: {place}");
        }
    }

    /// ln cosh (x − 3) is nearly straight far from its bottom, where second derivatives say little.
    #[test]
    fn a_steep_valley_with_straight_walls() {
        let found = minimise(vec![-40.0], STOP, |place| {
            let distance: f64 = place[0] - 3.0;
            let value = distance.abs() + (-2.0 * distance.abs()).exp().ln_1p();
            (value, vec![distance.tanh()])
        });
        assert!((found[0] - 3.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn the_bottom_itself_is_left_alone() {
        let mut calls = 0;
        let found = minimise(vec![2.0], STOP, |_| {
            calls += 1;
            (0.0, vec![0.0])
        });
        assert_eq!((found, calls), (vec![2.0], 1));
    }
}
