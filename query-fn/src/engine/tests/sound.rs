//! Nothing that was skipped held a match: random archives and conditions against a judge that
//! looks at every row.
//!
//! What a scan skipped, be it a file, a row group or a page, is what it did not hand over: the
//! scan of each plan is run by itself, below every filter. Each row that it left out is judged.
//!
//! `MESHLEDGER_PRUNING_SEED` repeats a run, `MESHLEDGER_PRUNING_ARCHIVES` makes it longer.

mod grammar;
mod judge;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::{ExecutionPlan, collect};

use self::grammar::{COLUMNS, Class, Condition};
use self::judge::{Value, compare};
use self::world::{Id, World};
use super::*;
use crate::dice::Dice;
use crate::explain::Outcome;
use crate::prune::Verdict;

/// A number from the environment, for longer runs and to repeat a failure.
#[expect(clippy::disallowed_methods, reason = "how a test is run is its caller's choice")]
fn setting(name: &str, usual: u64) -> u64 {
    let value = std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    println!("{name}={value}");
    value
}

/// One query, taken apart.
struct Run {
    /// Rows that left the scans.
    scanned: Vec<Id>,
    /// Rows of the answer.
    answered: Vec<Id>,
    /// By file, what was decided before any was opened.
    verdicts: Vec<Verdict>,
    /// Files of which the scan was spared, as their ends say that no row matches.
    excluded: BTreeSet<usize>,
    report: crate::explain::Pruning,
}

fn scans_of(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<Arc<dyn ExecutionPlan>>) {
    if plan.downcast_ref::<DataSourceExec>().is_some() {
        found.push(Arc::clone(plan));
    }
    for child in plan.children() {
        scans_of(child, found);
    }
}

fn ids(batches: &[RecordBatch]) -> Vec<Id> {
    let mut ids = Vec::new();
    for batch in batches {
        let segments = batch.column_by_name("segment").unwrap();
        let segments = arrow::compute::cast(segments, &DataType::Utf8).unwrap();
        let rows = batch.column_by_name("segment_row").unwrap();
        let rows = rows.as_primitive::<Int64Type>().values();
        for (segment, row) in segments.as_string::<i32>().iter().zip(rows) {
            ids.push((segment.unwrap().to_owned(), *row));
        }
    }
    ids
}

async fn run(core: &Core, world: &World, condition: &str) -> Result<Run, QueryError> {
    let sql = format!("SELECT segment, segment_row FROM mesh_events WHERE {condition}");
    let request = Request::new(sql, Mode::Fresh);
    let snapshot = Arc::new(world.snapshot.clone());
    let grant = Arc::new(Grant::everything());
    let plan = async |scans: &Scans| {
        let readers = core.footers.readers(&snapshot, false, &world.store);
        let store = Arc::clone(&world.store);
        let session = core.shared.session(&snapshot, store, scans, &readers, &grant).unwrap();
        let room = Room { memory_bytes: core.limits.memory_bytes, threads: core.limits.threads };
        let (statement, bounds) = (core.parse(&request)?, (room, Stop::default()));
        physical_plan(session, statement, request.clone(), Arc::clone(&grant), bounds).await
    };
    let engine = |e| QueryError::from_engine(&e);
    let Planned { plan: whole, context, .. } = plan(&Scans::default()).await?;
    let answered = ids(&collect(whole, context).await.map_err(engine)?);
    let scans = Scans::new(true);
    let Planned { plan: whole, context, .. } = plan(&scans).await?;
    let mut parts = Vec::new();
    scans_of(&whole, &mut parts);
    let mut scanned = Vec::new();
    for part in parts {
        scanned.extend(ids(&collect(part, Arc::clone(&context)).await.map_err(engine)?));
    }
    let meter = Meter::new(Allowance::default());
    let report = crate::explain::Pruning::of(&scans, &snapshot, &meter);
    let planned = scans.planned();
    // A condition that nothing fulfils may leave nothing to scan.
    let verdicts = planned.first().map_or_else(
        || vec![Verdict::Partition; snapshot.files.len()],
        |record| record.verdicts().to_vec(),
    );
    let excluded = planned.iter().flat_map(|record| record.excluded()).map(|(file, _)| *file);
    Ok(Run { scanned, answered, verdicts, excluded: excluded.collect(), report })
}

/// What is wrong with a run, if anything is.
fn judge_run(world: &World, condition: &Condition, run: &Run) -> Result<Tally, String> {
    let scanned: BTreeSet<&Id> = run.scanned.iter().collect();
    let answered: BTreeSet<&Id> = run.answered.iter().collect();
    if scanned.len() != run.scanned.len() || answered.len() != run.answered.len() {
        return Err("a row came twice".to_owned());
    }
    let mut tally = Tally::default();
    let mut groups: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    for row in &world.rows {
        let matches = condition.holds(&row.cells) == Some(true);
        let is_scanned = scanned.contains(&row.id);
        if matches && !is_scanned {
            return Err(format!("skipped, though it matches: {row:?}"));
        }
        if matches != answered.contains(&row.id) {
            return Err(format!("matches: {matches}, but the answer says else: {row:?}"));
        }
        if is_scanned
            && (run.verdicts[row.file] != Verdict::Kept || run.excluded.contains(&row.file))
        {
            return Err(format!("scanned, though its file was dropped: {row:?}"));
        }
        let seen = groups.entry((row.file, row.group)).or_default();
        *seen = *seen || is_scanned;
        tally.matches += usize::from(matches);
        tally.skipped_rows += usize::from(!is_scanned);
    }
    if scanned.len() + tally.skipped_rows != world.rows.len() {
        return Err("a row was scanned that does not count".to_owned());
    }
    tally.excluded = run.excluded.len();
    for verdict in &run.verdicts {
        tally.files[usize::from(*verdict as u8)] += 1;
    }
    for scan in &run.report.scans {
        for file in &scan.files {
            let number = world.snapshot.files.iter().position(|f| f.entry.path == file.path);
            let number = number.ok_or("the report names a file that is not there")?;
            let seen = groups.iter().filter(|((of, _), seen)| *of == number && **seen).count();
            let told = file.row_groups.map_or(0, |groups| groups.read);
            if u64::try_from(seen).unwrap() > told {
                return Err(format!("rows of {seen} row groups, {told} are told of: {file:?}"));
            }
            let says_why =
                !matches!(file.outcome, Outcome::PrunedPartition | Outcome::PrunedStatistics)
                    || file.condition.is_some();
            if !says_why {
                return Err(format!("dropped without a condition: {file:?}"));
            }
            if let Some(groups) = file.row_groups {
                tally.groups[0] += groups.pruned_statistics;
                tally.groups[1] += groups.pruned_bloom;
                tally.groups[2] += groups.rows_pruned_page_index;
            }
        }
    }
    Ok(tally)
}

/// How much was put to the test.
#[derive(Debug, Default)]
struct Tally {
    matches: usize,
    skipped_rows: usize,
    /// By verdict.
    files: [usize; 3],
    /// Files excluded by their ends before the scan.
    excluded: usize,
    /// Row groups excluded by statistics and by bloom filters, and rows by the page index.
    groups: [u64; 3],
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.matches += other.matches;
        self.skipped_rows += other.skipped_rows;
        self.excluded += other.excluded;
        for (sum, more) in self.files.iter_mut().zip(other.files) {
            *sum += more;
        }
        for (sum, more) in self.groups.iter_mut().zip(other.groups) {
            *sum += more;
        }
    }
}

fn random_core(dice: &mut Dice) -> Core {
    core(Limits { threads: 1 + dice.below(3), ..Limits::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_skipped_held_a_match() {
    let seed = setting("MESHLEDGER_PRUNING_SEED", 20_261_122);
    let archives = setting("MESHLEDGER_PRUNING_ARCHIVES", ARCHIVES);
    let (mut tally, mut failures, mut refused) = (Tally::default(), Vec::new(), 0);
    for archive in 0..archives {
        let mut dice = Dice(seed + archive);
        let world = World::random(&mut dice).await;
        let core = random_core(&mut dice);
        for case in 0..CONDITIONS {
            let depth = dice.below(3);
            let condition = if dice.chance(25) {
                Condition::look_up(&mut dice, depth)
            } else {
                Condition::random(&mut dice, depth)
            };
            let sql = condition.sql();
            let told = match run(&core, &world, &sql).await {
                Ok(run) => judge_run(&world, &condition, &run),
                Err(error) => Err(error.to_string()),
            };
            match told {
                Ok(more) => tally.add(&more),
                Err(wrong) if wrong.contains(ENGINE_DEFECT) => refused += 1,
                Err(wrong) => failures.push(format!(
                    "MESHLEDGER_PRUNING_SEED={} MESHLEDGER_PRUNING_ARCHIVES=1, case {case}:\n\
                     {sql}\n{wrong}",
                    seed + archive
                )),
            }
        }
    }
    println!("{tally:?}, {refused} not answered");
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
    if archives < ARCHIVES {
        return;
    }
    // The test means something only if each way to skip is taken often.
    assert!(refused < 10, "{refused} not answered");
    assert!(tally.matches > 1_000 && tally.skipped_rows > 10_000, "{tally:?}");
    assert!(tally.files.iter().all(|count| *count > 200), "{tally:?}");
    assert!(tally.groups.iter().all(|count| *count > 20), "{tally:?}");
    assert!(tally.excluded > 100, "{tally:?}");
}

const ARCHIVES: u64 = 12;
const CONDITIONS: usize = 60;

/// The engine's estimate of how many rows match is a little above all of them for some conditions
/// over dates and times; it then gives an error in place of the answer.
const ENGINE_DEFECT: &str = "Selectivity is out of limit";

/// The same archives, asked in other shapes: what a LIMIT, an order, an aggregate or a join adds
/// to the conditions while the query runs must not cost a row either.
#[tokio::test(flavor = "multi_thread")]
async fn other_shapes_of_queries_lose_no_row_either() {
    let seed = setting("MESHLEDGER_PRUNING_SEED", 20_261_122);
    let archives = setting("MESHLEDGER_PRUNING_ARCHIVES", 6);
    let mut failures = Vec::new();
    for archive in 0..archives {
        let mut dice = Dice(seed + 1_000_000 + archive);
        let world = World::random(&mut dice).await;
        let fixture = Fixture {
            snapshot: world.snapshot.clone(),
            store: Arc::clone(&world.store),
            limits: Limits { threads: 1 + dice.below(3), ..Limits::default() },
        };
        for case in 0..CONDITIONS {
            let depth = dice.below(2);
            let condition = if dice.chance(25) {
                Condition::look_up(&mut dice, depth)
            } else {
                Condition::random(&mut dice, depth)
            };
            let (sql, expected) = shape(&mut dice, &world, &condition);
            let answer = fixture.ask(&Request::new(sql.as_str(), Mode::Fresh)).await;
            let told = match answer {
                Ok((found, _)) => expected.judge(&found),
                Err(error) => Err(error.to_string()),
            };
            if let Err(wrong) = told
                && !wrong.contains(ENGINE_DEFECT)
            {
                failures.push(format!(
                    "MESHLEDGER_PRUNING_SEED={} MESHLEDGER_PRUNING_ARCHIVES=1, case {case}:\n\
                     {sql}\n{wrong}",
                    seed + archive
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}

#[derive(Debug)]
enum Expected {
    /// These lines, in this order.
    Lines(Vec<String>),
    /// So many of these, each once.
    SomeOf(usize, Vec<String>),
}

impl Expected {
    fn judge(&self, found: &str) -> Result<(), String> {
        let is_right = match self {
            Self::Lines(lines) => found == lines.join("\n"),
            Self::SomeOf(count, lines) => {
                let all: BTreeSet<&str> = lines.iter().map(String::as_str).collect();
                let apart: BTreeSet<&str> = found.lines().collect();
                apart.len() == *count && found.lines().count() == *count && apart.is_subset(&all)
            }
        };
        if is_right { Ok(()) } else { Err(format!("found:\n{found}\nexpected {self:?}")) }
    }
}

fn line((segment, row): &Id) -> String {
    format!("{segment},{row}")
}

/// A query with a condition, and its answer as CSV.
fn shape(dice: &mut Dice, world: &World, condition: &Condition) -> (String, Expected) {
    let holds = |row: &&world::Row| condition.holds(&row.cells) == Some(true);
    let mut matching: Vec<&world::Row> = world.rows.iter().filter(holds).collect();
    let filter = condition.sql();
    let lines = |rows: &[&world::Row]| rows.iter().map(|row| line(&row.id)).collect::<Vec<_>>();
    match dice.below(6) {
        0 => {
            let sql = format!("SELECT count(*) FROM mesh_events WHERE {filter}");
            (sql, Expected::Lines(vec![matching.len().to_string()]))
        }
        1 => {
            let limit = dice.below(12);
            let sql = format!(
                "SELECT segment, segment_row FROM mesh_events WHERE {filter} LIMIT {limit}"
            );
            (sql, Expected::SomeOf(limit.min(matching.len()), lines(&matching)))
        }
        2 => extreme(dice, &matching, &filter),
        3 => {
            // Of the rows that match, those with an id that some row of another kind has.
            let depth = dice.below(2);
            let other = Condition::random(dice, depth);
            let column = dice.pick(&[1usize, 2, 6]);
            let known: Vec<&Value> = world
                .rows
                .iter()
                .filter(|row| other.holds(&row.cells) == Some(true))
                .filter_map(|row| row.cells[column].as_ref())
                .collect();
            matching.retain(|row| {
                row.cells[column].as_ref().is_some_and(|value| known.contains(&value))
            });
            let name = COLUMNS[column].0;
            let sql = format!(
                "SELECT segment, segment_row FROM mesh_events WHERE ({filter}) AND {name} IN \
                 (SELECT {name} FROM mesh_events WHERE {})",
                other.sql()
            );
            (sql, Expected::SomeOf(matching.len(), lines(&matching)))
        }
        _ => {
            let column = dice.below(COLUMNS.len());
            let (sql, shown) = ordered(dice, column, matching, &filter);
            (sql, Expected::Lines(lines(&shown)))
        }
    }
}

/// The smallest or greatest value of a column.
fn extreme(dice: &mut Dice, matching: &[&world::Row], filter: &str) -> (String, Expected) {
    let column = loop {
        let column = dice.below(COLUMNS.len());
        if matches!(COLUMNS[column].1, Class::Int | Class::Big | Class::Time) {
            break column;
        }
    };
    let (name, class, _) = COLUMNS[column];
    let (aggregate, greatest) = dice.pick(&[("min", false), ("max", true)]);
    let values = matching.iter().filter_map(|row| row.cells[column].clone());
    let value = if greatest { values.max_by(compare) } else { values.min_by(compare) };
    let shown = match value {
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Time(nanos)) => (nanos / 1_000).to_string(),
        _ => String::new(),
    };
    let found = match class {
        Class::Time => format!("arrow_cast({aggregate}({name}), 'Int64')"),
        _ => format!("{aggregate}({name})"),
    };
    let sql = format!("SELECT {found} FROM mesh_events WHERE {filter}");
    (sql, Expected::Lines(vec![shown]))
}

/// The first rows in an order.
fn ordered<'a>(
    dice: &mut Dice,
    column: usize,
    mut matching: Vec<&'a world::Row>,
    filter: &str,
) -> (String, Vec<&'a world::Row>) {
    let (descending, nulls_first) = (dice.chance(50), dice.chance(50));
    matching.sort_by(|a, b| {
        let by_value = match (&a.cells[column], &b.cells[column]) {
            (None, None) => std::cmp::Ordering::Equal,
            (None, Some(_)) if nulls_first => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(_), None) if nulls_first => std::cmp::Ordering::Greater,
            (Some(_), None) => std::cmp::Ordering::Less,
            (Some(a), Some(b)) if descending => compare(b, a),
            (Some(a), Some(b)) => compare(a, b),
        };
        by_value.then_with(|| a.id.cmp(&b.id))
    });
    let limit = 1 + dice.below(6);
    matching.truncate(limit);
    let sql = format!(
        "SELECT segment, segment_row FROM mesh_events WHERE {filter} ORDER BY {} {} NULLS \
         {}, segment, segment_row LIMIT {limit}",
        COLUMNS[column].0,
        if descending { "DESC" } else { "ASC" },
        if nulls_first { "FIRST" } else { "LAST" },
    );
    (sql, matching)
}

/// The judge is no rubber stamp: bounds that are too narrow by one value are found out, in a
/// commit and in a file.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bound_is_found_out() {
    let mut caught = [0usize; 2];
    for seed in 0..6 {
        let mut dice = Dice(77 + seed);
        let world = World::random(&mut dice).await;
        let core = random_core(&mut dice);
        for column in (0..COLUMNS.len()).filter(|column| *column != grammar::EVENT_DATE) {
            for greatest in [false, true] {
                let Some((lie, condition)) = too_narrow(&world, column, greatest) else { continue };
                let honest = run(&core, &world, &condition.sql()).await.unwrap();
                judge_run(&world, &condition, &honest).unwrap();
                let fooled = run(&core, &lie, &condition.sql()).await.unwrap();
                let told = judge_run(&lie, &condition, &fooled).unwrap_err();
                assert!(told.starts_with("skipped, though it matches"), "{told}");
                caught[usize::from(greatest)] += 1;
            }
        }
    }
    assert!(caught.iter().all(|count| *count > 20), "{caught:?}");
}

/// The world with one bound of one column drawn in, so that the value on it lies outside, and a
/// condition that asks for that value.
fn too_narrow(world: &World, column: usize, greatest: bool) -> Option<(World, Condition)> {
    let (name, class, _) = COLUMNS[column];
    for (number, file) in world.snapshot.files.iter().enumerate() {
        let values = world
            .rows
            .iter()
            .filter(|row| row.file == number)
            .filter_map(|row| row.cells[column].clone());
        let Some(value) = (if greatest { values.max_by(compare) } else { values.min_by(compare) })
        else {
            continue;
        };
        let mut entry = file.entry.clone();
        let step = if greatest { -1 } else { 1 };
        let (bound, literal) = match (&value, class) {
            (Value::Int(number), _) => (StatValue::Int(number + step), number.to_string()),
            (Value::Time(nanos), _) => {
                let micros = i64::try_from(nanos / 1_000).unwrap();
                let literal = format!("TIMESTAMP '{}'", common::date::rfc3339(micros, 6));
                (StatValue::Int(micros + step), literal)
            }
            (Value::Text(text), Class::Text) if greatest && !text.is_empty() => {
                let shorter: String = text.chars().take(text.chars().count() - 1).collect();
                (StatValue::Text(shorter), format!("'{text}'"))
            }
            (Value::Text(text), Class::Text) if !greatest => {
                (StatValue::Text(format!("{text}!")), format!("'{text}'"))
            }
            _ => continue,
        };
        if name == "event_time" {
            let StatValue::Int(micros) = bound else { continue };
            match greatest {
                true => entry.event_time_micros_max = micros,
                false => entry.event_time_micros_min = micros,
            }
        } else {
            let Some(stats) = entry.stats.get_mut(name) else { continue };
            // Both bounds, or one that is not known keeps the file.
            match greatest {
                true => stats.max = Some(bound),
                false => stats.min = Some(bound),
            }
        }
        let mut snapshot = world.snapshot.clone();
        snapshot.files[number].entry = entry;
        let lie = World {
            _folder: tempfile::tempdir().unwrap(),
            snapshot,
            store: Arc::clone(&world.store),
            rows: world.rows.clone(),
        };
        let literal = grammar::Term::Literal(Some(value), literal);
        let condition =
            Condition::Compare(grammar::Term::Column(column), grammar::Operator::Equal, literal);
        return Some((lie, condition));
    }
    None
}
