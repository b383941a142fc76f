//! Cuts of output slices into disjoint parts, so that threads can write them without sharing.

/// Cuts each row of `values` into blocks; returns for each block index that block of every row.
pub(crate) fn blocks_of_rows<T>(
    values: &mut [T],
    row_len: usize,
    block: usize,
) -> Vec<Vec<&mut [T]>> {
    let rows = values.len() / row_len;
    let columns = row_len.div_ceil(block);
    let mut blocks: Vec<_> = (0..columns).map(|_| Vec::with_capacity(rows)).collect();
    for row in values.chunks_exact_mut(row_len) {
        for (parts, part) in blocks.iter_mut().zip(row.chunks_mut(block)) {
            parts.push(part);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_collects_its_part_of_every_row() {
        let mut values = [0, 1, 2, 3, 4, 10, 11, 12, 13, 14];
        let blocks = blocks_of_rows(&mut values, 5, 2);
        assert_eq!(blocks.len(), 3);
        assert_eq!(blocks[1], vec![&mut [2, 3][..], &mut [12, 13][..]]);
        assert_eq!(blocks[2], vec![&mut [4][..], &mut [14][..]]);
    }
}
