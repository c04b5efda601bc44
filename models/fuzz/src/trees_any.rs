//! Any bytes as a file of trees: refused with a reason that fits a line, or walked from values at their cuts, as a walk without any table says.
//! Shared with models/tests/models/trees.rs, so that what the fuzzer checks and what the test replays cannot part.

use verdict_models::Refusal;
use verdict_models::trees::{TREES_MAX, Trees};

/// Reads one file; if it is one, walks it, and holds each row against the columns of the file itself.
pub fn trees_any(bytes: &[u8]) -> Result<(), Refusal> {
    let trees = Trees::read(bytes).inspect_err(|refusal| {
        assert!(refusal.to_string().len() < 500 && !refusal.why.is_empty());
        assert!(refusal.at.is_none_or(|at| at <= bytes.len()));
    })?;
    let file: serde_json::Value = serde_json::from_slice(bytes).expect("what was read is JSON");
    let column = |name: &str| -> Vec<i64> { file[name].as_array().into_iter().flatten().filter_map(serde_json::Value::as_i64).collect() };
    let [root, field, cut, left, right] = ["root", "field", "cut", "left", "right"].map(column);
    let near = |by: i64| cut.iter().map(move |&cut| cut.saturating_add(by));
    let fields = trees.fields().len();
    for values in
        [vec![], vec![-1; 3], vec![i64::MIN; 70], vec![i64::MAX; 70], near(0).collect(), near(1).collect(), near(-1).rev().collect()]
    {
        let mut rows = [0; TREES_MAX];
        let rows = trees.rows(&values, &mut rows);
        assert_eq!(rows.len(), root.len());
        for (&row, &root) in rows.iter().zip(&root) {
            let mut node = root;
            while let Ok(at) = usize::try_from(node) {
                let value = values[..values.len().min(fields)].get(field[at] as usize).copied().unwrap_or(-1);
                node = if value <= cut[at] { left[at] } else { right[at] };
            }
            assert_eq!(i64::from(row), -1 - node);
            assert!((1..=trees.row_max()).contains(&row));
        }
    }
    Ok(())
}
