//! The last step of Canny's method: a weak edge stays where it leads to a strong one.

use image::GrayImage;

/// How sure it is that a pixel lies on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Not,
    Weak,
    Strong,
}

/// White where a mark is strong, or weak and joined to a strong one by others, each of which touches the next at a side
/// or a corner. `marks` are in reading order, one per pixel.
pub(super) fn linked(width: u32, height: u32, mut marks: Vec<Mark>) -> GrayImage {
    let (columns, rows) = (width as usize, height as usize);
    let mut waiting: Vec<usize> = (0..marks.len())
        .filter(|&place| marks[place] == Mark::Strong)
        .collect();
    while let Some(place) = waiting.pop() {
        let (x, y) = (place % columns, place / columns);
        for row in y.saturating_sub(1)..(y + 2).min(rows) {
            for column in x.saturating_sub(1)..(x + 2).min(columns) {
                let neighbour = row * columns + column;
                if marks[neighbour] == Mark::Weak {
                    marks[neighbour] = Mark::Strong;
                    waiting.push(neighbour);
                }
            }
        }
    }
    let bytes = marks.into_iter().map(|mark| match mark {
        Mark::Strong => 255,
        Mark::Weak | Mark::Not => 0,
    });
    GrayImage::from_raw(width, height, bytes.collect()).expect("one mark for every pixel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_marks_stay_where_they_lead_to_strong_ones() {
        let picture = [
            "w..w...", //
            ".w..w.w", //
            "..S..w.", //
            ".......", //
            "w.w...S",
        ];
        let expected = [
            "#......", //
            ".#.....", //
            "..#....", //
            ".......", //
            "......#",
        ];
        let letters = picture.concat();
        let marks = letters.chars().map(|letter| match letter {
            'S' => Mark::Strong,
            'w' => Mark::Weak,
            _ => Mark::Not,
        });
        let edges = linked(7, 5, marks.collect());
        let drawn: String = edges
            .as_raw()
            .iter()
            .map(|&byte| if byte == 255 { '#' } else { '.' })
            .collect();
        assert_eq!(drawn, expected.concat());
        assert_eq!(linked(0, 0, Vec::new()).dimensions(), (0, 0));
    }
}
