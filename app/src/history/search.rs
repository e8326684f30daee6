//! A query of the user as a condition of SQL.

/// More words than this narrow nothing down.
const MOST: usize = 16;
/// The index holds sequences of three characters: shorter parts are not in it.
const INDEXED: usize = 3;

/// Words that are looked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    words: Vec<String>,
}

impl Wanted {
    /// Words are what spaces part; none of their characters has a meaning of its own.
    pub fn new(query: &str) -> Self {
        let query = query.replace('\0', " ");
        Self { words: query.split_whitespace().take(MOST).map(str::to_owned).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// A condition on rows of `lines`, by the index where it can be, and the values for it.
    pub fn in_lines(&self) -> (String, Vec<String>) {
        let (long, short): (Vec<_>, Vec<_>) =
            self.words.iter().cloned().partition(|word| word.chars().count() >= INDEXED);
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        if !long.is_empty() {
            let quoted = long.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\"")));
            values.push(quoted.collect::<Vec<_>>().join(" "));
            conditions.push("id IN (SELECT rowid FROM words WHERE words MATCH ?1)".to_owned());
        }
        if !short.is_empty() {
            let rest = Self { words: short };
            let (condition, more) = rest.in_columns(&["text", "translation"], values.len());
            conditions.push(condition);
            values.extend(more);
        }
        (conditions.join(" AND "), values)
    }

    /// A condition that every word is in one of the columns, and the values for it, which come
    /// behind `before` others.
    pub fn in_columns(&self, columns: &[&str], before: usize) -> (String, Vec<String>) {
        let conditions = (before + 1..).take(self.words.len()).map(|number| {
            let like = |column: &&str| format!("{column} LIKE ?{number} ESCAPE '\\'");
            format!("({})", columns.iter().map(like).collect::<Vec<_>>().join(" OR "))
        });
        let pattern = |word: &String| {
            let word = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("%{word}%")
        };
        let conditions = conditions.collect::<Vec<_>>().join(" AND ");
        (conditions, self.words.iter().map(pattern).collect())
    }
}
