//! Pieces of Markdown.

/// A table; columns after the first `left` are aligned to the right.
pub fn table(header: &[&str], rows: &[Vec<String>], left: usize) -> String {
    let mut text = line(header.iter().map(|name| cell(name)));
    let ruler = (0..header.len()).map(|column| if column < left { "---" } else { "---:" });
    text += &line(ruler.map(str::to_owned));
    rows.iter().for_each(|row| text += &line(row.iter().map(|value| cell(value))));
    text + "\n"
}

fn line(cells: impl Iterator<Item = String>) -> String {
    format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
}

/// Text as it can stand in a cell: on one line, its signs without a meaning.
fn cell(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '|' | '\\' | '<' | '>' | '*' | '`' | '[' | ']') {
            safe.push('\\');
        }
        safe.push(character);
    }
    safe
}

/// A length of time in hours, in words.
pub fn time(hours: f64) -> String {
    match hours {
        short if short < 1.0 / 60.0 => format!("{:.0} s", 3600.0 * short),
        middle if middle < 1.0 => format!("{:.1} min", 60.0 * middle),
        long => format!("{long:.2} h"),
    }
}

/// An image beside the page, with what it shows in words.
pub fn image(words: &str, file: &str) -> String {
    format!("![{words}]({file})\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_a_cell() {
        let rows = [vec!["de".to_owned(), "a|b\n<i>c".to_owned()]];
        let expected = "| lang | text |\n| --- | ---: |\n| de | a\\|b \\<i\\>c |\n\n";
        assert_eq!(table(&["lang", "text"], &rows, 1), expected);
        assert_eq!([0.01, 0.5, 90.0].map(time), ["36 s", "30.0 min", "90.00 h"]);
    }
}
