use super::*;

#[test]
fn a_mark_says_where_to_begin_and_what_need_not_be_listed() {
    // Newest Delta checkpoint, commits signed; first version read, end of those foretold.
    for (delta_checkpoint, size, expected) in [
        (None, 0, (0, 0)),
        (None, 1, (0, 1)),
        (None, 512, (0, 512)),
        // So many without a Delta checkpoint: somebody took the hint away.
        (None, 513, (0, 0)),
        (Some(100), 102, (96, 102)),
        (Some(100), 112, (101, 112)),
        (Some(100), 201, (101, 201)),
        (Some(100), 613, (101, 613)),
        (Some(100), 614, (101, 101)),
        // Marks that contradict each other, or all sense.
        (Some(200), 150, (201, 201)),
        (Some(200), 199, (192, 199)),
        (Some(100), 0, (101, 101)),
        (Some(4), 0, (0, 0)),
        (Some(u64::MAX), u64::MAX, (u64::MAX - 15, u64::MAX)),
        (Some(5), u64::MAX, (6, 6)),
    ] {
        assert_eq!(range(delta_checkpoint, size), expected, "{delta_checkpoint:?}, {size}");
    }
}
