//! Plots as SVG, to stand in a [`Page`](super::Page), whose style sheet has the colours: lines with a legend, intervals
//! and a logarithmic axis, and bars. Labels are escaped; numbers that are not finite are left out.

mod axis;

use super::page::escape;
use axis::{Axis, widened};
use std::fmt::Write as _;

/// A line, and what it is called in the legend.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// The lowest and the highest y at each point; empty where they are not known.
    pub intervals: Vec<(f64, f64)>,
}

impl Line {
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points,
            intervals: Vec::new(),
        }
    }

    /// Of a number at every whole x from 0.
    pub fn of_values(name: impl Into<String>, values: &[f64]) -> Self {
        let numbered = values.iter().enumerate();
        Self::new(name, numbered.map(|(x, &y)| (x as f64, y)).collect())
    }

    /// With the lowest and the highest y at each point.
    pub fn with_intervals(self, intervals: Vec<(f64, f64)>) -> Self {
        Self { intervals, ..self }
    }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 330.0;
/// Where the axes begin and end.
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 14.0;
const BOTTOM: f64 = HEIGHT - 46.0;

/// Colours of the style sheet.
const COLOURS: usize = 6;
/// Entries of the legend beside each other.
const ACROSS: usize = 3;
/// More points than there are pixels are drawn as the means of their neighbours.
const MOST_POINTS: usize = 700;
/// Beyond, differences of numbers may not be finite.
const LARGEST: f64 = 1e300;

/// Lines over an x that may be logarithmic; then what is not above 0 is left out.
pub fn lines(title: &str, x_label: &str, y_label: &str, lines: &[Line], log_x: bool) -> String {
    let drawn: Vec<Drawn> = lines.iter().map(|line| Drawn::new(line, log_x)).collect();
    let points = drawn.iter().flat_map(|line| &line.points);
    let xs = range(points.clone().map(|point| point.x));
    let ys = range(points.flat_map(|point| [point.low, point.y, point.high]));
    let mut plot = Plot::new(title, x_label, y_label, lines.len());
    let (Some(xs), Some(ys)) = (xs, ys) else {
        return plot.empty();
    };
    let x = Axis::linear(xs, [LEFT, RIGHT]).logarithmic(log_x);
    let y = Axis::linear(padded(ys), [BOTTOM, plot.top]);
    plot.axes(&x, &y);
    for (number, line) in drawn.iter().enumerate() {
        plot.line(number, line, [&x, &y]);
        plot.legend(number, &lines[number].name);
    }
    plot.finish()
}

/// Bars from 0 on, beside each other, over their number.
pub fn bars(title: &str, x_label: &str, y_label: &str, heights: &[f64]) -> String {
    let mut plot = Plot::new(title, x_label, y_label, 0);
    let Some([low, high]) = range(heights.iter().copied().chain([0.0])) else {
        return plot.empty();
    };
    let x = Axis::linear([0.0, heights.len().max(1) as f64], [LEFT, RIGHT]);
    let y = Axis::linear(widened([low, high]), [BOTTOM, plot.top]);
    plot.axes(&x, &y);
    let zero = y.place(0.0);
    for (number, &height) in heights.iter().enumerate() {
        if !is_usable(height) {
            continue;
        }
        let (from, to) = (x.place(number as f64), x.place(number as f64 + 1.0));
        let (top, bottom) = (y.place(height).min(zero), y.place(height).max(zero));
        plot.add(format_args!(
            "<rect x=\"{from:.2}\" y=\"{top:.2}\" width=\"{:.2}\" height=\"{:.2}\" fill=\"var(--c0)\"/>",
            (to - from) * 0.9,
            bottom - top
        ));
    }
    plot.finish()
}

/// A point with its interval, which is the point itself where there is none.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    x: f64,
    y: f64,
    low: f64,
    high: f64,
}

/// What can be drawn of a line.
struct Drawn {
    points: Vec<Point>,
    has_intervals: bool,
}

impl Drawn {
    fn new(line: &Line, log_x: bool) -> Self {
        let has_intervals = line.intervals.len() == line.points.len();
        let point = |(index, &(x, y)): (usize, &(f64, f64))| {
            let interval = line.intervals.get(index).filter(|_| has_intervals);
            let (low, high) = interval.copied().unwrap_or((y, y));
            Point { x, y, low, high }
        };
        let points = line.points.iter().enumerate().map(point);
        let usable = |point: &Point| {
            let Point { x, y, low, high } = *point;
            [x, y, low, high].into_iter().all(is_usable) && !(log_x && x <= 0.0)
        };
        let points: Vec<Point> = points.filter(usable).collect();
        Self {
            points: thinned(&points),
            has_intervals,
        }
    }
}

fn is_usable(number: f64) -> bool {
    number.is_finite() && number.abs() < LARGEST
}

/// Means of neighbours where there are too many points.
fn thinned(points: &[Point]) -> Vec<Point> {
    let run = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |points: &[Point]| {
        let of =
            |value: fn(&Point) -> f64| points.iter().map(value).sum::<f64>() / points.len() as f64;
        Point {
            x: of(|point| point.x),
            y: of(|point| point.y),
            low: of(|point| point.low),
            high: of(|point| point.high),
        }
    };
    points.chunks(run).map(mean).collect()
}

/// The lowest and the highest of usable numbers.
fn range(numbers: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    let mut found: Option<[f64; 2]> = None;
    for number in numbers.filter(|&number| is_usable(number)) {
        let [low, high] = found.unwrap_or([number; 2]);
        found = Some([low.min(number), high.max(number)]);
    }
    found
}

/// With some room above and below.
fn padded(range: [f64; 2]) -> [f64; 2] {
    let [low, high] = widened(range);
    let room = 0.05 * (high - low);
    [low - room, high + room]
}

/// An SVG that is being written.
struct Plot {
    svg: String,
    /// The upper end of the y axis.
    top: f64,
}

impl Plot {
    fn new(title: &str, x_label: &str, y_label: &str, entries: usize) -> Self {
        let rows = entries.div_ceil(ACROSS);
        let mut plot = Self {
            svg: String::new(),
            top: 34.0 + 18.0 * rows as f64,
        };
        let (title, middle) = (escape(title), (LEFT + RIGHT) / 2.0);
        plot.add(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\" \
             aria-label=\"{title}\">"
        ));
        plot.add(format_args!(
            "<text x=\"{LEFT}\" y=\"18\" font-weight=\"bold\">{title}</text>"
        ));
        plot.add(format_args!(
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - 8.0,
            escape(x_label)
        ));
        let height = (plot.top + BOTTOM) / 2.0;
        plot.add(format_args!(
            "<text x=\"14\" y=\"{height}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {height})\">{}</text>",
            escape(y_label)
        ));
        plot
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.svg, "{element}");
    }

    fn axes(&mut self, x: &Axis, y: &Axis) {
        for (tick, text) in y.ticks() {
            let place = y.place(tick);
            self.add(format_args!(
                "<path class=\"grid\" d=\"M{LEFT} {place:.2}H{RIGHT}\"/><text x=\"{}\" y=\"{:.2}\" \
                 text-anchor=\"end\">{text}</text>",
                LEFT - 6.0,
                place + 4.0
            ));
        }
        for (tick, text) in x.ticks() {
            let place = x.place(tick);
            self.add(format_args!(
                "<path class=\"axis\" d=\"M{place:.2} {BOTTOM}v5\"/><text x=\"{place:.2}\" y=\"{}\" \
                 text-anchor=\"middle\">{text}</text>",
                BOTTOM + 19.0
            ));
        }
        let top = self.top;
        self.add(format_args!(
            "<path class=\"axis\" d=\"M{LEFT} {top}V{BOTTOM}H{RIGHT}\"/>"
        ));
    }

    fn line(&mut self, number: usize, line: &Drawn, [x, y]: [&Axis; 2]) {
        let colour = number % COLOURS;
        let path = |points: &mut dyn Iterator<Item = (f64, f64)>| {
            let places = points.map(|(px, py)| format!("{:.2} {:.2}", x.place(px), y.place(py)));
            places.collect::<Vec<_>>().join("L")
        };
        if line.has_intervals && line.points.len() > 1 {
            let above = line.points.iter().map(|point| (point.x, point.high));
            let below = line.points.iter().rev().map(|point| (point.x, point.low));
            let outline = path(&mut above.chain(below));
            self.add(format_args!(
                "<path class=\"band\" fill=\"var(--c{colour})\" d=\"M{outline}Z\"/>"
            ));
        }
        if line.points.len() > 1 {
            let course = path(&mut line.points.iter().map(|point| (point.x, point.y)));
            self.add(format_args!(
                "<path class=\"line\" stroke=\"var(--c{colour})\" d=\"M{course}\"/>"
            ));
        }
        // Few points are shown as such, and one alone would be no line.
        if line.points.len() <= 30 {
            for point in &line.points {
                self.add(format_args!(
                    "<circle cx=\"{:.2}\" cy=\"{:.2}\" r=\"3\" fill=\"var(--c{colour})\"/>",
                    x.place(point.x),
                    y.place(point.y)
                ));
            }
        }
    }

    fn legend(&mut self, number: usize, name: &str) {
        let left = LEFT + (number % ACROSS) as f64 * (RIGHT - LEFT) / ACROSS as f64;
        let height = 36.0 + 18.0 * (number / ACROSS) as f64;
        self.add(format_args!(
            "<path class=\"line\" stroke=\"var(--c{})\" d=\"M{left:.2} {}h18\"/><text x=\"{:.2}\" y=\"{height}\">{}</text>",
            number % COLOURS,
            height - 4.0,
            left + 24.0,
            escape(name)
        ));
    }

    /// Without anything to show.
    fn empty(mut self) -> String {
        let middle = (LEFT + RIGHT) / 2.0;
        self.add(format_args!(
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">no numbers to show</text>",
            HEIGHT / 2.0
        ));
        self.finish()
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>");
        self.svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_and_named() {
        let falling = Line::new("loss <b>", vec![(1.0, 2.0), (10.0, 1.0), (100.0, 0.5)]);
        let intervals = falling.points.iter().map(|&(_, y)| (y - 0.1, y + 0.1));
        let falling = falling.clone().with_intervals(intervals.collect());
        let other = Line::of_values("other", &[1.0, 1.5]);
        let svg = lines("a & b", "x", "y", &[falling, other], true);
        assert_eq!(svg.matches("class=\"band\"").count(), 1);
        assert!(svg.contains("loss &lt;b&gt;") && svg.contains("a &amp; b"));
        // x = 0 has no logarithm.
        assert_eq!(svg.matches("<circle").count(), 3 + 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        let points = vec![
            (0.0, f64::NAN),
            (1.0, f64::INFINITY),
            (2.0, 1e308),
            (3.0, -1e308),
            (4.0, 3.0),
        ];
        let svg = lines("t", "x", "y", &[Line::new("l", points)], false);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(lines("t", "x", "y", &[], true).contains("no numbers to show"));
        let bars = bars("t", "x", "y", &[1.0, f64::NAN, 3.0]);
        assert_eq!(bars.matches("<rect").count(), 2);
    }

    #[test]
    fn many_points_become_few() {
        let values: Vec<f64> = (0..10_000).map(f64::from).collect();
        let drawn = Drawn::new(&Line::of_values("l", &values), false);
        assert!(drawn.points.len() <= MOST_POINTS);
        assert_eq!(drawn.points[0].y, 7.0);
    }
}
