//! The name that was probably meant.

/// That of `names` which `word` is a slip of the fingers away from; none where none is that near.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let slips = (word.chars().count() / 3).clamp(1, 3);
    let near = names.into_iter().map(|name| (distance(word, name), name));
    near.filter(|(distance, name)| (1..=slips).contains(distance) && *distance < name.len())
        .min()
        .map(|(_, n)| n)
}

/// What to add to a message about a `word` that is none of `names`; nothing where none of them is near.
pub fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, names).map_or_else(String::new, |name| format!("; did you mean {name:?}?"))
}

/// How many letters are to be put in, left out, replaced, or swapped with the next one.
fn distance(left: &str, right: &str) -> usize {
    // Names are short; what is not, is near to none.
    let (left, right): (Vec<char>, Vec<char>) =
        (left.chars().take(200).collect(), right.chars().take(200).collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_seen_and_other_words_are_not() {
        let names = ["web", "database", "memory", "a"];
        for (word, meant) in [
            ("wbe", Some("web")),
            ("webb", Some("web")),
            ("databse", Some("database")),
            ("memroy", Some("memory")),
            ("Memory", Some("memory")),
            ("web", None),
            ("cache", None),
            ("", None),
            ("b", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), names), None);
    }
}
