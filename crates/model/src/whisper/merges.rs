//! The merges of Whisper's tokenizer.

use serde_json::Value;
use std::collections::HashSet;

/// The merges of a tokenizer's `model` (`tokenizer.json`) as lines; newer files have pairs. `None`
/// when there are none, or one is no pair.
///
/// Published files of Whisper lack the very first, `Ġ t`, whose token and all that are made of it the
/// model writes all the same: tokens of two characters that nothing makes are made first.
pub fn merges(model: &Value) -> Option<Vec<String>> {
    let line = |merge: &Value| match merge {
        Value::String(line) => Some(line.clone()),
        Value::Array(pair) => match &pair[..] {
            [Value::String(left), Value::String(right)] => Some(format!("{left} {right}")),
            _ => None,
        },
        _ => None,
    };
    let merges: Vec<String> =
        model.get("merges")?.as_array()?.iter().map(line).collect::<Option<_>>()?;
    let made: HashSet<String> = merges.iter().map(|merge| merge.replacen(' ', "", 1)).collect();
    let vocabulary = model.get("vocab")?.as_object()?;
    let pair = |(piece, id): (&String, &Value)| {
        let [left, right] = <[char; 2]>::try_from(piece.chars().collect::<Vec<_>>()).ok()?;
        let is_known = |part: char| vocabulary.contains_key(part.encode_utf8(&mut [0; 4]));
        let is_missing = !made.contains(piece) && is_known(left) && is_known(right);
        is_missing.then(|| Some((id.as_u64()?, format!("{left} {right}"))))?
    };
    let mut first: Vec<(u64, String)> = vocabulary.iter().filter_map(pair).collect();
    first.sort();
    Some(first.into_iter().map(|(_, merge)| merge).chain(merges).collect())
}

/// A `tokenizer.json` with all its [`merges`]; as it is when it lacks none.
pub(super) fn completed(json: String) -> String {
    let Ok(mut file) = serde_json::from_str::<Value>(&json) else { return json };
    let Some(model) = file.get_mut("model") else { return json };
    let Some(merges) = merges(model) else { return json };
    let known = model.get("merges").and_then(Value::as_array).map_or(0, Vec::len);
    if merges.len() == known {
        return json;
    }
    if let Some(model) = model.as_object_mut() {
        model.insert("merges".to_owned(), merges.into());
    }
    file.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_merge_that_published_files_lack_is_made_first() {
        let file = json!({"version": "1.0", "model": {
            "type": "BPE",
            "vocab": {"a": 0, "h": 1, "t": 2, "Ġ": 3, "Ġt": 4, "Ġa": 5, "Ġth": 6, "Ġthat": 7, "at": 8},
            "merges": ["Ġ a", "Ġt h", ["a", "t"], "Ġth at"],
        }});
        let all = merges(&file["model"]).unwrap();
        assert_eq!(all, ["Ġ t", "Ġ a", "Ġt h", "a t", "Ġth at"]);
        let completed_once = completed(file.to_string());
        let read: Value = serde_json::from_str(&completed_once).unwrap();
        assert_eq!((&read["model"]["merges"], &read["version"]), (&json!(all), &json!("1.0")));
        assert_eq!(completed(completed_once.clone()), completed_once);
        for other in ["{", "[]", r#"{"model": {"merges": [1], "vocab": {}}}"#] {
            assert_eq!(completed(other.to_owned()), other);
        }
    }
}
