//! Recipes: those of the project, `extends`, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

use partita_train::recipe::{Metric, Recipe};
use partita_train::stages::Stages;

fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(name)
}

/// Writes a recipe and reads it; the error's text without the folder.
fn read(text: &str) -> Result<Recipe, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.toml");
    fs::write(&path, text).unwrap();
    let in_folder = format!("{}/", folder.path().display());
    Recipe::load(&path).map_err(|error| error.to_string().replace(&in_folder, ""))
}

const GOOD: &str = r#"name = "r"
order = ["one"]
budget = { steps = 10 }
[stage.one]
train.adapter = { learning_rate = 1e-3 }
train.encoder = { learning_rate = 1e-4, top = 2 }
tasks = { asr = 1.0 }
"#;

#[test]
fn the_recipes_of_the_project_work() {
    let files = fs::read_dir(ours("")).unwrap();
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let recipe = Recipe::load(&path).unwrap();
        assert_eq!(path.file_stem().unwrap().to_str(), Some(recipe.name.as_str()));
        Stages::new(&recipe).unwrap();
        // What a run keeps is read as the same.
        let again = read(&recipe.to_toml().unwrap()).unwrap();
        assert_eq!(again, recipe);
        assert_eq!(again.to_toml().unwrap(), recipe.to_toml().unwrap());
        count += 1;
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn part_and_its_ablations_are_those_of_the_paper() {
    let load = |name: &str| Recipe::load(&ours(name)).unwrap();
    let part = load("part.toml");
    let modules = |recipe: &Recipe, stage: &str| -> Vec<&str> {
        recipe.stage[stage].train.modules().into_iter().map(|(name, _)| name.name()).collect()
    };
    assert_eq!(part.order, ["adapter", "top", "encoder", "joint"]);
    assert_eq!(modules(&part, "adapter"), ["adapter", "marks"]);
    assert_eq!(modules(&part, "top"), ["adapter", "encoder", "marks"]);
    assert_eq!(part.stage["top"].train.encoder.unwrap().top, Some(2));
    assert_eq!(part.stage["encoder"].train.encoder.unwrap().top, None);
    assert_eq!(modules(&part, "joint"), ["adapter", "encoder", "lora", "marks"]);
    for stage in ["adapter", "top", "encoder"] {
        assert_eq!((part.stage[stage].tasks.asr, part.stage[stage].tasks.st), (1.0, 0.0));
    }
    let share: f64 = part.stage.values().map(|stage| stage.share).sum();
    assert!((share - 1.0).abs() < 1e-12);

    let arms = ["part-b.toml", "part-c1.toml", "part-c2.toml", "part-c3.toml", "joint.toml"];
    let [b, c1, c2, c3, a] = arms.map(load);
    for arm in [&b, &c1, &c2, &c3, &a] {
        // The same data, steps, batches and seed, and no text in any.
        assert_eq!(arm.budget, part.budget);
        assert_eq!((&arm.data, &arm.batch, arm.seed), (&part.data, &part.batch, part.seed));
        assert!(arm.stage.values().all(|stage| !stage.late.exists()), "{}", arm.name);
        assert!(arm.stage.keys().all(|name| arm.order.contains(name)), "{}", arm.name);
    }
    assert_eq!(modules(&b, "joint"), modules(&part, "joint"));
    assert!(c1.stage.values().all(|stage| stage.tasks.st == 1.0 && stage.tasks.asr == 1.0));
    assert_eq!(modules(&c1, "joint"), modules(&part, "joint"));
    for arm in [&c2, &c3, &a] {
        assert_eq!(modules(arm, "joint"), ["adapter", "encoder", "marks"]);
        assert!(arm.stage.values().all(|stage| stage.tasks.st == 1.0));
    }
    assert_eq!(c2.order, part.order);
    assert_eq!(c3.order, ["adapter", "encoder", "joint"]);
    assert_eq!(a.order, ["adapter", "joint"]);
}

#[test]
fn what_is_left_out_has_a_default() {
    let recipe = read(GOOD).unwrap();
    assert_eq!((recipe.data.padded_share, recipe.data.noise_share), (0.15, 0.05));
    assert_eq!(recipe.evaluation.metric, Metric::Loss);
    assert_eq!(recipe.stage["one"].share, 1.0);
}

#[test]
fn a_recipe_takes_over_what_it_extends() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("r.toml"), GOOD).unwrap();
    let load = |text: &str| {
        let path = folder.path().join("child.toml");
        fs::write(&path, text).unwrap();
        Recipe::load(&path).map_err(|error| error.to_string())
    };
    let child = load("extends = \"r.toml\"\nname = \"c\"\n[batch]\naccumulate = 9\n").unwrap();
    assert_eq!((child.name.as_str(), child.batch.accumulate, child.extends), ("c", 9, None));
    assert_eq!(child.stage, read(GOOD).unwrap().stage);
    // Budgets and what a stage trains are taken whole; the rest of the stage stays.
    let text = "extends = \"r.toml\"\nbudget = { minutes = 5.0 }\n[stage.one]\ntrain.marks = { learning_rate = 0.5 }\n";
    let child = load(text).unwrap();
    assert_eq!((child.budget.steps, child.budget.minutes), (None, Some(5.0)));
    assert_eq!(child.stage["one"].train.modules().len(), 1);
    assert_eq!(child.stage["one"].tasks.asr, 1.0);
    // Errors name the file that has the line.
    let error = load("extends = \"r.toml\"\n[model]\nencoder = \"whisper-tiny\"\n\n[stage.one.train]\nencoder = { learning_rate = 1e-4, top = 5 }\n").unwrap_err();
    assert!(
        error.contains("child.toml:6: `stage.one.train.encoder.top`: the encoder has 4 layers"),
        "{error}"
    );
    fs::write(folder.path().join("r.toml"), GOOD.replace("top = 2", "top = 7")).unwrap();
    let error = load("extends = \"r.toml\"\n").unwrap_err();
    assert!(
        error.contains("r.toml:6: `stage.one.train.encoder.top`: the encoder has 6 layers, not 7"),
        "{error}"
    );
    let error = load("extends = \"missing.toml\"\n").unwrap_err();
    assert!(error.contains("missing.toml: No such file"), "{error}");
    let error = load("extends = \"child.toml\"\n").unwrap_err();
    assert!(error.contains("child.toml:1: `extends`: more than 8"), "{error}");
}

#[test]
fn errors_name_file_line_and_key() {
    let cases = [
        // What TOML or the types refuse.
        (("budget = { steps = 10 }", "budget = { steps = 10"), "r.toml:4: missing key"),
        (
            ("asr = 1.0", "asrr = 1.0"),
            "r.toml:7: `stage.one.tasks.asrr`: unknown field `asrr`, expected one of `asr`",
        ),
        (("name = \"r\"", "nmae = \"r\""), "r.toml:1: `nmae`: unknown field"),
        (
            ("learning_rate = 1e-3", "learning_rate = \"fast\""),
            "r.toml:5: `stage.one.train.adapter.learning_rate`: invalid type: string \"fast\", expected f64",
        ),
        (
            ("tasks", "share = 1\nplateau = { patience = -1 }\ntasks"),
            "r.toml:8: `stage.one.plateau.patience`: invalid value: integer `-1`",
        ),
        (("top = 2", "last = 2"), "r.toml:6: `stage.one.train.encoder.last`: unknown field"),
        (
            ("tasks", "schedule = { shape = \"square\" }\ntasks"),
            "r.toml:7: `stage.one.schedule.shape`: unknown variant `square`",
        ),
        (
            ("{ learning_rate = 1e-3 }", "{ weight_decay = 0.1 }"),
            "r.toml:5: `stage.one.train.adapter`: missing field `learning_rate`",
        ),
        // Stages that cannot work.
        (
            ("learning_rate = 1e-3", "learning_rate = 0.0"),
            "r.toml:5: `stage.one.train.adapter.learning_rate`: 0 is not above 0",
        ),
        (("learning_rate = 1e-3", "learning_rate = -1.0"), "-1 is not above 0"),
        (("top = 2", "top = 0"), "r.toml:6: `stage.one.train.encoder.top`: 0 layers"),
        (
            ("top = 2", "top = 8"),
            "r.toml:6: `stage.one.train.encoder.top`: the encoder has 6 layers, not 8",
        ),
        (("asr = 1.0", "asr = 0.0"), "r.toml:7: `stage.one.tasks`: all weights are 0"),
        (("asr = 1.0", "asr = nan"), "r.toml:7: `stage.one.tasks.asr`: NaN is not a weight"),
        (
            ("asr = 1.0", "asr = 1.0, mt = 0.1"),
            "r.toml:7: `stage.one.tasks.mt`: text passes through the LLM alone",
        ),
        (
            ("asr = 1.0", "ctc = 1.0 }\ntrain.marks = { learning_rate = 0.1"),
            "r.toml:7: `stage.one.tasks`: no task of this mix reaches `marks`",
        ),
        (
            ("tasks", "likeness = 1.0\ntasks"),
            "r.toml:7: `stage.one.likeness`: is of the task `ctc`, which this stage lacks",
        ),
        (("order = [\"one\"]", "order = []"), "r.toml:2: `order`: names no stage"),
        (
            ("order = [\"one\"]", "order = [\"one\", \"one\"]"),
            "r.toml:2: `order`: stage `one` comes twice",
        ),
        (
            ("order = [\"one\"]", "order = [\"one\", \"two\"]"),
            "r.toml:2: `order`: there is no stage `two`",
        ),
        (
            ("[stage.one]", "[stage.two]\n[stage.one]"),
            "r.toml:4: `stage.two`: does not occur in `order`",
        ),
        (("steps = 10", "steps = 0"), "r.toml:3: `budget.steps`: fewer steps than stages"),
        (
            ("steps = 10", "steps = 10, minutes = 3.0"),
            "r.toml:3: `budget`: set steps or minutes, not both",
        ),
        (("budget = { steps = 10 }", ""), "`budget`: set steps or minutes"),
        (
            ("[stage.one]", "[batch]\nseconds = 20.0\n[stage.one]"),
            "r.toml:5: `batch.seconds`: 20 is not between 30",
        ),
        (
            ("[stage.one]", "[optimizer]\nbeta2 = 1.0\n[stage.one]"),
            "r.toml:5: `optimizer.beta2`: 1 is not between",
        ),
        (
            ("tasks", "late = { from = 1.5, tasks = { asr = 1.0 } }\ntasks"),
            "r.toml:7: `stage.one.late.from`: 1.5",
        ),
        (
            ("tasks", "schedule = { shape = \"inverse-sqrt\", warmup = 0.0 }\ntasks"),
            "r.toml:7: `stage.one.schedule.warmup`",
        ),
        (("name = \"r\"", "name = \"../r\""), "r.toml:1: `name`"),
    ];
    for ((from, to), expected) in cases {
        assert!(GOOD.contains(from), "{from}");
        let error = read(&GOOD.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(expected), "{from} → {to}: {error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
    let without = GOOD.lines().filter(|line| !line.starts_with("train")).collect::<Vec<_>>();
    let error = read(&without.join("\n")).unwrap_err();
    assert!(error.contains("r.toml:4: `stage.one.train`: names no module"), "{error}");
    assert!(read("").unwrap_err().contains("`name`"));
    let error = Recipe::load(Path::new("no/such.toml")).unwrap_err().to_string();
    assert!(error.starts_with("no/such.toml: "), "{error}");
}

#[test]
fn every_number_out_of_its_range_is_refused_with_its_line() {
    let nan_and = |values: &'static [&'static str]| values.iter().copied().chain(["nan"]);
    let of_floats = [
        ("data", "padded_share", &["-0.1", "1.1", "inf"][..]),
        ("data", "noise_share", &["-0.1", "1.0"]),
        ("data", "language_temperature", &["0.0", "0.9", "-1.0", "101.0"]),
        ("data", "shortest", &["-1.0", "31.0"]),
        ("data", "longest", &["0.0", "31.0"]),
        ("augmentation", "noise_share", &["-0.1", "1.5"]),
        ("augmentation", "room_share", &["-0.1", "1.5"]),
        ("augmentation", "time_share", &["-0.1", "1.5"]),
        ("augmentation", "frame_dropout", &["-0.1", "1.0"]),
        ("augmentation", "speed", &["[0.4, 1.0]", "[1.0, 2.1]", "[1.1, 0.9]", "[nan, 1.0]"]),
        ("augmentation", "gain", &["[-61.0, 0.0]", "[0.0, 61.0]", "[3.0, -3.0]", "[0.0, nan]"]),
        ("augmentation", "noise_ratio", &["[-21.0, 0.0]", "[0.0, 61.0]", "[9.0, 5.0]"]),
        ("batch", "seconds", &["0.0", "1e9"]),
        ("optimizer", "beta1", &["-0.1", "1.0"]),
        ("optimizer", "beta2", &["-0.1", "1.0"]),
        ("optimizer", "epsilon", &["0.0", "2.0"]),
        ("optimizer", "weight_decay", &["-0.1", "1.1"]),
        ("optimizer", "clip_norm", &["0.0", "-1.0"]),
        ("checkpoints", "minutes", &["-1.0", "inf"]),
        ("lora", "alpha", &["0.0", "-1.0", "inf"]),
        ("lora", "dropout", &["-0.1", "1.0"]),
        ("schedule", "warmup", &["-0.1", "1.1"]),
        ("schedule", "floor", &["-0.1", "1.1"]),
        ("stage.one.plateau", "improvement", &["-0.1", "1.0"]),
        ("stage.one.plateau", "from", &["-0.1", "1.1"]),
    ];
    let of_counts = [
        ("augmentation", "frequency_masks", &["101"][..]),
        ("augmentation", "frequency_width", &["129"]),
        ("augmentation", "time_masks", &["101"]),
        ("batch", "text_tokens", &["0"]),
        ("batch", "accumulate", &["0"]),
        ("optimizer", "skip_limit", &["0"]),
        ("evaluation", "every", &["0"]),
        ("evaluation", "clips", &["0"]),
        ("checkpoints", "steps", &["1_000_000_000_000"]),
        ("checkpoints", "keep_last", &["0"]),
        ("checkpoints", "keep_best", &["10_000_000"]),
        ("lora", "rank", &["0", "5000"]),
        ("stage.one.plateau", "patience", &["0"]),
    ];
    let floats = of_floats.into_iter().flat_map(|(table, key, values)| {
        let own = nan_and(values).filter(move |value| *value != "nan" || !values[0].contains('['));
        own.map(move |value| (table, key, value))
    });
    let counts = of_counts
        .into_iter()
        .flat_map(|(table, key, values)| values.iter().map(move |value| (table, key, *value)));
    for (table, key, value) in floats.chain(counts) {
        let error = read(&format!("{GOOD}[{table}]\n{key} = {value}\n")).unwrap_err();
        let expected = format!("r.toml:9: `{table}.{key}`: ");
        // The longest clip is also what the size of batches is held against, and the other way.
        assert!(error.starts_with(&expected), "{table}.{key} = {value}: {error}");
    }
    for (key, value) in [("share", "0.0"), ("share", "inf"), ("likeness", "-1.0")] {
        let error = read(&format!("{GOOD}{key} = {value}\n")).unwrap_err();
        assert!(error.starts_with(&format!("r.toml:8: `stage.one.{key}`: ")), "{error}");
    }
    for budget in ["minutes = 0.0", "minutes = nan", "minutes = -3.0", "steps = 9_000_000_000_000"]
    {
        let error = read(&GOOD.replace("steps = 10", budget)).unwrap_err();
        assert!(error.starts_with("r.toml:3: `budget."), "{error}");
    }
}

#[test]
fn gain_is_a_key_and_features_of_changed_clips_are_not_kept() {
    let with = |rest: &str| read(&format!("{GOOD}{rest}"));
    let gain = |rest: &str| {
        let recipe = with(rest).unwrap();
        recipe.augmentation.gain(recipe.data.cache.is_some())
    };
    assert_eq!(gain(""), [-12.0, 6.0]);
    assert_eq!(gain("[augmentation]\ngain = [-3.0, 0.0]\n"), [-3.0, 0.0]);
    let calm = "speed = [1.0, 1.0]\nnoise_share = 0.0\nroom_share = 0.0\n";
    let cache = "[data]\ncache = { folder = \"c\", gigabytes = 1.0 }\n";
    assert_eq!(gain(&format!("[augmentation]\n{calm}{cache}")), [0.0, 0.0]);
    let error = with(&format!("[augmentation]\ngain = [-3.0, 0.0]\n{calm}{cache}")).unwrap_err();
    assert!(error.contains("`data.cache`: clips that get another speed, noise, rooms or gain"));
    // A recipe without the key is kept as it always was, so older runs go on.
    assert!(!with("").unwrap().to_toml().unwrap().contains("gain"));
}

#[test]
fn no_text_makes_it_panic() {
    use proptest::prelude::*;
    let lines: Vec<String> =
        fs::read_to_string(ours("part.toml")).unwrap().lines().map(str::to_owned).collect();
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) }, |(
        drop in 0..lines.len(), from in 0..lines.len(), to in 0..lines.len(), cut in 0..60_usize, junk in "\\PC{0,12}"
    )| {
        let mut changed = lines.clone();
        changed.swap(from, to);
        let line = &mut changed[drop];
        let at = line.char_indices().map(|(i, _)| i).nth(cut).unwrap_or(line.len());
        line.replace_range(at.., &junk);
        if let Err(error) = read(&changed.join("\n")) {
            prop_assert!(error.starts_with("r.toml:"), "{}", error);
        }
    });
}
