//! Prints the token ids of texts: `token_ids MODEL.gguf [--shortlist LEAST]`.
//!
//! Reads one JSON string a line from standard input, so that a text can hold line ends, and writes
//! one JSON list of ids a line. With `--shortlist` it writes how many tokens a shortlist of these
//! texts has whose tokens occur `LEAST` times or more, and how it fares on the same texts.
//! `tests/tokens/compare.py` compares the ids with llama.cpp's.

use std::error::Error;
use std::io::{BufRead, BufWriter, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use partita_model::files::WeightFile;
use partita_model::tokens::{Marks, ShortlistBuilder, TextTokenizer};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, least) = match arguments.as_slice() {
        [model] => (model, None),
        [model, flag, least] if flag == "--shortlist" => (model, Some(least.parse()?)),
        _ => return Err("usage: token_ids MODEL.gguf [--shortlist LEAST] < lines.jsonl".into()),
    };
    let start = Instant::now();
    let file = WeightFile::open(Path::new(model))?;
    let opened = start.elapsed();
    let tokenizer = TextTokenizer::from_gguf(&file)?;
    let loaded = start.elapsed() - opened;
    eprintln!("{} tokens: header {opened:.2?}, tokenizer {loaded:.2?}", tokenizer.vocabulary());
    drop(file);

    let lines = stdin().lock().lines();
    let texts = lines.map(|line| Ok(serde_json::from_str(&line?)?));
    let texts = texts.collect::<Result<Vec<String>, Box<dyn Error>>>()?;
    if let Some(least) = least {
        return shortlist(&tokenizer, &texts, least);
    }
    let start = Instant::now();
    let ids: Vec<Vec<u32>> = texts.iter().map(|text| tokenizer.encode(text)).collect();
    let (time, bytes) = (start.elapsed(), texts.iter().map(String::len).sum::<usize>());
    eprintln!("{} texts, {bytes} bytes: {time:.2?}", texts.len());
    let mut out = BufWriter::new(stdout().lock());
    for ids in ids {
        writeln!(out, "{}", serde_json::to_string(&ids)?)?;
    }
    Ok(())
}

fn shortlist(from: &TextTokenizer, texts: &[String], least: u64) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut builder = ShortlistBuilder::new(from);
    texts.iter().for_each(|text| builder.add_text(text));
    let list = builder.finish(&Marks::for_tokenizer(from), least);
    let time = start.elapsed();
    let (mut full, mut restricted, mut outside) = (0, 0, 0);
    let (mut listed, mut different) = (0, 0);
    for text in texts {
        let ids = from.encode(text);
        let unlisted = ids.iter().filter(|&&id| list.short(id).is_none()).count();
        if unlisted == 0 {
            listed += 1;
            different += usize::from(list.encode(from, text) != ids);
        }
        outside += unlisted;
        restricted += list.restrict(from, &ids)?.len();
        full += ids.len();
    }
    let (share, longer) = (outside as f64 / full as f64, restricted as f64 / full as f64);
    println!(
        "{} texts: {} of {} tokens ({time:.2?}); {:.3} % of the tokens in these texts are outside, \
         texts get {longer:.4} times as long; {listed} texts are in the list, {different} of them \
         with other tokens",
        texts.len(),
        list.len(),
        from.vocabulary(),
        100.0 * share,
    );
    Ok(())
}
