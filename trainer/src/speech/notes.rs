//! Rows of the data that cannot be used, as they are told while a run goes on.

use partita_corpus::BadRow;

use super::feed::Share;

/// Rows that are told one by one; of more there is only the number.
const SHOWN: usize = 20;

/// Lines for people: what is wrong with the first rows, and how many more there are.
#[derive(Debug)]
pub struct Notes {
    lines: Vec<String>,
    shown: usize,
    /// Rows of the loader that were told.
    of_loader: usize,
    /// Whether it was said that not all are shown.
    more: bool,
}

impl Notes {
    /// Begins with rows that every process has found, told by the first one alone.
    pub fn new(rows: &[BadRow], share: Share) -> Self {
        let mut notes = Self { lines: Vec::new(), shown: 0, of_loader: 0, more: false };
        if share.rank == 0 {
            notes.add(rows);
        }
        notes
    }

    /// Adds rows.
    pub fn add(&mut self, rows: &[BadRow]) {
        let left = SHOWN.saturating_sub(self.shown);
        self.lines.extend(rows.iter().take(left).map(|bad| format!("left out: {bad}")));
        self.shown += rows.len().min(left);
        if rows.len() > left && !self.more {
            self.more = true;
            let tool = "`partita-train check-data` lists them all";
            self.lines.push(format!("more rows are left out; {tool}"));
        }
    }

    /// What has come up since the last time, with those of `rows` that are new.
    pub fn take(&mut self, rows: &[BadRow]) -> Vec<String> {
        self.add(rows.get(self.of_loader..).unwrap_or_default());
        self.of_loader = rows.len();
        std::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rows_are_told_once() {
        let row = |line| BadRow { file: "m.jsonl".into(), line, reason: "no sound".to_owned() };
        let mut notes = Notes::new(&[row(3)], Share::ALL);
        let mut found = vec![row(7)];
        assert_eq!(
            notes.take(&found),
            ["left out: m.jsonl:3: no sound", "left out: m.jsonl:7: no sound"]
        );
        assert!(notes.take(&found).is_empty());
        found.extend((10..40).map(row));
        let told = notes.take(&found);
        assert_eq!(told.len(), SHOWN - 2 + 1);
        assert!(told[SHOWN - 2].contains("check-data"), "{told:?}");
        found.push(row(90));
        assert!(notes.take(&found).is_empty());
        assert!(Notes::new(&found, Share { rank: 1, size: 2 }).take(&[]).is_empty());
    }
}
